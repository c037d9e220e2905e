"""How many hidden lines a variant writes again: python examples/hidden_lines.py FILE [BUNDLE].

A first look at a checkpoint on your own code. `refact-edge eval fim` is the whole measurement.
"""

from __future__ import annotations

import sys
from pathlib import Path

import refact_edge

LINES = 10  # so many are hidden, one at a time, spread over the file


def main(file: str, bundle: str | None) -> None:
    """Print each hidden line that did not come back, then how many did."""
    model = refact_edge.load(bundle)
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    numbers = [number for number, line in enumerate(lines) if line.strip()]
    hidden = numbers[:: max(1, len(numbers) // LINES)][:LINES]
    exact = 0
    for number in hidden:
        text = _fill(model, lines, number)
        exact += text == lines[number].strip()
        if text != lines[number].strip():
            print(f"{number + 1}: {lines[number].strip()!r}, written {text!r}")
    print(f"{model.variant}: {exact} of {len(hidden)} lines exact")


def _fill(model: refact_edge.Model, lines: list[str], number: int) -> str:
    """Return what the model writes in place of a line, behind its indent."""
    line = lines[number]
    indent = line[: len(line) - len(line.lstrip())]
    prefix = "\n".join([*lines[:number], indent])
    suffix = "\n".join(["", *lines[number + 1 :]])
    greedy = refact_edge.Sampling(temperature=0)
    stream = model.complete(prefix, suffix, multiline=False, max_tokens=48, sampling=greedy)
    return "".join(stream).strip()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
