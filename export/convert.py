"""Checkpoint to bundle: the only place that joins reading, packing and graphs.

Everything is written into a folder beside the target, which is renamed when it is whole; the
manifest, without which the runtime accepts nothing, is written last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..quant.schemes import Blocks, Scheme, require_schemes
from ..quant.texts.sources import Source
from ..runtime.bundle import contract as layout
from ..runtime.bundle.decoder import HEAD
from ..runtime.errors import ExportError, OptionError
from ..runtime.files.atomic_write import recover
from ..runtime.trust.statement import SIGNATURE
from .beside import beside, check_space, check_writable
from .budget import Limit, check_size, fitted
from .calibration import Calibration, calibration_for, with_scratch
from .card import read_card
from .effort import effort_for, effort_of
from .inspect import Inspected, inspect_checkpoint
from .licences import LICENCE, licence_file, terms_of
from .manifest import Rounding, manifest_of, write_bill, write_json, write_side_files
from .naming import model_name
from .progress import SILENT, Track
from .quality import measure
from .variants import data_bytes, rounding_bytes, weight_count, write_variants
from .weights import VariantWriter


@dataclass(frozen=True)
class Exported:
    """A finished bundle: where it lies, its manifest, the licence file it carries, and notes."""

    path: Path
    manifest: dict[str, Any]
    licence: str | None
    notes: tuple[str, ...]  # on what it does without, and what costs bytes


def export_bundle(
    checkpoint: Path,
    target: Path,
    variants: list[str],
    *,
    force: bool = False,
    licence: Path | None = None,
    adapter: Path | None = None,
    calibration: Sequence[Source] = (),
    data: Sequence[Source] = (),
    effort: str | None = None,
    limit: Limit | None = None,
    prompts: str | None = None,
    name: str | None = None,
    track: Track = SILENT,
) -> Exported:
    """Convert the checkpoint folder into a bundle at `target`.

    With `calibration` files, weights are rounded for prompts cut from them, as well as the `effort`
    of that name allows (see `EFFORTS`), or that which fits the model's size; without, to the
    nearest. What rounding has done when it is interrupted lies beside `target`, and the next call
    goes on from there. With `data` files, what was lost is measured on them and stands in the
    manifest. A LoRA `adapter` is merged in first. The same checkpoint, files, tools and kind of
    machine give the same bytes. Within a `limit`, the forms of int4's weights are chosen by what
    each would lose. The manifest carries the model's `name`, by which servers list it: that of its
    config.json or folder when none is given.

    Raises:
        OptionError: when a variant or effort is unknown, no mix keeps the limit, or the name is
            none.
        CheckpointError: when checkpoint or adapter are not what they should be; lists all that is
            wrong.
        EvalError: when the files have no place for a hole.
        MissingExtraError: when onnxruntime is not installed, which calibrates and measures.
        ExportError: when `target` exists and `force` is not given, or the disk is full, or weights
            need more bytes than the limit leaves them after all.

    """
    schemes, wish = require_schemes(variants), effort_of(effort) if effort else None
    model_name(name, {}, checkpoint)  # a wrong one shows at once
    if limit is not None:
        _check_limit(limit, schemes, calibration, data)
    target = target.resolve()  # a link stays, and points at the new bundle
    recover(target)  # a bundle that a killed export has moved aside is replaced only by force, too
    _check_target(target, force)
    own_terms = licence_file(checkpoint, licence)
    check_writable(target)
    checked = inspect_checkpoint(checkpoint, track, adapter, prompts=prompts)
    how = wish or effort_for(weight_count(checked.decoder))
    rounded = any(scheme.rotated for scheme in schemes)
    blocks = [scheme for scheme in schemes if isinstance(scheme.matrix, Blocks)]
    rounding = Calibration()
    if calibration and rounded:
        rounding = calibration_for(checked, calibration, how, blocks=bool(blocks))
    scratch_bytes = rounding_bytes(checked.decoder, blocks, rounding.longer)
    _check_space(target, checked, schemes, scratch_bytes)
    with beside(target) as work, with_scratch(target, checked, rounding) as rounding:
        if limit is not None:
            schemes = [
                fitted(work, checked, scheme, rounding, data, limit, track)
                if isinstance(scheme.matrix, Blocks)
                else scheme
                for scheme in schemes
            ]
        _check_space(target, checked, schemes, scratch_bytes)
        written = write_variants(work, checked, schemes, rounding, track)
        if limit is not None:
            check_size(work, schemes, limit)
        names = [scheme.name for scheme in schemes]
        source = checked.checkpoint
        terms, on_terms = terms_of(own_terms, read_card(source.path))
        write_side_files(work, checked, names, terms)
        called = model_name(name, source.config, Path(source.name) if source.name else checkpoint)
        made_for = Rounding(calibration, rounding.texts, rounding.longer)
        quality = {}
        if data:
            types = {scheme.name: scheme.activations for scheme in schemes}
            quality = measure(checked, work, types, data=data, track=track)
            quality |= {"rounding": made_for.method} if rounded else {}
        write_bill(work, checked, schemes, called, made_for, quality)
        manifest = manifest_of(work, checked, schemes, written, made_for, called)
        manifest |= {"quality": quality} if data else {}
        write_json(work / layout.MANIFEST, manifest)
    notes = (*checked.notes, *_untied(checked, written), *([on_terms] if on_terms else []))
    return Exported(target, manifest, LICENCE if terms else None, notes)


def _check_space(
    target: Path, checked: Inspected, schemes: Sequence[Scheme], scratch_bytes: int
) -> None:
    needed = data_bytes(checked.decoder, schemes) + scratch_bytes
    less = f", take --effort least ({(needed - scratch_bytes) / 1e6:.0f} MB)"
    check_space(target, needed, less if scratch_bytes else "")


def _untied(checked: Inspected, written: Sequence[VariantWriter]) -> Iterator[str]:
    """Tell what a head costs that shared the embedding's weights in the checkpoint."""
    for writer in written:
        if checked.decoder.tied and (head := writer.places.get(HEAD)):
            size = sum(part.length for part in head.parts.values())
            yield (
                f"{writer.scheme.name}: the head no longer shares the embedding's weights, and "
                f"takes {size:,} bytes"
            )


def _check_limit(
    limit: Limit, schemes: list[Scheme], calibration: Sequence[Source], data: Sequence[Source]
) -> None:
    if not calibration or not any(isinstance(scheme.matrix, Blocks) for scheme in schemes):
        raise OptionError(
            f"a limit of {limit} needs variant int4 and calibration, which tells where bytes count"
        )
    if limit.kl is not None and not data:
        raise OptionError(f"a limit of {limit} needs the report, which measures it")


def _check_target(target: Path, force: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / layout.MANIFEST).is_file():
        raise ExportError(f"{target} exists and is not a bundle; choose another folder")
    if not force:
        raise ExportError(f"{target} exists; choose another folder or replace it with --force")
    # Its signature goes with it: what is there afterwards is another bundle.
    own = {layout.MANIFEST, SIGNATURE, *layout.read_bundle(target).files}
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    if foreign := sorted(files - own):
        raise ExportError(
            f"{target} holds {len(foreign)} files that are not the bundle's: "
            f"{', '.join(foreign[:3])}; move them away before replacing it"
        )
