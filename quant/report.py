"""What a variant lost against full precision, on texts that the model was not calibrated on.

Knows neither graphs nor checkpoints: full precision yields logits, one array a text, and a variant
is a function from ids to logits. Whether a line is written exactly is read off the
same logits: greedy writing gives the true line just when every one of its ids, and then an end, is
the first choice after those before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..runtime.text.prompts import Layouts
from ..runtime.text.tokens import Tokens
from .texts.calibration import Ids, calibration_texts, filled
from .texts.holes import LINE, cut_holes
from .texts.sources import Source

Logits = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Run = Callable[[Ids], Logits]  # ids [T] to logits [T, V]

TEXTS, TEXT_TOKENS = 16, 512
LINES, LINE_TOKENS = 64, 192
SEED = 1  # calibration has another one
NEAR_CHANCE = 0.9  # of the cost of guessing evenly
CHANCE_NOTE = (
    "full precision itself is near chance here, as random weights are: these figures show what "
    "rounding does to numbers, and nothing of quality"
)
_ROWS = 128  # positions compared at once


@dataclass(frozen=True)
class Text:
    """Ids, and which of them are a line that the model is asked for: [start, end), or empty."""

    ids: Ids
    line: range


def report_texts(
    sources: Sequence[Source], tokens: Tokens, layouts: Layouts, context: int
) -> list[Text]:
    """Return texts as calibration has them, and lines asked for with the suffix first.

    Raises:
        EvalError: when the sources have no place for a hole.

    """
    length = min(TEXT_TOKENS, context)
    texts = calibration_texts(sources, tokens, layouts, texts=TEXTS, text_tokens=length, seed=SEED)
    cut = [Text(ids, range(0)) for ids in texts]
    for hole in cut_holes(sources, [LINE], LINES, SEED):
        ids = filled(hole, layouts.fim_default, tokens, layouts, min(LINE_TOKENS, context))
        size = len(tokens.encode(hole.middle))
        cut.append(Text(np.array(ids, np.int64), range(len(ids) - 1 - size, len(ids) - 1)))
    return cut


@dataclass
class Tally:
    """Sums over the positions of all texts."""

    kl: list[Scores] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)  # of KL, for each text
    first: int = 0  # positions with the same first choice
    among_five: int = 0  # ... with full precision's first choice among this one's first five
    nats: float = 0.0  # what the true text costs, special ids left out
    exact: list[bool] = field(default_factory=list)  # for each line


class Comparison:
    """Full precision, and what each variant makes of the same texts."""

    def __init__(self, texts: Sequence[Text], tokens: Tokens, layouts: Layouts) -> None:
        self._texts, self._tokens, self._specials = texts, tokens, layouts.special_ids
        # What is asked for at each position but the last, where it is no special id.
        self._plain = [~np.isin(text.ids[1:], list(layouts.special_ids)) for text in texts]
        targets = np.concatenate(
            [text.ids[1:][plain] for text, plain in zip(texts, self._plain, strict=True)]
        )
        self._bytes = sum(len(tokens.to_bytes(i)) for i in targets.tolist())
        self._targets, self._positions = len(targets), sum(len(text.ids) - 1 for text in texts)
        self._full = Tally()
        self._sums: dict[str, list[float]] = {}

    def run(
        self,
        full: Callable[[], Iterable[Logits]],
        variants: Mapping[str, Callable[[], Run]],
        advance: Callable[[int], None],
    ) -> dict[str, Any]:
        """Return the figures of full precision and of each variant, opened one after the other.

        `full` is asked once for itself and once for each variant, so that no more than one text's
        logits are ever kept. `advance` is called once a variant and text.
        """
        for number, logits in enumerate(full()):
            self._add(self._full, number, logits[:, : self._tokens.size])
        figures = {}
        for name, open_variant in variants.items():
            tally, run = Tally(), open_variant()
            for number, (text, logits) in enumerate(zip(self._texts, full(), strict=True)):
                got, want = (all_[:, : self._tokens.size] for all_ in (run(text.ids), logits))
                self._add(tally, number, got, want)
                advance(1)
            figures[name], self._sums[name] = self._figures(tally), tally.sums
        return {"full_precision": self._full_figures(), "variants": figures}

    def sums(self, name: str) -> Scores:
        """Return the KL of a variant that was run, summed over each text: for standard errors."""
        return np.array(self._sums[name])

    def _add(self, tally: Tally, number: int, logits: Logits, want: Logits | None = None) -> None:
        """Add what text `number` costs, and how far the choices are from those that are wanted."""
        text, plain, before = self._texts[number], self._plain[number], len(tally.kl)
        for start in range(0, len(logits) - 1, _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(logits) - 1))
            log_probabilities = _log_softmax(logits[rows])
            costs = -log_probabilities[np.arange(len(rows)), text.ids[rows + 1]]
            tally.nats += float(costs[plain[rows]].sum())
            if want is not None:
                _compare(tally, log_probabilities, _log_softmax(want[rows]))
        tally.sums.append(sum(float(kl.sum()) for kl in tally.kl[before:]))
        if text.line:
            tally.exact.append(self._is_exact(text, logits))

    def _is_exact(self, text: Text, logits: Logits) -> bool:
        before = slice(text.line.start - 1, text.line.stop - 1)
        choices = logits[before].argmax(axis=1)
        end = int(logits[text.line.stop - 1].argmax())
        ends = end in self._specials or self._tokens.to_bytes(end).startswith(b"\n")
        return ends and bool((choices == text.ids[text.line.start : text.line.stop]).all())

    def _full_figures(self) -> dict[str, Any]:
        guessing = self._targets * math.log(self._tokens.size)
        return {
            "bits_per_byte": rounded(self._full.nats / math.log(2) / self._bytes),
            "exact_lines": sum(self._full.exact),
            "lines": len(self._full.exact),
            "positions": self._positions,
            "at_chance": self._full.nats > NEAR_CHANCE * guessing,
        }

    def _figures(self, tally: Tally) -> dict[str, Any]:
        kl = np.concatenate(tally.kl)
        pairs = list(zip(self._full.exact, tally.exact, strict=True))
        return {
            "mean_kl": rounded(float(kl.mean())),
            "p99_kl": rounded(float(np.percentile(kl, 99))),
            "top1_agreement": rounded(tally.first / self._positions),
            "top5_agreement": rounded(tally.among_five / self._positions),
            "bits_per_byte": rounded(tally.nats / math.log(2) / self._bytes),
            "exact_lines": sum(tally.exact),
            "exact_only_in_full_precision": sum(full and not own for full, own in pairs),
            "exact_only_here": sum(own and not full for full, own in pairs),
        }


def quality_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield a report's figures as lines of a table."""
    full = figures["full_precision"]
    yield (
        f"full precision: {full['bits_per_byte']} bits a byte, {full['exact_lines']} of "
        f"{full['lines']} lines exact, over {full['positions']} positions"
    )
    if "rounding" in figures:
        yield f"weights rounded {figures['rounding']}"
    yield (
        f"{'variant':8} {'mean KL':>9} {'99th %':>9} {'first choice':>13} {'among 5':>8} "
        f"{'bits/byte':>10} {'exact lines (lost, won)':>24}"
    )
    for name, entry in figures["variants"].items():
        lost, won = entry["exact_only_in_full_precision"], entry["exact_only_here"]
        lines = f"{entry['exact_lines']} ({lost}, {won})"
        yield (
            f"{name:8} {entry['mean_kl']:9} {entry['p99_kl']:9} {entry['top1_agreement']:13.2%} "
            f"{entry['top5_agreement']:8.2%} {entry['bits_per_byte']:10} {lines:>24}"
        )
    if full["at_chance"]:
        yield CHANCE_NOTE


def _compare(tally: Tally, scores: Scores, exact: Scores) -> None:
    """Add how far a variant's log-probabilities are from full precision's, at some positions."""
    tally.kl.append((np.exp(exact) * (exact - scores)).sum(axis=1))
    best = exact.argmax(axis=1)
    five = np.argpartition(scores, -5, axis=1)[:, -5:]
    tally.first += int((scores.argmax(axis=1) == best).sum())
    tally.among_five += int((five == best[:, None]).any(axis=1).sum())


def _log_softmax(logits: Logits) -> Scores:
    scores: Scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scores


def rounded(value: float) -> float:
    """Keep four digits: enough to compare, too few to differ between machines."""
    return float(f"{value:.4g}")
