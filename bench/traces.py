"""The typing traces that ship: files of this project, typed again.

Usage: python -m bench.traces [DIR]

Each trace ends with one of the files in bench/typed/, copies of this project's own that stay as
they are while the project goes on. What its edits made is taken out, and then typed by somebody
who errs now and then, pauses every few characters and at line ends, and whose editor asks in
pauses. Deterministic: the same copies and tables give the same traces.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from refact_edge.runtime.bench.traces import Event, Trace, asks, shipped_traces, write_trace

_FOLDER = click.Path(path_type=Path, file_okay=False)
TYPED = Path(__file__).parent / "typed"
SLIPS = 0.05  # of letters
BURST = (4, 7)  # characters between pauses
KEY_MS, PAUSE_MS, MOVE_MS = (70, 190), (300, 1200), (700, 2500)
AT_ONCE = 12  # a longer piece is selected and deleted, a shorter one by backspaces


@dataclass(frozen=True)
class Edit:
    """`new` is typed in place of `old`, right behind the text `lead`."""

    lead: str
    new: str
    old: str = ""


# In the middle of Graph.ops, line by line.
MIDDLE = (
    Edit("inputs = tuple(", "self._renamed.get(name, name) for name in inputs)", "inputs)"),
    Edit(
        "self._counts.get(operator, 0) + 1\n",
        '            name = f"{operator}_{count}"\n'
        '            names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]',
        "            names = [operator]",
    ),
    Edit("make_node(operator, list(inputs), names", ", name=name, domain=domain)", ")"),
    Edit(
        "names, name=name, domain=domain)",
        "\n            for attribute, value in sorted((attributes or {}).items()):"
        "\n                node.attribute.append(helper.make_attribute(attribute, value))",
    ),
)

JUMPS = (
    Edit("import NO_ERROR, Array, Error, Floating, Packed, pack", ", part_bytes, unpack"),
    Edit("self._stream.write(piece)", "\n            self._hash.update(piece)"),
    Edit('"""Hash of the file so far."""\n        return ', "self._hash.hexdigest()", '""'),
    Edit("can map tensors from the file", "\n_WORST = 10"),
    Edit("[spec.name] = packed.error", "\n            self._elements += weight.size"),
    Edit("self._output_errors: dict[str, float] = {}", "\n        self._bits = 0"),
    Edit(
        'scales the activations\' type."""',
        '\n        if part == "scales":\n            return array',
    ),
    Edit("moments: dict[str, Moments]", "\n    stream_energy: float = 0.0"),
    Edit("total += part", " + -part % ALIGNMENT"),
    Edit("of, known = seen, ", "None if seen is None else "),
    Edit("return Floats(scheme.", "activations)", "types)"),
)


class Typist:
    """Types edits into a text and keeps the events."""

    def __init__(self, text: str, seed: int) -> None:
        self.text, self.events = text, list[Event]()
        self._random = random.Random(seed)
        self._burst = self._between(*BURST)
        self._paused = True

    def type(self, edit: Edit) -> None:
        """Go to the place of an edit, delete what was there and type what comes there."""
        cursor = place(self.text, edit.lead + edit.old) + len(edit.lead + edit.old)
        self._do(self._between(*MOVE_MS), cursor, 0, "")
        at_once = len(edit.old) > AT_ONCE
        for _ in range(1 if at_once else len(edit.old)):
            size = len(edit.old) if at_once else 1
            cursor -= size
            self._key(cursor, size, "")
        typed = list(keys(edit.new))
        for number, key in enumerate(typed):
            after = "".join(typed[number + 1 : number + 2])
            if key.isalpha() and after.isalpha() and self._random.random() < SLIPS:
                self._slip(cursor, after)
            self._key(cursor, 0, key, counts=True)
            cursor += len(key)

    def _slip(self, cursor: int, after: str) -> None:
        """Hit a wrong letter and the right one after it; notice in a pause, and go back."""
        self._key(cursor, 0, chr(ord("a") + self._between(0, 25)), counts=True)
        self._burst = 1
        self._key(cursor + 1, 0, after, counts=True)
        self._key(cursor + 1, 1, "")
        self._key(cursor, 1, "")

    def _key(self, at: int, delete: int, insert: str, *, counts: bool = False) -> None:
        """Press a key; the editor asks where a burst is over, and on a new line."""
        ms = self._between(*(PAUSE_MS if self._paused else KEY_MS))
        self._burst -= counts
        asking = counts and (self._burst == 0 or insert.startswith("\n"))
        self._do(ms, at, delete, insert, asking)
        if asking:
            self._burst = self._between(*BURST)
        self._paused = asking

    def _do(self, ms: int, at: int, delete: int, insert: str, ask: bool = False) -> None:
        self.events.append(Event(ms, at, delete, insert, ask))
        self.text = self.text[:at] + insert + self.text[at + delete :]

    def _between(self, low: int, high: int) -> int:
        # Of all its methods only random() is promised to stay the same.
        return low + int(self._random.random() * (high - low + 1))


def keys(text: str) -> Iterator[str]:
    """Yield the text key by key; a line end brings the next line's indentation, as in editors."""
    at = 0
    while at < len(text):
        size = 1
        if text[at] == "\n":
            size += len(text[at + 1 :]) - len(text[at + 1 :].lstrip(" "))
        yield text[at : at + size]
        at += size


def place(text: str, piece: str) -> int:
    """Return where `piece` stands in a text, in which it must stand just once."""
    if text.count(piece) != 1:
        raise ValueError(f"{piece!r} stands {text.count(piece)} times in the text")
    return text.index(piece)


def make(name: str, file: str, edits: tuple[Edit, ...], seed: int) -> Trace:
    """Return the trace of edits that end with the copy of a file."""
    final = (TYPED / f"{file}.txt").read_text(encoding="utf-8")
    text = final
    for edit in reversed(edits):
        at = place(text, edit.lead + edit.new) + len(edit.lead)
        text = text[:at] + edit.old + text[at + len(edit.new) :]
    typist = Typist(text, seed)
    for edit in edits:
        typist.type(edit)
    assert typist.text == final
    return Trace(name, file, text, tuple(typist.events))


def function(file: str, name: str) -> tuple[Edit, ...]:
    """Return the edit that writes one function of a file; the blank lines after it are there."""
    text = (TYPED / f"{file}.txt").read_text(encoding="utf-8")
    start = place(text, f"def {name}(")
    end = text.index("\n\n\n", start)
    return (Edit(text[start - 80 : start], text[start:end]),)


def traces() -> list[Trace]:
    """Return the three traces."""
    return [
        make("function", "graphcheck.py", function("graphcheck.py", "_read_model"), 1),
        make("jumps", "weights.py", JUMPS, 2),
        make("middle", "graph.py", MIDDLE, 3),
    ]


@click.command()
@click.argument(
    "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), required=False
)
def main(folder: Path | None) -> None:
    """Write the traces into the package, or into DIR."""
    target = folder or shipped_traces()[0].parent
    target.mkdir(parents=True, exist_ok=True)
    for trace in traces():
        write_trace(target / f"{trace.name}.jsonl", trace)
        click.echo(f"{trace.name}: {len(trace.events)} events, {len(list(asks(trace)))} asks")


if __name__ == "__main__":
    main()
