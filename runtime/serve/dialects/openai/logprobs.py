"""Log-probabilities as OpenAI's two interfaces put them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ....engine.logprobs import Scored
from ....stream import Stream
from ....text.tokens import Tokens, Utf8Stream
from ...web.logprobs import spelled
from .shapes import TokenLogprobs


def completion_logprobs(
    tokens: Tokens, stream: Stream, start: int, end: int | None, *, echo: bool, before: int
) -> TokenLogprobs:
    """Return those of the new tokens from `start` to `end`, behind the prompt's when `echo`.

    Offsets are in a text whose first `before` characters are an echoed prompt. Without an `end`
    tokens are left out that only a stop string cut off was made of.
    """
    new = slice(start, end)
    ids, scores = stream.ids[new], list[Scored | None](stream.scores[new])
    offsets = [before + at for at in _offsets(tokens, stream.ids)[new]]
    if end is None:
        count = sum(at < before + len(stream.text) for at in offsets)
        ids, scores, offsets = ids[:count], scores[:count], offsets[:count]
    if echo:
        prompt = stream.prompt_ids
        ids = [*prompt, *ids]
        scores = [None, *stream.prompt_scores, *scores]
        offsets = [*_offsets(tokens, prompt), *offsets]
    return TokenLogprobs(
        tokens=[spelled(tokens, token) for token in ids],
        token_logprobs=[None if one is None else one.logprob for one in scores],
        top_logprobs=[None if one is None else _by_text(tokens, one.top) for one in scores],
        text_offset=offsets,
    )


def _by_text(tokens: Tokens, top: Iterable[tuple[int, float]]) -> dict[str, float]:
    return {spelled(tokens, token): logprob for token, logprob in top}


def _offsets(tokens: Tokens, ids: Sequence[int]) -> list[int]:
    """Return where in the text each token starts, in characters."""
    decoder, at, offsets = Utf8Stream(tokens), 0, []
    for token in ids:
        offsets.append(at)
        at += len(decoder.push(token))
    return offsets
