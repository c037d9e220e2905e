"""The public way in: load a bundle, complete at a cursor, chat, continue a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

from .bundle.contract import HYBRID, HYBRID_READER, HYBRID_WRITER, Bundle
from .engine.cancel import CancelToken
from .engine.disk_cache import Saved
from .engine.generation import Allowed, Generation, Request
from .engine.pace import Paced
from .engine.prefix import PrefixCache
from .engine.sampling import GREEDY, Sampling
from .engine.session import Session
from .engine.timelimit import TimeLimit
from .engine.turns import Turns
from .errors import BundleError, OptionError, one_line
from .stream import Stream, Usage
from .text.completion import LINE_END, CursorPrompts, OpenFile, Place, place_of, plain
from .text.endings import Endings
from .text.healing import Healing, Spellings
from .text.prompts import Layouts, Message, clean_messages
from .text.stops import AnswerTrimmer, Scanner, StopScanner
from .text.tokens import Tokens, Utf8Stream

CHAT_MAX_TOKENS = 512
# A request that comes meanwhile waits for one chunk; int4 reads about as fast in so small ones.
WARM_TOKENS = 32
BLANK_LINE = LINE_END + LINE_END


class Model:
    """A loaded model. Its methods may be called from several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        variant: str,
        session: Session,
        *,
        lookup: bool = True,
        saved: Saved | None = None,
    ) -> None:
        self._lookup = lookup
        self.bundle = bundle
        self.variant = variant
        self.layouts = Layouts.from_manifest(bundle.prompts)
        self.tokens = Tokens(bundle.path / "tokenizer.json")
        self.session = session
        self._spellings = Spellings(self.tokens, self.layouts.special_ids)
        self._paced = Paced(session)
        self._caches = PrefixCache(session.new_cache, saved=saved)
        self._turns = Turns()
        self._prompts = CursorPrompts(self.tokens, self.layouts)
        self.tokens.check_specials(self.layouts.special_ids)
        if self.tokens.size != bundle.sizes.tokens:
            raise BundleError(
                f"{bundle.path}: tokenizer.json has {self.tokens.size} tokens, the manifest says "
                f"{bundle.sizes.tokens}; export the model again"
            )
        defaults = dict(bundle.sampling)
        try:
            self._max_tokens = defaults.pop("max_tokens")
            if type(self._max_tokens) is not int or self._max_tokens < 1:
                raise ValueError(f"max_tokens {self._max_tokens!r:.40}")
            self.sampling = Sampling(**defaults)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{bundle.path}: unusable sampling defaults ({one_line(error)})"
            ) from error

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled, with a reason in place of a list of types.

        Raises:
            OptionError: always.

        """
        raise OptionError(
            "a model holds memory and threads of its process, and cannot be copied or pickled; "
            "use one from several threads, or load the bundle again where it is needed"
        )

    @property
    def device(self) -> str:
        """The device it truly runs on: cpu or cuda."""
        return self.session.device

    @property
    def engine(self) -> str:
        """What computes: native kernels or onnxruntime, and of which kind or version."""
        return self.session.engine

    @property
    def parts(self) -> tuple[str, ...]:
        """The bundle's variants that are open: hybrid's are two."""
        return (HYBRID_READER, HYBRID_WRITER) if self.variant == HYBRID else (self.variant,)

    @property
    def context_tokens(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.bundle.sizes.context

    def complete(
        self,
        prefix: str,
        suffix: str = "",
        *,
        extra: Sequence[OpenFile] = (),
        filename: str = "",
        order: str | None = None,
        multiline: bool = True,
        max_tokens: int | None = None,
        stop: Sequence[str] | None = None,
        endings: Endings | None = None,
        allow_empty: bool = True,
        heal: bool | None = None,
        prompt_ms: float | None = None,
        total_ms: float | None = None,
        top_logprobs: int | None = None,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        r"""Fill the hole between `prefix` and `suffix`.

        Text far from the cursor is dropped when it does not fit the context, or cannot be read in
        time. The model sees plain line ends; the answer has Windows ones where the file has.

        Args:
            prefix: the file up to the cursor.
            suffix: the file from the cursor on.
            extra: other open files as (name, text); cut to a quarter of the context.
            filename: name of the file itself, used only beside `extra`.
            order: spm (suffix first) or psm; None takes the model's default.
            multiline: False completes the line only: what follows the cursor on it is not
                shown to the model, and the text ends before the next line.
            max_tokens: the most new tokens; None takes the model's default.
            stop: strings that end the text; None means a blank line. When not `multiline`, a
                line end always ends it too.
            endings: other rules that end the text; None for the usual ones.
            allow_empty: False forbids the end of text as the first new token.
            heal: take the last token before the cursor back and write it anew, so that the model
                need not go on from a broken word; None does so where the cursor follows a word's
                character.
            prompt_ms: how long reading the prompt may take; `usage` tells how many tokens it had.
            total_ms: how long all may take from now on; half of it is for the prompt, when
                `prompt_ms` is None.
            top_logprobs: keep how likely each new token was, in `Stream.scores`, beside so many
                of the likeliest.
            sampling: None takes the model's default.
            cancel: ends the generation from another thread.

        Raises:
            OptionError: when an option has no such value.
            PromptError: when `max_tokens` leaves no room for a prompt.

        """
        _check_stops(stop)
        new = self._new_tokens(max_tokens, self._max_tokens)
        place = self._place(prefix, suffix, extra, filename, order, multiline=multiline)
        limit = TimeLimit.starting_now(prompt_ms, total_ms)
        prompt = self._prompts.prompt(
            place, self.context_tokens - new, heal=heal, fits=self._fits(limit.prompt_ms)
        )
        ends = endings or Endings()
        request = replace(
            self._request(prompt.ids, new, sampling, cancel, allow_empty=allow_empty),
            texts=prompt.texts if self._lookup else None,
            allowed=self._healing(prompt.typed),
            least_probability=ends.least_probability,
            top_logprobs=top_logprobs,
            expired=limit.expired,
        )
        return self._stream(
            request,
            _stops(stop, multiline=multiline),
            ends.scanners(place.prefix, place.suffix),
            skip=len(prompt.typed),
            line_end=place.line_end,
        )

    def warm(
        self,
        prefix: str,
        suffix: str = "",
        *,
        extra: Sequence[OpenFile] = (),
        filename: str = "",
        order: str | None = None,
        multiline: bool = True,
        max_tokens: int | None = None,
        heal: bool | None = None,
        cancel: CancelToken | None = None,
    ) -> Usage:
        """Read the prompt that `complete` would, so that a later call finds it read.

        Takes as long as reading it takes, and ends at the next few tokens as soon as something is
        asked of the model in another thread; what was read by then is kept. For when a file was
        opened, and for idle moments: with a completion behind `prefix` while it is looked at, the
        request after it was accepted, or typed, finds all of it read. Returns how many tokens the
        prompt has, and how many of them had been read before.

        Raises:
            OptionError: when an option has no such value.
            PromptError: when `max_tokens` leaves no room for a prompt.

        """
        new = self._new_tokens(max_tokens, self._max_tokens)
        place = self._place(prefix, suffix, extra, filename, order, multiline=multiline)
        prompt = self._prompts.prompt(place, self.context_tokens - new, heal=heal)
        stop, asked = CancelToken(), cancel or CancelToken()
        request = Request(
            prompt.ids,
            GREEDY,
            0,
            frozenset(),
            cancelled=lambda: stop.cancelled or asked.cancelled,
            chunk_tokens=WARM_TOKENS,
        )
        generation = Generation(self._paced, self._caches, request)
        with self._turns.warming(stop):
            for _ in generation:
                pass
        return Usage(len(prompt.ids), generation.cached, 0)

    def save_caches(self) -> None:
        """Write what was read to the folder of `load(caches=...)`, if one was named.

        Raises:
            OptionError: when the folder cannot be written.

        """
        self._caches.save()

    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        top_logprobs: int | None = None,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        """Answer the last of `messages`, each with a role (system, user, assistant) and content.

        When that is the assistant's, it goes on: the text is what follows on it. The oldest
        exchanges are dropped when the conversation outgrows the context.

        Raises:
            OptionError: when a role is unknown, or the last message is empty.
            PromptError: when the last question alone does not fit.

        """
        if isinstance(messages, str):  # type: ignore[unreachable] # an easy mistake
            raise OptionError("messages is a string; expected a list with a role and content each")
        new = self._new_tokens(max_tokens, min(CHAT_MAX_TOKENS, self.context_tokens // 2))
        turns = [{"role": role, "content": content} for role, content in clean_messages(messages)]
        ids = self.layouts.chat_ids(turns, self.tokens.encode)
        while len(ids) + new > self.context_tokens and (shorter := _drop_oldest(turns)):
            turns = shorter
            ids = self.layouts.chat_ids(turns, self.tokens.encode)
        request = self._request(ids, new, sampling, cancel)
        request = replace(request, top_logprobs=top_logprobs)
        trimmer = AnswerTrimmer(started=turns[-1]["role"] == "assistant")
        return self._stream(request, stop, trimmer=trimmer)

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        special: bool = False,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        allow_empty: bool = True,
        top_logprobs: int | None = None,
        score_prompt: bool = False,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        """Continue `prompt`, text or ids, as it is.

        Args:
            prompt: a text or its ids.
            special: parse special tokens in a text.
            max_tokens: the most new tokens; 0 only reads the prompt, None is the model's default.
            stop: strings that end the text.
            allow_empty: False forbids the end of text as the first new token.
            top_logprobs: keep how likely each new token was, in `Stream.scores`, beside so many
                of the likeliest.
            score_prompt: keep that of the prompt's tokens too; all of it is then read anew.
            sampling: None takes the model's default.
            cancel: ends the generation from another thread.

        Raises:
            OptionError: when an option has no such value, or an id is none of the model's.
            PromptError: when the prompt is empty or does not fit the context.

        """
        ids = self._ids(prompt, special=special)
        new = 0 if max_tokens == 0 else self._new_tokens(max_tokens, self._max_tokens)
        request = replace(
            self._request(ids, new, sampling, cancel, allow_empty=allow_empty),
            top_logprobs=top_logprobs,
            score_prompt=score_prompt,
        )
        return self._stream(request, stop)

    def _ids(self, prompt: str | Sequence[int], *, special: bool) -> list[int]:
        if isinstance(prompt, str):
            return (self.tokens.encode_special if special else self.tokens.encode)(prompt)
        self.tokens.check_ids(prompt)
        return list(prompt)

    def _place(
        self,
        prefix: str,
        suffix: str,
        extra: Sequence[OpenFile],
        filename: str,
        order: str | None,
        *,
        multiline: bool,
    ) -> Place:
        order = order or self.layouts.fim_default
        context = self.context_tokens
        return place_of(
            prefix, suffix, extra, filename, order, multiline=multiline, context_tokens=context
        )

    def _new_tokens(self, asked: int | None, default: int) -> int:
        if asked is None:
            return min(default, self.context_tokens // 2)
        if not 0 < asked < self.context_tokens:
            raise OptionError(
                f"max_tokens {asked}; expected 1 to {self.context_tokens - 1}, as the context "
                f"holds {self.context_tokens} tokens"
            )
        return asked

    def _fits(self, prompt_ms: float | None) -> Callable[[list[int]], bool]:
        """Return whether a prompt can be read in time, given what is read already."""
        if prompt_ms is None:
            return lambda ids: True
        within = self._paced.tokens_within(prompt_ms)
        return lambda ids: self._caches.missing(ids) <= within

    def _request(
        self,
        ids: list[int],
        max_new: int,
        sampling: Sampling | None,
        cancel: CancelToken | None,
        *,
        allow_empty: bool = True,
    ) -> Request:
        token = cancel or CancelToken()
        return Request(
            ids=ids,
            sampling=sampling or self.sampling,
            max_new=max_new,
            stop_ids=self.layouts.special_ids,
            forbidden_first=() if allow_empty else (self.layouts.end_id,),
            texts=[ids] if self._lookup else None,
            costs=self._paced.costs,
            cancelled=lambda: token.cancelled,
        )

    def _healing(self, typed: bytes) -> Allowed | None:
        """Return what holds the first new tokens to the bytes `typed`, if there are any."""
        if not typed:
            return None
        self._spellings.prepare()
        return Healing(typed, self.tokens, self._spellings).allowed

    def _stream(
        self,
        request: Request,
        stop: Sequence[str],
        scanners: Sequence[Scanner] = (),
        *,
        skip: int = 0,
        trimmer: AnswerTrimmer | None = None,
        line_end: str = LINE_END,
    ) -> Stream:
        _check_stops(stop)
        generation = Generation(self._paced, self._caches, request)
        decoder = Utf8Stream(self.tokens, skip)
        watched = [StopScanner(stop), *scanners]
        return Stream(generation, decoder, watched, trimmer, line_end, self._turns.request())

    def sampling_with(self, **changes: float | None) -> Sampling:
        """Return the model's default sampling with some values replaced; None leaves one."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self.sampling, **given)  # type: ignore[arg-type]


def _check_stops(stop: Sequence[str] | None) -> None:
    if isinstance(stop, str):
        raise OptionError(f"stop {stop!r} is a string; expected a list of strings")


def _stops(stop: Sequence[str] | None, *, multiline: bool) -> tuple[str, ...]:
    given = () if stop is None else tuple(map(plain, stop))
    if not multiline:
        return (LINE_END, *given)
    return (BLANK_LINE,) if stop is None else given


def _drop_oldest(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the turns without the oldest exchange; empty when only the question is left."""
    system = [turn for turn in turns if turn["role"] == "system"]
    rest = [turn for turn in turns if turn["role"] != "system"]
    later = next((i for i, turn in enumerate(rest) if i > 0 and turn["role"] == "user"), None)
    return [] if later is None else [*system, *rest[later:]]
