"""From logits to the next id. Pure numpy: logits in, id out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..annotated import check_fields
from ..errors import BundleError, OptionError, one_line

GREEDY_BELOW = 0.05  # the temperature under which the model's own server is greedy

Logits = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Filters apply in this order: penalties, temperature, top_k, top_p, min_p. Below a
    temperature of 0.05 the most likely token is chosen and the other filters do not matter.

    Args:
        temperature: divides the logits; 0 is greedy.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set whose probability reaches this share; 1 keeps all.
        min_p: drop tokens less likely than this share of the likeliest one; 0 drops none.
        repetition_penalty: over 1 makes tokens of the prompt and the answer less likely
            (Keskar et al. 2019); 1 changes nothing.
        presence_penalty: subtracted from the logits of tokens that were drawn before.
        frequency_penalty: subtracted from them as often as they were drawn.
        seed: the same seed gives the same text; None draws a new one each time.

    Raises:
        OptionError: when a value is outside its range; lists all that are.

    """

    temperature: float = 0.2
    top_k: int = 50
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        rules = (
            ("temperature", 0 <= self.temperature <= 100, "0 to 100"),
            ("top_k", _is_count(self.top_k), "a whole number, 0 or more"),
            ("top_p", 0 < self.top_p <= 1, "over 0 and at most 1"),
            ("min_p", 0 <= self.min_p < 1, "0 or more and under 1"),
            ("repetition_penalty", 0.01 <= self.repetition_penalty <= 100, "0.01 to 100"),
            ("presence_penalty", abs(self.presence_penalty) <= 2, "-2 to 2"),
            ("frequency_penalty", abs(self.frequency_penalty) <= 2, "-2 to 2"),
            ("seed", self.seed is None or _is_count(self.seed), "a whole number, 0 or more"),
        )
        problems = [
            f"{name} {getattr(self, name)}; expected {rule}" for name, ok, rule in rules if not ok
        ]
        if problems:
            raise OptionError("; ".join(problems), problems=problems)

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always chosen."""
        return self.temperature < GREEDY_BELOW

    def needs_only(self, greatest: int) -> bool:
        """Whether so many of the greatest logits, and no others, decide what is drawn."""
        penalties = self.repetition_penalty, self.presence_penalty, self.frequency_penalty
        few = self.greedy or 0 < self.top_k <= greatest
        return few and penalties == (1, 0, 0)


def _is_count(value: float) -> bool:
    return isinstance(value, int) and value >= 0


GREEDY = Sampling(temperature=0.0)


def sampling_defaults(values: Mapping[str, Any], bundle: Path) -> tuple[Sampling, int]:
    """Return a manifest's default sampling, and the most new tokens where a caller says nothing.

    Raises:
        BundleError: when a value is missing, unknown or outside its range.

    """
    defaults = dict(values)
    try:
        max_tokens = defaults.pop("max_tokens")
        if type(max_tokens) is not int or max_tokens < 1:
            raise ValueError(f"max_tokens {max_tokens!r:.40}")
        return Sampling(**defaults), max_tokens
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{bundle}: unusable sampling defaults ({one_line(error)}); export the model again"
        ) from error


class Sampler:
    """Draws one sequence's tokens: the settings and the random state that goes with them."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._drawn: Counter[int] = Counter()

    def pick(
        self,
        logits: Logits,
        history: Sequence[int],
        forbidden: Sequence[int] = (),
        allowed: npt.NDArray[np.int64] | None = None,
    ) -> int:
        """Return the next id for `logits` [V]; `history` is the prompt and the answer so far.

        Ids that are forbidden, or not among those allowed, are never chosen.

        Raises:
            BundleError: when the best of the logits is no finite number.

        """
        picked = self._pick(logits, history, forbidden, allowed)
        self._drawn[picked] += 1
        return picked

    def _pick(
        self,
        logits: Logits,
        history: Sequence[int],
        forbidden: Sequence[int],
        allowed: npt.NDArray[np.int64] | None,
    ) -> int:
        scores = logits.astype(np.float64)
        scores[list(forbidden)] = -np.inf
        if allowed is not None:
            others = np.ones(len(scores), bool)
            others[allowed] = False
            scores[others] = -np.inf
        if self.sampling.repetition_penalty != 1:
            scores = penalize(scores, history, self.sampling.repetition_penalty)
        if self.sampling.presence_penalty or self.sampling.frequency_penalty:
            before = np.fromiter(self._drawn, np.int64)
            often = np.fromiter(self._drawn.values(), np.float64)
            scores[before] -= self.sampling.presence_penalty
            scores[before] -= self.sampling.frequency_penalty * often
        best = int(np.argmax(scores))  # a NaN comes first, where there is one
        check_finite(scores[best])
        if self.sampling.greedy:
            return best
        ids, probabilities = candidates(scores, self.sampling)
        drawn = np.searchsorted(np.cumsum(probabilities), self._random.random(), side="right")
        # The sum of all shares may fall short of 1 by a rounding.
        return int(ids[min(int(drawn), len(ids) - 1)])


def check_finite(logit: float) -> None:
    """Refuse the best of some logits when it is no finite number.

    Raises:
        BundleError: says where such numbers come from.

    """
    if not np.isfinite(logit):
        raise BundleError(
            f"the model's best logit is {logit}, expected a finite number: its weights are damaged "
            "or too large for this variant; export the model again, or take another variant"
        )


def penalize(scores: Scores, history: Sequence[int], penalty: float) -> Scores:
    """Divide positive and multiply negative scores of the ids in `history` by `penalty`."""
    seen = np.unique(np.asarray(history, np.int64))
    seen = seen[seen < len(scores)]
    out = scores.copy()
    out[seen] = np.where(out[seen] > 0, out[seen] / penalty, out[seen] * penalty)
    return out


def candidates(scores: Scores, sampling: Sampling) -> tuple[npt.NDArray[np.int64], Scores]:
    """Return the ids that the filters of `sampling` leave and their probabilities, best first."""
    scores = scores / sampling.temperature
    count = sampling.top_k if 0 < sampling.top_k < len(scores) else len(scores)
    # Sorting a whole vocabulary would take longer than a tenth of a step.
    ids = np.argpartition(-scores, count - 1)[:count]
    ids = ids[np.argsort(-scores[ids], kind="stable")]
    powers = np.exp(scores[ids] - scores[ids[0]])
    probabilities = powers / powers.sum()
    keep = np.cumsum(probabilities) - probabilities < sampling.top_p
    if sampling.min_p > 0:
        keep &= probabilities >= sampling.min_p * probabilities[0]
    ids, probabilities = ids[keep], probabilities[keep]
    return ids, probabilities / probabilities.sum()
