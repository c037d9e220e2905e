"""Which weights lose most, and mixes of forms by that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..quant.mix import Choice, Mix, best_within, mixes, size_of
from ..quant.pack import packed_bytes
from ..quant.schemes import Blocks, Scheme
from ..quant.sensitivity import Choices, as_kl, rank, rank_head, rank_minded, rank_table
from ..runtime.bundle.decoder import EMBEDDING, HEAD
from ..runtime.bundle.places import SHARED_BITS
from ..runtime.errors import OptionError
from .calibration import Calibration
from .fisher import EMBEDDED, Fisher
from .inspect import Inspected
from .layerwise import Ids, Layerwise
from .progress import Track
from .roles import norm_matrix_spec, rotation_spec
from .variants import seen_by, shares_head
from .weights import Stage, form_of

_CLOSE = 1.01  # mixes whose sizes differ by less are as good as one
_TRIES = 6
_NOTHING = 1e-30  # stands for 0 in quotients
_AIM = 0.98  # of a limit: a look that just misses it is a look wasted

Measure = Callable[[Scheme], float]


@dataclass(frozen=True)
class Ranking:
    """A scheme of blocks, what each form would lose of each weight, and the bytes of floats."""

    scheme: Scheme
    choices: Choices
    float_bytes: int

    def within(self, limit_bytes: int, file_bytes: Callable[[Scheme], int] | None = None) -> Scheme:
        """Return the scheme with a form for each weight, so that all fit `limit_bytes`.

        With `file_bytes`, which tells the size of a scheme's data file, that is what fits.

        Raises:
            OptionError: when no mix of forms fits; says how large the smallest is.

        """
        padding = 0
        while True:
            mix = best_within(self.choices, limit_bytes, self.float_bytes + padding)
            scheme = self._with(mix)
            over = file_bytes(scheme) - limit_bytes if file_bytes else 0
            if over <= 0:
                return scheme
            padding += over

    def below(self, limit_kl: float, measure: Measure) -> Scheme:
        """Return the smallest scheme found that loses at most `limit_kl`, as `measure` tells.

        Each look makes and runs the whole variant, so there are few: the losses that were
        estimated tell where to look, and the last look tells how they compare with real ones.

        Raises:
            OptionError: when the best mix loses more; says how much.

        """
        steps = list(mixes(self.choices))
        lost = measure(best := self._with(steps[-1]))
        if not lost <= limit_kl:
            raise OptionError(
                f"no mix loses at most {limit_kl:g}; the best loses {lost:.4g} "
                f"in {size_of(steps[-1]) + self.float_bytes:,} bytes"
            )
        low, high = -1, len(steps) - 1  # what is known to lose too much, and what is good enough
        price = max(lost, _NOTHING) / _loss_of(steps[-1])
        for _ in range(_TRIES):
            if high - low <= 1 or (
                low >= 0 and size_of(steps[high]) < _CLOSE * size_of(steps[low])
            ):
                break
            aim = _AIM * limit_kl / price
            near = (i for i in range(low + 1, high) if _loss_of(steps[i]) <= aim)
            look = next(near, high - 1)
            lost = measure(scheme := self._with(steps[look]))
            price = max(lost, _NOTHING) / _loss_of(steps[look])
            if lost <= limit_kl:
                best, high = scheme, look
            else:
                low = look
        return best

    def _with(self, mix: Mix) -> Scheme:
        forms = {name: choice.form for name, choice in mix.items()}
        summary = "4 and 8 bits in blocks of 32 to 128, chosen weight by weight"
        return replace(self.scheme, forms=forms, summary=summary)


def ranking(
    checked: Inspected,
    scheme: Scheme,
    calibration: Calibration,
    track: Track,
) -> Ranking:
    """Return what each form would lose of each weight, on calibration texts.

    Where weights are rounded in sequence, gradients tell that; else it is guessed from what is
    written into the stream.
    """
    scratch, texts = calibration.scratch, calibration.longer or calibration.texts
    model = Layerwise(checked, rotated=scheme.rotated)
    fisher = seen_by(model, checked, texts, track, scratch) if scratch else None
    float_bytes = 4 * math.prod(rotation_spec(checked.decoder).shape)
    guessed = _Guessed()
    choices: Choices = {}
    with track("ranking weights", checked.sizes.layers + 2) as advance:
        for stage in model.calibrate(texts):
            floats = [stage.weights[spec.name] for spec in stage.specs if not spec.rounds]
            float_bytes += sum(weight.nbytes for weight in floats)
            if stage.readout is not None:
                moments = stage.moments[HEAD]
                choices[HEAD] = rank_head(stage.weights[HEAD], moments, stage.readout)
                guessed.end(stage.readout.gain)
            elif fisher is not None:
                choices |= _minded(stage, fisher, np.concatenate(texts))
            else:
                guessed.add(stage)
            advance(1)
    choices = guessed.choices | choices
    if shares_head(checked.decoder, scheme):
        choices[EMBEDDING] = _shared(choices[EMBEDDING], choices.pop(HEAD))
        width, form = checked.decoder.width, form_of(norm_matrix_spec(checked.decoder), scheme)
        float_bytes += packed_bytes((width, width), form)
    return Ranking(scheme, choices, float_bytes)


def _minded(stage: Stage, fisher: Fisher, ids: Ids) -> Choices:
    """Return what each form would lose of a layer's weights, or of the embedding's."""
    choices: Choices = {}
    for spec in stage.specs:
        weight = stage.weights[spec.name]
        if not spec.rounds:
            continue
        if moments := stage.moments.get(spec.name):
            gradients = fisher.moments(spec.name)
            choices[spec.name] = rank_minded(weight, moments.second, gradients)
        else:
            (second,) = fisher.moments(EMBEDDED)
            choices[spec.name] = rank_table(weight, ids, second)
    return choices


class _Guessed:
    """What is guessed without gradients, as energy in the stream until the head is known."""

    def __init__(self) -> None:
        self.choices: Choices = {}
        self._energies: dict[str, float] = {}
        self._last = 0.0

    def add(self, stage: Stage) -> None:
        """Take in the embedding, or a layer."""
        self._last = stage.stream_energy
        ranked = _rank(stage)
        self._energies |= dict.fromkeys(ranked, self._last)
        self.choices |= ranked

    def end(self, gain: float) -> None:
        """Turn energies into nats."""
        self.choices = {
            name: [
                replace(one, loss=as_kl(one.loss, gain, self._energies[name], self._last))
                for one in some
            ]
            for name, some in self.choices.items()
        }


def _shared(embedding: list[Choice], head: list[Choice]) -> list[Choice]:
    """Return the choices for a table that is both, of the forms that lookups of it know."""
    lost = {choice.form: choice.loss for choice in head}
    return [
        replace(choice, loss=choice.loss + lost[choice.form])
        for choice in embedding
        if isinstance(choice.form, Blocks) and choice.form.bits == SHARED_BITS
    ]


def _rank(stage: Stage) -> Choices:
    ranked = {spec.name: stage.weights[spec.name] for spec in stage.specs if spec.rounds}
    writers = {spec.name: spec.writer for spec in stage.specs if spec.rounds and spec.writer}
    return rank(ranked, stage.moments, writers, stage.stream_energy)


def _loss_of(mix: Mix) -> float:
    return sum(choice.loss for choice in mix.values()) or _NOTHING
