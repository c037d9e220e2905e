"""Log-probabilities as several dialects put them."""

from __future__ import annotations

from typing import Any

from ...stream import Stream
from ...text.tokens import Tokens


def chat_logprobs(tokens: Tokens, stream: Stream, start: int, end: int | None) -> dict[str, Any]:
    """Return those of the new tokens from `start` to `end`."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        spelling = tokens.to_bytes(token)
        text = spelling.decode("utf-8", "replace")
        return {"token": text, "logprob": logprob, "bytes": list(spelling)}

    return {
        "content": [
            {
                **entry(one.id, one.logprob),
                "top_logprobs": [entry(token, logprob) for token, logprob in one.top],
            }
            for one in stream.scores[start:end]
        ]
    }


def spelled(tokens: Tokens, token: int) -> str:
    r"""Return a token's text; a piece of a character as OpenAI writes it, `bytes:\xe2\x80`."""
    spelling = tokens.to_bytes(token)
    try:
        return spelling.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelling)
