"""A text being generated: iterate for its pieces, then read its usage and scores."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Any

from .annotated import checked
from .engine.generation import Finish, Generation
from .engine.logprobs import Scored
from .pieces import OnText, pieces, started
from .text.stops import AnswerTrimmer, Scanner, StopScanner
from .text.tokens import Utf8Stream


@dataclass(frozen=True)
class Usage:
    """Tokens of one generation: in the prompt, of those from a cache, and new ones.

    Drafted tokens were evaluated along with another one; accepted are those of them that the model
    would have generated itself.
    """

    prompt: int
    cached: int
    new: int
    drafted: int = 0
    accepted: int = 0


class Stream:
    """Iterating yields pieces of text as they are generated, never a broken character.

    Nothing is computed before the first `next`. Leaving the loop early and calling
    `close` (or using the stream as a context manager) gives its cache back at once. `async for`
    yields the same without blocking the event loop, `await stream` returns the whole text, and
    `start` generates it in a thread. Read a stream in one of these ways, once.
    """

    def __init__(
        self,
        generation: Generation,
        decoder: Utf8Stream,
        scanners: Sequence[Scanner],
        trimmer: AnswerTrimmer | None = None,
        line_end: str = "\n",
        computing: AbstractContextManager[None] | None = None,
    ) -> None:
        """Pass each piece through all scanners; be inside `computing` while computing."""
        self._generation, self._decoder = generation, decoder
        self._scanners, self._trimmer, self._line_end = scanners, trimmer, line_end
        self._computing = computing or contextlib.nullcontext()
        self._texts: list[str] = []
        self._stopped = False
        self._turn = threading.Lock()  # of whoever computes
        self._iterator = self._pieces()

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(self._texts)

    @property
    def ids(self) -> list[int]:
        """Generated ids so far; the last may reach into a stop string that `text` leaves out."""
        return list(self._generation.new_ids)

    @property
    def finish(self) -> Finish:
        """Why it ended: stop, length or cancelled; empty while it has not."""
        if self._stopped:
            return "stop"
        return self._generation.finish or ("cancelled" if self._generation.closing else "")

    @property
    def scores(self) -> list[Scored]:
        """Log-probabilities of `ids`; empty unless the request has `top_logprobs`."""
        return list(self._generation.scores)

    @property
    def prompt_ids(self) -> list[int]:
        """The ids of the prompt that was evaluated."""
        return list(self._generation.request.ids)

    @property
    def prompt_scores(self) -> list[Scored]:
        """Log-probabilities of the prompt's ids but the first; empty unless it was scored."""
        return list(self._generation.prompt_scores)

    @property
    def stop_text(self) -> str:
        """The stop string that ended it; empty when none did."""
        matches = (s.match for s in self._scanners if isinstance(s, StopScanner))
        return next(filter(None, matches), "")

    @property
    def cut(self) -> bool:
        """Whether a stop string or another rule ended it, and not the model."""
        return self._stopped

    @property
    def usage(self) -> Usage:
        """Token counts so far."""
        generation = self._generation
        prompt = len(generation.request.ids)
        return Usage(
            prompt,
            generation.cached,
            len(generation.new_ids),
            generation.drafted,
            generation.accepted,
        )

    def close(self) -> None:
        """End the generation; its finish is then cancelled, unless it had ended before.

        While another thread waits for a piece, the end comes with that thread's next token.
        """
        self._generation.closing = True
        if self._turn.acquire(blocking=False):  # else another thread is at it, which ends it
            try:
                self._iterator.close()
                self._generation.finish = self._generation.finish or "cancelled"
            finally:
                self._turn.release()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        with self._turn:
            return next(self._iterator)

    def __aiter__(self) -> AsyncIterator[str]:
        return pieces(self)

    def __await__(self) -> Generator[Any, None, str]:
        return self._whole().__await__()

    async def _whole(self) -> str:
        async with aclosing(pieces(self)) as read:
            async for _ in read:
                pass
        return self.text

    @checked
    def start(self, on_text: OnText | None = None) -> Future[str]:
        """Generate the text in a thread, which calls `on_text` with each piece.

        Windows stay alive meanwhile; what they show is theirs to change, from their own thread. The
        future has the whole text, or the error. `close` ends it early: it has the text so far then.
        """
        return started(self, on_text)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pieces(self) -> Generator[str]:  # a generator: close() reaches the engine through it
        new_ids = iter(self._generation)
        with self._computing, contextlib.closing(new_ids):
            for new_id in new_ids:
                yield from self._show(self._scan(self._decoder.push(new_id)))
                if self._stopped:
                    return
            yield from self._show(self._flush())

    def _scan(self, piece: str) -> str:
        for scanner in self._scanners:
            piece = scanner.push(piece)
            if self._stopped and not scanner.stopped:
                piece += scanner.flush()  # the text ends there: nothing more decides
            self._stopped = self._stopped or scanner.stopped
        return piece

    def _flush(self) -> str:
        """Return what all scanners held back; text of one still passes through the next ones."""
        rest = ""
        for scanner in self._scanners:
            rest = scanner.push(rest) + ("" if scanner.stopped else scanner.flush())
        self._stopped = any(scanner.stopped for scanner in self._scanners)
        return rest

    def _show(self, piece: str) -> Iterator[str]:
        if self._trimmer is not None:
            piece = self._trimmer.push(piece)
        if piece:
            piece = piece.replace("\n", self._line_end)
            self._texts.append(piece)
            yield piece
