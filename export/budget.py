"""Forms chosen weight by weight, by what each would lose: for so many bytes, or so little loss."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..quant.schemes import Scheme
from ..quant.sensitivity import FORMS
from ..quant.texts.sources import Source
from ..runtime.bundle import contract as layout
from ..runtime.errors import ExportError, OptionError
from .calibration import Calibration
from .inspect import Inspected
from .progress import Track
from .quality import measure
from .ranking import ranking
from .variants import shares_head, specs_in, write_variants
from .weights import estimate_bytes


@dataclass(frozen=True)
class Limit:
    """What a variant of blocks may have or lose: bytes of its data file, or mean KL in nats."""

    bytes: int | None = None
    kl: float | None = None

    def __str__(self) -> str:
        return f"{self.bytes:,} bytes" if self.bytes is not None else f"a mean KL of {self.kl:g}"


def _uniform(scheme: Scheme, *, shared: bool) -> Scheme:
    """Return the scheme with the smallest form for every weight; a shared head has its own."""
    smallest = FORMS[0]
    head = scheme.head if shared else smallest
    return replace(scheme, embedding=smallest, matrix=smallest, kv=smallest, head=head)


def fitted(
    work: Path,
    checked: Inspected,
    scheme: Scheme,
    calibration: Calibration,
    data: Sequence[Source],
    limit: Limit,
    track: Track,
) -> Scheme:
    """Return a scheme of blocks with a form for each weight, so that the limit is kept.

    Trials are written into `work`, rounded as the variant will be, and removed again; what
    the folder of rounding in sequence has of them serves the variant.

    Raises:
        OptionError: when no mix keeps it; says what the nearest has.

    """
    specs = specs_in(checked.decoder, scheme)
    smallest = estimate_bytes(specs, _uniform(scheme, shared=shares_head(checked.decoder, scheme)))
    if limit.bytes is not None and limit.bytes < smallest:
        raise OptionError(
            f"no mix has at most {limit.bytes:,} bytes; the smallest has about {smallest:,}"
        )
    ranked = ranking(checked, scheme, calibration, track)
    if limit.bytes is not None:
        return ranked.within(limit.bytes, functools.partial(estimate_bytes, specs))

    def lost(mixed: Scheme) -> float:
        trial = work / "trial"
        trial.mkdir()
        try:
            write_variants(trial, checked, [mixed], calibration, track)
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
