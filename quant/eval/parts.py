"""A run in parts, on several machines: each N-th problem is in one, and merging restores the whole.

Every sample has a seed of its own, and the native engine gives the same bits whatever it did
before, so the parts together are what one run would have been.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import EvalError, OptionError
from .results import SAMPLES, Record, Results

MOST = 10_000
_PART = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Part:
    """Part `number` of so many, from 1."""

    number: int
    of: int

    def size(self, problems: int) -> int:
        """Return how many of all problems are in it."""
        return len(range(self.number - 1, problems, self.of))


def read_part(text: str) -> Part:
    """Return the part that a text names, as 2/3.

    Raises:
        OptionError: when it names none.

    """
    numbers = _PART.fullmatch(text)
    part = Part(int(numbers[1]), int(numbers[2])) if numbers else Part(0, 0)
    if not 1 <= part.number <= part.of <= MOST:
        raise OptionError(f"part {text!r:.40}; expected one like 2/3: the second of three")
    return part


def part_settings(part: str | None, problems: int, samples: int) -> dict[str, Any]:
    """Return what a part's settings say beside those of the whole run."""
    return {} if part is None else {"part": part, "problems": problems, "samples": samples}


def merged(parts: Mapping[str, Results]) -> Results:
    """Return the run that parts make, as one piece would have written it; by names of files.

    Raises:
        EvalError: when a part is missing, unfinished or there twice, or they are of several runs.

    """
    first, *others = parts
    whole = _whole(parts[first], first)
    for name in others:
        if (other := _whole(parts[name], name)) != whole:
            changed = sorted(key for key in {*whole, *other} if whole.get(key) != other.get(key))
            raise EvalError(f"{first} and {name} are of several runs: {', '.join(changed)} differ")
    named = {name: read_part(str(results.settings["part"])) for name, results in parts.items()}
    of = next(iter(named.values())).of
    by_number: dict[int, str] = {}
    for name, part in named.items():
        if part.of != of:
            raise EvalError(f"{first} is one of {of} parts and {name} one of {part.of}")
        if part.number in by_number:
            raise EvalError(f"part {part.number}/{of} is in {by_number[part.number]} and in {name}")
        by_number[part.number] = name
    if missing := [f"{number}/{of}" for number in range(1, of + 1) if number not in by_number]:
        raise EvalError(f"{len(missing)} of {of} parts are missing: {', '.join(missing[:10])}")
    columns = []
    for number in range(1, of + 1):
        name = by_number[number]
        results = parts[name]
        columns.append(_by_problem(name, results, named[name]))
    records: list[Record] = []
    for place in range(int(parts[first].settings["problems"])):
        records += columns[place % of][place // of]
    settings = {key: value for key, value in whole.items() if key not in ("problems", "samples")}
    return Results(settings, records)


def _whole(results: Results, name: str) -> dict[str, Any]:
    """Return the settings that all parts of a run have."""
    settings = dict(results.settings)
    if settings.get("kind") != SAMPLES or "part" not in settings:
        raise EvalError(f"{name} is no part of a run; expected files of --part I/N with --out")
    del settings["part"]
    return settings


def _by_problem(name: str, results: Results, part: Part) -> Sequence[Sequence[Record]]:
    """Return the records of each problem of a part, in order."""
    samples = int(results.settings["samples"])
    problems: dict[str, dict[int, Record]] = {}
    for record in results.records:
        problems.setdefault(record["task_id"], {})[record["sample"]] = record
    size = part.size(int(results.settings["problems"]))
    done = sum(len(of_problem) for of_problem in problems.values())
    if done != size * samples or len(problems) != size:
        raise EvalError(
            f"{name} has {done} of {size * samples} samples; run its command again, which goes on "
            "from there"
        )
    return [[by_sample[i] for i in range(samples)] for by_sample in problems.values()]
