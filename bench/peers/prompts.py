"""What is typed: the texts around the cursor, the ids that each engine gets, the answers.

Ids are made once, by our own tokenizer and the way in from a cursor (trimming, healing, layouts),
and are the same for all engines. The answers are fixed too: what a real model writes there, and of
random weights what was typed next, or stood in the file.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from refact_edge.runtime.bench.traces import Event, Trace, read_trace, shipped_traces, states
from refact_edge.runtime.bundle.contract import TOKENIZER, read_bundle
from refact_edge.runtime.text.completion import CursorPrompts, window_at
from refact_edge.runtime.text.cursor import Cursor
from refact_edge.runtime.text.prompts import Layouts
from refact_edge.runtime.text.tokens import Tokens

from .texts import CONTEXT, Texts

ABOVE, BELOW = 1505, 300  # tokens before and after the cursor
HOLE = 400  # characters between the two
TYPED = 5  # characters between the two requests
ANSWER = 16  # tokens
# Requests of a trace; a whole one takes 25 minutes of the engines together.
ASKS, QUICK_ASKS = 30, 12


@dataclass(frozen=True)
class Prompt:
    """A cursor in a text, the prompt in each order, the model's own first, and the answer."""

    prefix: str
    suffix: str
    ids: dict[str, list[int]]
    text: list[int]


class Prompter:
    """Makes prompts as the model's public way in would; `texts` writes the answers, if given."""

    def __init__(self, bundle: Path, texts: Texts | None = None) -> None:
        opened = read_bundle(bundle)
        self.context = min(CONTEXT, opened.sizes.context)
        self._tokens, self._texts = Tokens(bundle / TOKENIZER), texts
        layouts = Layouts.from_manifest(opened.prompts)
        self.orders = tuple(dict.fromkeys((layouts.fim_default, *layouts.hole_orders)))
        self._prompts = CursorPrompts(self._tokens, layouts)

    def prompt(self, prefix: str, suffix: str, answer: str, least: int = 1) -> Prompt:
        """Return the prompt at a cursor; the answer begins with what the prompt takes back.

        One that a model ends itself is filled up with `answer` to the `least` number of ids.
        """
        text = self._typed(prefix, suffix, answer)
        if self._texts is not None:
            own = self._texts.at(Cursor(prefix, suffix), ANSWER)
            text = own + text[len(own) : max(least, len(own))]
        ids = {}
        for order in self.orders:
            window = window_at(Cursor(prefix, suffix, order=order), self.context)
            ids[order] = self._prompts.prompt(window, self.context - len(text)).ids
        return Prompt(prefix, suffix, ids, text)

    def _typed(self, prefix: str, suffix: str, answer: str) -> list[int]:
        """Return the ids of what was typed next, behind what the prompt takes back."""
        window = window_at(Cursor(prefix, suffix), self.context)
        typed = self._prompts.prompt(window, self.context - ANSWER).typed
        return self._tokens.encode(typed.decode(errors="replace") + (answer or "\n"))[:ANSWER]

    def code(self, tokens: int) -> list[int]:
        """Return so many ids of code."""
        ids = self._tokens.encode(_library())
        if len(ids) < tokens:
            raise ValueError(f"the standard library's files have {len(ids)} tokens, want {tokens}")
        return ids[:tokens]

    def keystroke(self) -> tuple[Prompt, Prompt]:
        """Return a request in a real file, and the one after five more characters."""
        text, decode = _library(), self._tokens.decode
        cursor = len(decode(self._tokens.encode(text)[:ABOVE]))
        after = cursor + HOLE
        suffix = decode(self._tokens.encode(text[after : after + 8 * BELOW])[:BELOW])
        return (
            self.prompt(text[:cursor], suffix, text[cursor:after], ANSWER),
            self.prompt(text[: cursor + TYPED], suffix, text[cursor + TYPED : after], ANSWER),
        )

    def trace(self, path: Path, limit: int | None) -> list[Prompt]:
        """Return what the editor asks in a trace, at most `limit` times."""
        requests = islice(asks_with_answers(read_trace(path)), limit)
        return [self.prompt(*ask) for ask in requests]

    def traces(self, quick: bool) -> dict[str, list[Prompt]]:
        """Return the start of the traces that ship, by name; a quick run takes one's."""
        paths = shipped_traces()[-1:] if quick else shipped_traces()
        return {path.stem: self.trace(path, QUICK_ASKS if quick else ASKS) for path in paths}


def asks_with_answers(trace: Trace) -> Iterator[tuple[str, str, str]]:
    """Yield prefix and suffix of each ask, and what was then typed there."""
    for number, (event, text, cursor) in enumerate(states(trace)):
        if event.ask:
            yield text[:cursor], text[cursor:], typed_next(trace.events[number + 1 :], cursor)


def typed_next(events: tuple[Event, ...], cursor: int) -> str:
    """Return what comes to stand behind the cursor before something else is edited."""
    typed = ""
    for event in events:
        at = event.at - cursor
        if at < 0 or at + event.delete > len(typed):
            break
        typed = typed[:at] + event.insert + typed[at + event.delete :]
    return typed


def _library() -> str:
    folder = Path(sysconfig.get_path("stdlib"))
    return "".join((folder / name).read_text() for name in ("argparse.py", "heapq.py", "shlex.py"))
