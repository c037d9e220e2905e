"""What was measured, as Markdown: the medians, and their ratios beside what is aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .engines import IK, OPTIONAL, PLAIN_INT4, PLAIN_INT8, Runner
from .prompts import ANSWER
from .work import AT_ONCE, EDITS, OWN_STEP, PAUSED, WRITTEN

SPEED, PART = "times as fast", "of its"  # how a ratio is put, and which side of the aim is good
FIRST, ALL = "keystroke to first token", f"keystroke to {ANSWER} tokens"
COLD = "cold start to first token"
IMPORTED = "the same, after Python's imports"
AT_ONCE_ENDING = f", {AT_ONCE} at once"
ANONYMOUS, MAPPED, PEAK = "memory of its own", "mapped from files", "peak memory"


@dataclass
class Measurements:
    """All that was measured: values by engine and measure, then by setting."""

    values: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)

    def add(self, runner: Runner, measures: Mapping[str, float]) -> None:
        """Add what one piece of work measured."""
        for measure, value in measures.items():
            settings = self.values.setdefault((runner.engine, measure), {})
            settings.setdefault(runner.setting, []).append(value)

    def best(self, engine: str, measure: str) -> tuple[float, str] | None:
        """Return the lowest median of an engine's settings, and the setting."""
        settings = self.values.get((engine, measure))
        if not settings:
            return None
        return min((statistics.median(values), name) for name, values in settings.items())

    @property
    def engines(self) -> list[str]:
        """Engines in the order in which they came."""
        return list(dict.fromkeys(engine for engine, _ in self.values))

    @property
    def measures(self) -> list[str]:
        """Measures in the order in which they came."""
        return list(dict.fromkeys(measure for _, measure in self.values))


@dataclass(frozen=True)
class Aim:
    """A ratio that is aimed at, between what two engines take for two measures."""

    ours: str | tuple[str, ...]
    theirs: str
    measure: str
    ratio: float | None
    kind: str = SPEED
    their_measure: str = ""

    def met(self, value: float) -> bool:
        """Whether a ratio is as good as the aim."""
        if self.ratio is None:
            return True
        return value >= self.ratio if self.kind == SPEED else value <= self.ratio


BEST = ("int4", *OPTIONAL)  # engines beside onnxruntime
AIMS = (
    Aim("int4", "Q4_0", "prefill 512", 2.8),
    Aim("int4", "OpenVINO", "prefill 512", 1.15),
    Aim("int4", "Q4_0", "prefill 2048", None),
    Aim("int4", "OpenVINO", "prefill 2048", None),
    Aim("int4", "Q4_0", "decode at 64", 1.6),
    Aim("int4", "Q4_0", "decode at 2048", 1.6),
    Aim("int4", "int4", f"decode at 64, {AT_ONCE} at once", 1.25, PART, "decode at 64"),
    Aim("int4", "Q4_0", f"decode at 64, {AT_ONCE} at once", None),
    *(Aim(PLAIN_INT4, "Q4_0", f"prefill {n}", 1.25) for n in (512, 2048)),
    *(Aim("hybrid", "Q4_0", f"prefill {n}", 2.0) for n in (512, 2048)),
    *(Aim(BEST, "Q4_0", f"prefill {n}", 2.3) for n in (512, 2048)),
    *(Aim(BEST, "OpenVINO", f"prefill {n}", 1.0) for n in (512, 2048)),
    *(Aim("int8", "Q8_0", f"prefill {n}", 2.5) for n in (512, 2048)),
    *(Aim("int8", "Q8_0", f"decode at {n}", 1.3) for n in (64, 2048)),
    *(Aim("int8", PLAIN_INT8, f"prefill {n}", 1.0) for n in (512, 2048)),
    Aim("int8", PLAIN_INT8, "decode at 64", None),
    Aim(PLAIN_INT4, "Q4_0", "decode at 64", 1.1),
    Aim(PLAIN_INT4, "Q4_0", "decode at 2048", 1.3),
    Aim("int4", "Q4_0", f"{FIRST}, spm", 0.3, PART),
    Aim("int4", "int4", f"{FIRST}, spm", 1.3, PART, OWN_STEP),
    Aim("int4", "Q4_0", f"{FIRST}, {PAUSED}", 0.3, PART, f"{FIRST}, spm"),
    Aim("int4", "int4", f"{FIRST}, {PAUSED}", 1.3, PART, OWN_STEP),
    Aim("int4", "Q4_0", f"{FIRST}, spm", 0.03, PART, f"{FIRST}, psm"),
    Aim("int4", "Q4_0", f"{ALL}, spm", 0.6, PART),
    Aim("int4", "Q4_0", COLD, 0.6, PART),
    Aim("int4", "Q4_0", ANONYMOUS, None, PART),
    Aim("int4", "Q4_0", PEAK, None, PART),
)


FULL_WIDTH = ("amx", "avx512vnni")  # kinds of CPU with the wide products


def aims_of(orders: Sequence[str], kind: str) -> tuple[Aim, ...]:
    """Return what is aimed at with real weights: our int4 beside Q4_0 of the same model."""
    own, *others = (f"{FIRST}, {order}" for order in orders)
    whole, prompt = f"{ALL}, {orders[0]}", 2.5 if kind in FULL_WIDTH else 2.0
    return (
        Aim("int4", "Q4_0", "prefill 512", prompt),
        Aim("int4", "Q4_0", "prefill 2048", None),
        Aim("int4", "OpenVINO", "prefill 512", None),
        Aim("int4", "OpenVINO", "prefill 2048", None),
        Aim("int8", "Q8_0", "prefill 512", None),
        Aim("int4", "Q4_0", "decode at 64", 1.6),
        Aim("int4", "Q4_0", "decode at 2048", None),
        Aim("int4", "Q4_0", f"decode at 64, {AT_ONCE} at once", None),
        Aim("int4", "Q4_0", own, None, PART),
        *(Aim("int4", "Q4_0", own, None, PART, other) for other in others),
        Aim("int4", "Q4_0", f"{FIRST}, {PAUSED}", None, PART, own),
        Aim("int4", "Q4_0", whole, 0.35, PART),
        Aim("int4", "Q4_0", COLD, 0.5, PART),
        Aim("int4", "Q4_0", PEAK, 0.7, PART),
    )


def in_units(measure: str, value: float) -> str:
    """Return a value in the unit that suits its measure."""
    if measure in (ANONYMOUS, MAPPED, PEAK):
        return f"{value / 1e6:.0f} MB"
    if measure.startswith("prefill"):
        return f"{int(measure.split()[1]) / value:.0f} tokens/s"
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def medians(measurements: Measurements) -> str:
    """Return the table of medians; of an engine's settings the better one, which is named."""

    def cell(engine: str, measure: str) -> str:
        best = measurements.best(engine, measure)
        if best is None:
            return ""
        return in_units(measure, best[0]) + (f" ({best[1]})" if best[1] else "")

    return table(
        ["", *measurements.engines],
        ([m, *(cell(engine, m) for engine in measurements.engines)] for m in measurements.measures),
    )


def ratios(measurements: Measurements, *, aims: Sequence[Aim] = AIMS) -> str:
    """Return the table of ratios beside what is aimed at."""
    rows = []
    on_edits = 2.0 if aims is AIMS else None  # where all write what was typed next
    for aim in (*aims, *_aims_of_traces(measurements, on_edits), *_beside(measurements, IK)):
        ours = [aim.ours] if isinstance(aim.ours, str) else list(aim.ours)
        value = ratio(measurements, aim)
        what = aim.measure
        if aim.their_measure:
            what += f", against {aim.their_measure}"
        goal = "" if aim.ratio is None else f"{'>=' if aim.kind == SPEED else '<='} {aim.ratio}x"
        met = "" if value is None or aim.ratio is None else "yes" if aim.met(value) else "no"
        measured = "not measured" if value is None else f"{value:.3g}x"
        names = " or ".join(ours) or "best optional engine"
        rows.append([what, f"{names} to {aim.theirs}", measured, goal, met])
    return table(["", "", "ratio", "aim", "met"], rows)


def _aims_of_traces(measurements: Measurements, ratio: float | None) -> list[Aim]:
    """Return what is aimed at where edits are typed again; our drafts beside none of theirs."""
    written = [m for m in measurements.measures if m.startswith(EDITS) and m.endswith(WRITTEN)]
    return [Aim("int4", "Q4_0", measure, ratio) for measure in written]


def ratios_of_one_kind(measurements: Measurements) -> str:
    """Return ours beside llama.cpp, and each engine's tokens at once beside its single ones.

    Nothing is aimed at: what was aimed at was another kind of CPU.
    """
    at_once = [
        Aim(engine, engine, measure, None, PART, measure.removesuffix(AT_ONCE_ENDING))
        for engine in measurements.engines
        for measure in measurements.measures
        if measure.endswith(AT_ONCE_ENDING)
    ]
    beside = (*_beside(measurements, "Q4_0"), *_beside(measurements, "Q8_0", "int8"))
    return ratios(measurements, aims=(*beside, *at_once))


def _beside(measurements: Measurements, engine: str, ours: str = "int4") -> list[Aim]:
    """Return one of ours beside an engine, at whatever both did; nothing is aimed at."""
    return [
        Aim(ours, engine, m, None) for m in measurements.measures if measurements.best(engine, m)
    ]


def ratio(measurements: Measurements, aim: Aim) -> float | None:
    """Return the ratio of the better one of ours: how many times as fast, or which part."""
    ours = (aim.ours,) if isinstance(aim.ours, str) else aim.ours
    values = [best[0] for name in ours if (best := measurements.best(name, aim.measure))]
    theirs = measurements.best(aim.theirs, aim.their_measure or aim.measure)
    if not values or theirs is None:
        return None
    return theirs[0] / min(values) if aim.kind == SPEED else min(values) / theirs[0]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
