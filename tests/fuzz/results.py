"""What is kept of a run: a line of JSON for each mutant, so that a run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from .runner import Result


def read(file: Path) -> dict[int, Result]:
    """Return the results in a file by number; a last line that was cut short is left out."""
    results: dict[int, Result] = {}
    if not file.exists():
        return results
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            result = json.loads(line)
        except ValueError:
            continue
        results[result["number"]] = result
    return results


def appended(file: Path, results: Iterable[Result]) -> Iterator[Result]:
    """Yield results, each after it was written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        if stream.tell():
            stream.write("\n")  # behind a line that was cut short
        for result in results:
            stream.write(json.dumps(result) + "\n")
            stream.flush()
            yield result
