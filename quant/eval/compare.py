"""Two variants on the same problems or holes, pair by pair.

Two headline figures differ by chance alone; the pairs that changed say whether there is more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...runtime.errors import EvalError
from .figures import interval, mcnemar
from .fim import MEASURED
from .results import HOLES, Record, Results
from .samples import passed_by_problem

# Settings that two runs may differ in and still be compared.
MAY_DIFFER = {"bundle", "variant"}


@dataclass(frozen=True)
class Pairs:
    """Who solved what. `p_value` is McNemar's, exact and two-sided.

    Args:
        both: solved by both; only_a, only_b, neither likewise.
        changed: names of what only one solved, and which: a or b.
        left_out: what only one of the two runs has tried.
        difference: mean of b's share of passed samples less a's, in percent.
        interval: its 95 % bootstrap interval over the pairs.

    """

    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float
    changed: dict[str, str]
    left_out: int
    difference: float
    interval: tuple[float, float]


def check_comparable(a: Results, b: Results) -> list[str]:
    """Return the settings in which the two differ beside bundle and variant.

    Raises:
        EvalError: when they are not of the same problems or holes.

    """
    one, other = a.settings, b.settings
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    for name in ("benchmark", "sha256"):
        if name in names:
            raise EvalError(
                f"{a.path} is of {one.get('benchmark')} and {b.path} of {other.get('benchmark')}"
                f"{' in another version' * (name == 'sha256')}; expected the same benchmark"
            )
    return [name for name in names if name not in MAY_DIFFER]


def compare_results(a: Results, b: Results) -> dict[str, Any]:
    """Compare two runs of one benchmark: who solved what, and for holes what the truth costs.

    Solved means that at least half of a problem's samples passed, or that a hole was filled
    exactly.
    """
    if a.settings.get("kind") == HOLES:
        one, other = _measured(a), _measured(b)
        pairs = compare_shares(
            *({n: float(r["exact"]) for n, r in x.items()} for x in (one, other))
        )
        return {**asdict(pairs), "bits_per_byte": _bits(one, other)}
    shares = [
        {name: sum(passed) / len(passed) for name, passed in passed_by_problem(r.records).items()}
        for r in (a, b)
    ]
    return asdict(compare_shares(*shares))


def _measured(results: Results) -> dict[str, Record]:
    return {r["hole"]: r for r in results.records if r["outcome"] == MEASURED}


def _bits(a: Mapping[str, Record], b: Mapping[str, Record]) -> dict[str, Any]:
    """Return how many bits a byte b pays more than a, hole by hole, in each order."""
    differences = {}
    for order in next(iter(a.values()))["end_probability"] if a else ():
        more = [
            (b[name]["bits"][order] - a[name]["bits"][order]) / a[name]["bytes"]
            for name in a
            if name in b
        ]
        differences[order] = {"difference": sum(more) / len(more), "interval": interval(more)}
    return differences


def compare_shares(a: Mapping[str, float], b: Mapping[str, float]) -> Pairs:
    """Compare the share of success, 0 to 1, of what both have.

    Raises:
        EvalError: when they have nothing in common.

    """
    names = [name for name in a if name in b]
    if not names:
        raise EvalError("the two runs have no problem in common; run both on the same ones")
    solved = {name: (a[name] >= 0.5, b[name] >= 0.5) for name in names}
    counts = {pair: list(solved.values()).count(pair) for pair in _PAIRS}
    both, only_a, only_b, neither = (counts[pair] for pair in _PAIRS)
    differences = [100 * (b[name] - a[name]) for name in names]
    return Pairs(
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=neither,
        p_value=mcnemar(only_a, only_b),
        changed={
            name: "a" if first else "b" for name, (first, last) in solved.items() if first != last
        },
        left_out=len(a.keys() ^ b.keys()),
        difference=sum(differences) / len(differences),
        interval=interval(differences),
    )


_PAIRS = ((True, True), (True, False), (False, True), (False, False))
