"""Forms chosen weight by weight, by what each would lose: for so many bytes, or so little loss."""

from __future__ import annotations

import functools
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..quant.mix import Choice, Mix, best_within, mixes, size_of
from ..quant.pack import packed_bytes
from ..quant.schemes import Blocks, Scheme
from ..quant.sensitivity import FORMS, Choices, as_kl, rank, rank_head
from ..quant.texts.sources import Source
from ..runtime.bundle import contract as layout
from ..runtime.bundle.decoder import EMBEDDING, HEAD
from ..runtime.bundle.places import SHARED_BITS
from ..runtime.errors import ExportError, OptionError
from .inspect import Inspected
from .layerwise import Ids, Layerwise
from .progress import Track
from .quality import measure
from .roles import norm_matrix_spec, rotation_spec
from .variants import shares_head, specs_in, write_variants
from .weights import Stage, estimate_bytes, form_of

_CLOSE = 1.01  # mixes whose sizes differ by less are as good as one
_TRIES = 6
_NOTHING = 1e-30  # stands for 0 in quotients
_AIM = 0.98  # of a limit: a look that just misses it is a look wasted

Measure = Callable[[Scheme], float]


@dataclass(frozen=True)
class Limit:
    """What a variant of blocks may have or lose: bytes of its data file, or mean KL in nats."""

    bytes: int | None = None
    kl: float | None = None

    def __str__(self) -> str:
        return f"{self.bytes:,} bytes" if self.bytes is not None else f"a mean KL of {self.kl:g}"


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


def ranking(checked: Inspected, scheme: Scheme, texts: Sequence[Ids], track: Track) -> Ranking:
    """Return what each form would lose of each weight, on calibration texts."""
    choices: Choices = {}
    energies: dict[str, float] = {}
    float_bytes = 4 * math.prod(rotation_spec(checked.decoder).shape)
    with track("ranking weights", checked.sizes.layers + 2) as advance:
        for stage in Layerwise(checked, rotated=scheme.rotated).calibrate(texts):
            floats = [stage.weights[spec.name] for spec in stage.specs if not spec.rounds]
            float_bytes += sum(weight.nbytes for weight in floats)
            if stage.readout is None:
                final = stage.stream_energy
                ranked = _rank(stage)
                energies |= dict.fromkeys(ranked, final)
            else:
                gain = stage.readout.gain
                moments = stage.moments[HEAD]
                ranked = {HEAD: rank_head(stage.weights[HEAD], moments, stage.readout)}
            choices |= ranked
            advance(1)
    for name, energy in energies.items():
        choices[name] = [
            replace(choice, loss=as_kl(choice.loss, gain, energy, final))
            for choice in choices[name]
        ]
    if shares_head(checked.decoder, scheme):
        choices[EMBEDDING] = _shared(choices[EMBEDDING], choices.pop(HEAD))
        width, form = checked.decoder.width, form_of(norm_matrix_spec(checked.decoder), scheme)
        float_bytes += packed_bytes((width, width), form)
    return Ranking(scheme, choices, float_bytes)


def _shared(embedding: list[Choice], head: list[Choice]) -> list[Choice]:
    """Return the choices for a table that is both, of the forms that lookups of it know."""
    lost = {choice.form: choice.loss for choice in head}
    return [
        replace(choice, loss=choice.loss + lost[choice.form])
        for choice in embedding
        if isinstance(choice.form, Blocks) and choice.form.bits == SHARED_BITS
    ]


def _uniform(scheme: Scheme, *, shared: bool) -> Scheme:
    """Return the scheme with the smallest form for every weight; a shared head has its own."""
    smallest = FORMS[0]
    head = scheme.head if shared else smallest
    return replace(scheme, embedding=smallest, matrix=smallest, kv=smallest, head=head)


def _rank(stage: Stage) -> Choices:
    ranked = {spec.name: stage.weights[spec.name] for spec in stage.specs if spec.rounds}
    writers = {spec.name: spec.writer for spec in stage.specs if spec.rounds and spec.writer}
    return rank(ranked, stage.moments, writers, stage.stream_energy)


def _loss_of(mix: Mix) -> float:
    return sum(choice.loss for choice in mix.values()) or _NOTHING


def fitted(
    work: Path,
    checked: Inspected,
    scheme: Scheme,
    texts: Sequence[Ids],
    data: Sequence[Source],
    limit: Limit,
    track: Track,
    *,
    in_sequence: bool = True,
) -> Scheme:
    """Return a scheme of blocks with a form for each weight, so that the limit is kept.

    Trials are written into `work`, rounded as the variant will be, and removed again.

    Raises:
        OptionError: when no mix keeps it; says what the nearest has.

    """
    specs = specs_in(checked.decoder, scheme)
    smallest = estimate_bytes(specs, _uniform(scheme, shared=shares_head(checked.decoder, scheme)))
    if limit.bytes is not None and limit.bytes < smallest:
        raise OptionError(
            f"no mix has at most {limit.bytes:,} bytes; the smallest has about {smallest:,}"
        )
    ranked = ranking(checked, scheme, texts, track)
    if limit.bytes is not None:
        return ranked.within(limit.bytes, functools.partial(estimate_bytes, specs))

    def lost(mixed: Scheme) -> float:
        trial = work / "trial"
        trial.mkdir()
        try:
            write_variants(trial, checked, [mixed], texts, track, in_sequence=in_sequence)
            types = {mixed.name: mixed.activations}
            figures = measure(checked, trial, types, data=data, track=track)
        finally:
            shutil.rmtree(trial)
        mean: float = figures["variants"][mixed.name]["mean_kl"]
        return mean

    assert limit.kl is not None
    return ranked.below(limit.kl, lost)


def check_size(work: Path, schemes: Sequence[Scheme], limit: Limit) -> None:
    """See that data files of mixed forms are within a limit of bytes, now that they are written.

    Fitted scales may turn out too small for two bytes each, which nobody knows beforehand.

    Raises:
        ExportError: when one is not; says which limit to ask for.

    """
    for scheme in schemes:
        size = (work / layout.weights_file(scheme.name)).stat().st_size
        if scheme.forms and limit.bytes is not None and size > limit.bytes:
            raise ExportError(
                f"{scheme.name} takes {size:,} bytes and not {limit.bytes:,}, as some of its "
                f"scales need 4 bytes; ask for {2 * limit.bytes - size:,} bytes"
            )
