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
PART = "part_of"  # of settings
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
        raise OptionError(f"part {text!r:.40}; expected I/N with I from 1 to N, such as 2/3")
    return part


def part_settings(
    part: str | None, problems: int, samples: int, published: Mapping[int, float]
) -> dict[str, Any]:
    """Return what a part's settings say beside those of the whole run; nothing for that itself.

    `published` is the whole run's pass@k in percent, by k.
    """
    if part is None:
        return {}
    figures = {str(k): percent for k, percent in published.items()}
    return {PART: {"part": part, "problems": problems, "samples": samples, "published": figures}}


def merged(parts: Mapping[str, Results]) -> tuple[Results, dict[int, float]]:
    """Return the run that parts make, as one piece would have written it, and what was published.

    `parts` are by the names of their files.

    Raises:
        EvalError: when a part is missing, unfinished or there twice, or they are of several runs.

    """
    opened = {name: _opened(name, results) for name, results in parts.items()}
    first, *others = opened
    for name in others:
        _check_same(first, opened[first], name, opened[name])
    of = opened[first].part.of
    by_number: dict[int, str] = {}
    for name, one in opened.items():
        if (number := one.part.number) in by_number:
            raise EvalError(f"part {number}/{of} is in {by_number[number]} and in {name}")
        by_number[number] = name
    if missing := [f"{number}/{of}" for number in range(1, of + 1) if number not in by_number]:
        raise EvalError(f"{len(missing)} of {of} parts are missing: {', '.join(missing[:10])}")
    columns = [_by_problem(by_number[n], opened[by_number[n]]) for n in range(1, of + 1)]
    records: list[Record] = []
    for place in range(opened[first].problems):
        records += columns[place % of][place // of]
    return Results(opened[first].settings, records), opened[first].published


@dataclass(frozen=True)
class _Opened:
    """A file of a part: the settings of the whole run, and what it says of itself."""

    settings: dict[str, Any]
    part: Part
    problems: int
    samples: int
    published: dict[int, float]
    records: Sequence[Record]


def _opened(name: str, results: Results) -> _Opened:
    settings = dict(results.settings)
    own = settings.pop(PART, None)
    if settings.get("kind") != SAMPLES or not isinstance(own, dict):
        raise EvalError(f"{name} is no part of a run; expected files of --part I/N with --out")
    try:
        part = read_part(own["part"])
        problems, samples = own["problems"], own["samples"]
        if not all(type(count) is int and count > 0 for count in (problems, samples)):
            raise ValueError(f"{problems} problems of {samples} samples")
        published = {int(k): float(percent) for k, percent in own["published"].items()}
    except (OptionError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise EvalError(
            f"{name} says wrongly of what it is a part ({error}); run it again"
        ) from error
    return _Opened(settings, part, problems, samples, published, results.records)


def _check_same(first: str, one: _Opened, name: str, other: _Opened) -> None:
    if one.part.of != other.part.of:
        raise EvalError(f"{first} is one of {one.part.of} parts and {name} one of {other.part.of}")
    mine, its = (
        {**opened.settings, "problems": opened.problems, "samples": opened.samples}
        for opened in (one, other)
    )
    if changed := sorted(key for key in {*mine, *its} if mine.get(key) != its.get(key)):
        raise EvalError(f"{first} and {name} are of several runs: {', '.join(changed)} differ")


def _by_problem(name: str, opened: _Opened) -> Sequence[Sequence[Record]]:
    """Return the records of each problem of a part, in order."""
    problems: dict[str, dict[int, Record]] = {}
    for record in opened.records:
        problems.setdefault(record["task_id"], {})[record["sample"]] = record
    size, samples = opened.part.size(opened.problems), range(opened.samples)
    done = sum(sample in own for own in problems.values() for sample in samples)
    if len(problems) != size or done != size * len(samples):
        raise EvalError(
            f"{name} has {done} of {size * len(samples)} samples; run its command again, which "
            "goes on from there"
        )
    return [[own[sample] for sample in samples] for own in problems.values()]
