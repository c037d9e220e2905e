"""What the variants of a bundle lost against the checkpoint they were made from.

Full precision is evaluated a layer at a time, and one variant is open at a time, so that the
memory stays near that of the largest variant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..quant.page import render
from ..quant.report import Comparison, Logits, Run, report_texts
from ..quant.schemes import SCHEMES
from ..quant.texts.calibration import fingerprint
from ..quant.texts.shipped import REPORT, described
from ..quant.texts.sources import Source
from ..runtime.backends.onnxruntime import OnnxruntimeSession, SessionOptions
from ..runtime.bundle import contract as layout
from ..runtime.bundle.verified import verify, verify_draft
from ..runtime.engine.generation import CHUNK_TOKENS
from ..runtime.errors import ExportError, MissingExtraError
from ..runtime.files.atomic_write import atomic_write
from ..runtime.text.prompts import Layouts
from ..runtime.trust.check import open_bundle
from .beside import check_writable, explained
from .inspect import Inspected, inspect_checkpoint
from .layerwise import Ids, Layerwise
from .parity import check_same_source
from .progress import SILENT, Track


def default_data() -> Sequence[Source]:
    """Return what is measured on when nothing is named: files that calibration leaves alone.

    Raises:
        EvalError: when they are not the files that were shipped.

    """
    return REPORT.read()


def measure_bundle(
    checkpoint: Path,
    bundle_path: Path,
    *,
    data: Sequence[Source],
    adapter: Path | None = None,
    variants: list[str] | None = None,
    track: Track = SILENT,
) -> dict[str, Any]:
    """Return the report on a finished bundle; see `measure`.

    Raises:
        OptionError: when a variant is unknown.
        BundleError: when the bundle is damaged or was made from another checkpoint.
        CheckpointError: when the checkpoint is not what it should be.
        EvalError: when the data has no place for a hole.

    """
    bundle = open_bundle(bundle_path)
    names = variants or list(bundle.variants)
    for name in names:
        bundle.require_variant(name)
        verify(bundle, name)
    checked = inspect_checkpoint(checkpoint, track, adapter)
    check_same_source(bundle, checked)
    types = {name: bundle.variants[name].kv_type for name in names}
    figures = measure(checked, bundle_path, types, data=data, track=track)
    method = bundle.provenance.get("calibration", {}).get("method")
    if method and any(SCHEMES[name].rotated for name in names):
        figures["rounding"] = method
    for name, entry in figures["variants"].items():
        report = bundle.variants[name].report
        entry["compute"] = SCHEMES[name].compute
        entry |= {key: report[key] for key in ("bits_per_weight", "worst") if key in report}
    return figures


def measure(
    checked: Inspected,
    folder: Path,
    kv_types: Mapping[str, str],
    *,
    data: Sequence[Source],
    track: Track,
) -> dict[str, Any]:
    """Return what the variants in `folder` lost, by name, and what full precision is worth.

    Args:
        checked: the checkpoint.
        folder: the bundle's, finished or not; only graphs and weights are read.
        kv_types: the variants to open, and the numpy types of their caches.
        data: source files; holes are cut into them.
        track: how progress is shown.

    """
    tokens = checked.tokens()
    layouts = Layouts.from_manifest(checked.prompts)
    texts = report_texts(data, tokens, layouts, checked.sizes.context)
    ids = [text.ids for text in texts]

    def opener(name: str, kv_type: str) -> Callable[[], Run]:
        return lambda: runner(folder, name, checked, kv_type)

    variants = {name: opener(name, kv_type) for name, kv_type in kv_types.items()}
    total = checked.sizes.layers + len(variants) * len(texts)
    with track("measuring what was lost", total) as advance:
        full = Layerwise(checked).evaluate(ids, advance)
        figures = Comparison(texts, tokens, layouts).run(full, variants, advance)
    for name, entry in figures["variants"].items():
        entry["bytes"] = (folder / layout.weights_file(name)).stat().st_size
    return {"set": described(data), "texts": len(texts), "sha256": fingerprint(ids), **figures}


def check_page(file: Path) -> None:
    """See that a page can be written to `file`, before long work.

    Raises:
        ExportError: when it is a folder or cannot be written.
        MissingExtraError: when matplotlib is not installed, which draws.

    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "report")
    if file.is_dir():
        raise ExportError(f"{file} is a folder; expected the name of a file for the page")
    check_writable(file)


def write_page(file: Path, title: str, figures: Mapping[str, Any]) -> None:
    """Write a report as one HTML page, whole or not at all.

    Raises:
        ExportError: when the file cannot be written.
        MissingExtraError: when matplotlib is not installed, which draws.

    """
    text = render(title, figures)
    with explained(file), atomic_write(file) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def runner(folder: Path, variant: str, checked: Inspected, kv_type: str) -> Run:
    """Open a variant by onnxruntime; ids go through it in chunks, as a prompt's do."""
    draft = verify_draft(folder, variant, checked.sizes, kv_type)
    session = OnnxruntimeSession(draft, SessionOptions())

    def run(ids: Ids) -> Logits:
        cache = session.new_cache()
        parts = [ids[at : at + CHUNK_TOKENS] for at in range(0, len(ids), CHUNK_TOKENS)]
        return np.concatenate([session.step(part, cache, len(part)) for part in parts])

    return run
