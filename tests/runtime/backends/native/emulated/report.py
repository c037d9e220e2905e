"""What the emulated machine printed, as a table: a kind of kernel a row, a program a column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

COLUMNS = ("products", "steps", "bits")
_RUN = re.compile(r"^begin (\w+)(?: (\w+))?.*\n((?:.*\n)*?)end (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """A program's output and exit status; `kind` is empty for the program that lists the kinds."""

    program: str
    kind: str
    output: str
    status: int


@dataclass(frozen=True)
class Row:
    """A kind's line of the table: a cell a column, and what was wrong, if anything."""

    kind: str
    cells: tuple[str, ...]
    faults: tuple[str, ...]


def parse(serial: str) -> dict[tuple[str, str], Run]:
    """Return the runs that came to their end, by program and kind."""
    runs = (Run(m[1], m[2] or "", m[3], int(m[4])) for m in _RUN.finditer(serial))
    return {(run.program, run.kind): run for run in runs}


def rows(
    runs: Mapping[tuple[str, str], Run], kinds: Sequence[str], reference: str
) -> Iterator[Row]:
    """Yield a row for each kind; `reference` is what `bits` is to print for every one."""
    listed = runs["kinds", ""].output.split() if ("kinds", "") in runs else []
    logits = {run.output for (program, _), run in runs.items() if program == "steps"}
    for kind in kinds:
        if kind not in listed:
            yield Row(kind, ("-",) * len(COLUMNS), (f"{kind}: edge_cpu does not name it",))
            continue
        cells, faults = [], []
        for program in COLUMNS:
            cell, fault = _cell(runs.get((program, kind)), reference)
            cells.append(cell)
            faults.extend([f"{program} {kind}: {fault}"] if fault else [])
        if len(logits) > 1:
            faults.append(f"steps {kind}: not all kinds have the same logits")
        yield Row(kind, tuple(cells), tuple(faults))


def _cell(run: Run | None, reference: str) -> tuple[str, str]:
    """Return a run's cell and its fault, which is empty where all is well."""
    if run is None:
        return "no end", "did not come to its end"
    if run.status:
        return "failed", f"exit status {run.status}: {run.output.strip()}"
    if run.program != "bits":
        return run.output.strip(), ""
    lines, expected = run.output.splitlines(), reference.splitlines()
    differ = sorted(set(expected) ^ set(lines))
    cell = f"{len(set(lines) & set(expected))} of {len(expected)} alike"
    return cell, f"not the reference's bits: {differ}" if differ else ""


def table(lines: Sequence[Row]) -> str:
    """Return the rows below their headings, in columns."""
    grid = [("kind", *COLUMNS), *((row.kind, *row.cells) for row in lines)]
    widths = [max(len(line[i]) for line in grid) for i in range(len(grid[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in grid
    )
