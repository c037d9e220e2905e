"""What a run comes to: how many mutants of each kind were opened, and every distinct fault."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .outcome import ANSWERED, FINE, REFUSED
from .runner import Result

STACK_LINES = 10
_FIRST = "most recent call first"  # how faulthandler writes; a traceback has it last
_NUMBERS = re.compile(r"0x[0-9a-f]+|-?\d[\d.e+_]*|nan|inf|'[^']*'|\"[^\"]*\"|(?:/|WORK)\S+")
_FRAME = re.compile(r'File "[^"]*?/((?:runtime|export|quant)/[^"]+)", line \d+,? in (\w+)')
_C_FRAME = re.compile(r"#\d+ \S+ in (\w+) .*/runtime/backends/native/(\w+\.[ch])")


@dataclass
class Fault:
    """Jobs that failed in the same way at the same place."""

    verdict: str
    message: str
    place: str
    example: Result
    detail: str
    numbers: list[int] = field(default_factory=list)
    jobs: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)


def outcome(result: Result) -> str:
    """Return one word for a mutant: fault, answered (by any job) or refused (by all)."""
    verdicts = {job["verdict"] for job in result["jobs"].values()}
    if verdicts - set(FINE):
        return "fault"
    return ANSWERED if ANSWERED in verdicts else REFUSED


def faults(results: Iterable[Result]) -> list[Fault]:
    """Return distinct faults, the most frequent first."""
    distinct: dict[tuple[str, str, str], Fault] = {}
    for result in results:
        for name, job in result["jobs"].items():
            if job["verdict"] in FINE:
                continue
            place = _place(job["detail"])
            # Short, as what follows is which of a graph's operators it was, and the like.
            key = (job["verdict"], prefix(job["message"])[:60], place)
            new = Fault(job["verdict"], job["message"], place, result, job["detail"])
            fault = distinct.setdefault(key, new)
            fault.numbers.append(result["number"])
            fault.jobs[name] += 1
            fault.kinds[result["kind"]] += 1
    return sorted(distinct.values(), key=lambda fault: -len(fault.numbers))


def prefix(message: str) -> str:
    """Return the start of a message without numbers, names and paths."""
    return " ".join(_NUMBERS.sub("_", message).split())[:90]


def _place(detail: str) -> str:
    """Return the innermost function of the product in a stack."""
    c_frames = _C_FRAME.findall(detail)
    if c_frames:
        return " in ".join(c_frames[0])
    frames = _FRAME.findall(detail)
    if not frames:
        return ""
    file, name = frames[0] if _FIRST in detail else frames[-1]
    return f"{name} in {file}"


def lines(results: Iterable[Result], seed: int) -> Iterator[str]:
    """Yield the report on a seed's results."""
    every = sorted(results, key=lambda result: result["number"])
    yield from _table(every)
    yield ""
    yield from _refusals(every)
    for number, fault in enumerate(faults(every), start=1):
        yield ""
        job = next(iter(fault.jobs))
        yield f"fault {number}: {fault.verdict}, {_printable(fault.message)[:300]}"
        yield f"  in {fault.place or 'no function of ours'}; {len(fault.numbers)} times"
        yield f"  by {_counts(fault.jobs)}; kinds {_counts(fault.kinds)}"
        yield f"  first: {fault.example['change'][:300]!r} ({job})"
        yield f'  repeat: make fuzz ARGS="--seed {seed} --only {fault.numbers[0]}"'
        yield from (f"    | {_printable(line)}" for line in _innermost(fault.detail))


def _printable(text: str) -> str:
    """Return a text in one line, as messages quote hostile files."""
    return "".join(c if c.isprintable() else " " for c in text)


def _innermost(detail: str) -> list[str]:
    """Return the lines of a stack about where it ended."""
    stack = [line for line in detail.splitlines() if line.strip(" ^~")]
    stack = [line for line in stack if not line.startswith("Extension modules")]
    first = _FIRST in detail or "Sanitizer" in detail
    return stack[:STACK_LINES] if first else stack[-STACK_LINES:]


def _table(results: list[Result]) -> Iterator[str]:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        by_kind[result["kind"]][outcome(result)] += 1
        by_kind["all"][outcome(result)] += 1
    yield f"{'kind':24} {'mutants':>8} {'opened':>8} {'refused':>8} {'faults':>8} {'opened':>7}"
    for kind in [*sorted(by_kind.keys() - {"all"}), *({"all"} & by_kind.keys())]:
        counts, total = by_kind[kind], sum(by_kind[kind].values())
        yield (
            f"{kind:24} {total:8} {counts[ANSWERED]:8} {counts[REFUSED]:8} {counts['fault']:8} "
            f"{counts[ANSWERED] / total:7.0%}"
        )


def _refusals(results: list[Result]) -> Iterator[str]:
    """Say what the doors are at which mutants end."""
    reasons: Counter[str] = Counter()
    for result in results:
        for job in result["jobs"].values():
            if job["verdict"] == REFUSED:
                reasons[prefix(job["message"])] += 1
    total = sum(reasons.values())
    if total:
        yield f"{total} refusals by jobs, by how they start:"
    for reason, count in reasons.most_common(25):
        yield f"  {count / total:6.1%}  {reason}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counter.most_common(6))
