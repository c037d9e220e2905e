"""Bundles of random weights, packed from the start: for speed and memory, never for quality.

`fabricate` makes a checkpoint, which `export` then converts. Here codes are drawn as such, with
scales about which trained weights would have, so that a bundle of the published shape takes
seconds and no other disk than its own.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..quant.pack import NO_ERROR, Array, Packed, code_range, part_bytes
from ..quant.schemes import Floats, Form, Rows, Scheme, require_schemes
from ..runtime.bundle import contract as layout
from ..runtime.bundle.contract import sizes_of
from ..runtime.bundle.decoder import Decoder
from ..runtime.errors import ExportError
from .architectures import find
from .beside import beside, check_space, check_writable
from .checkpoint import Checkpoint, Floating
from .fabricate import decoder_of_shape, made_up_tokenizer
from .inspect import Inspected
from .manifest import Rounding, manifest_of, write_json, write_side_files
from .progress import SILENT, Advance, Track
from .prompts import manifest_prompts
from .published import shape_of
from .shape import STANDARD_DEVIATION, Shape
from .tokenizer import check_tokenizer
from .variants import data_bytes, specs_in, write_graphs
from .weights import VariantWriter, form_of


def fabricate_shape(name: str, target: Path, variants: list[str], track: Track) -> None:
    """Write a bundle of a published model's shape; see `fabricate_bundle`."""
    fabricate_bundle(target, variants, name, shape_of(name), track=track)


def fabricate_bundle(
    target: Path,
    variants: list[str],
    name: str,
    shape: Shape,
    *,
    seed: int = 0,
    track: Track = SILENT,
) -> None:
    """Write a bundle of random packed weights, with a made-up tokenizer.

    Raises:
        OptionError: when a variant is unknown.
        CheckpointError: when this package has no architecture for the shape.
        ExportError: when `target` exists or the disk is full.

    """
    schemes = require_schemes(variants)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ExportError(f"{target} exists; choose another folder")
    check_writable(target)
    with beside(target) as work, tempfile.TemporaryDirectory() as source:
        tokenizer = json.dumps(made_up_tokenizer(shape.tokens, shape.specials))
        (Path(source) / layout.TOKENIZER).write_text(tokenizer, encoding="utf-8")
        checked = _unread(Path(source), shape, f"random weights, seed {seed}")
        decoder = checked.decoder
        check_space(target, data_bytes(decoder, schemes))
        (work / layout.GRAPH_FOLDER).mkdir()
        specs = [spec for scheme in schemes for spec in specs_in(decoder, scheme)]
        total = sum(math.prod(spec.shape) for spec in specs)
        with track(f"making {name}", total) as advance:
            written = [_write_variant(work, decoder, scheme, seed, advance) for scheme in schemes]
        write_side_files(work, checked, [scheme.name for scheme in schemes], None)
        manifest = manifest_of(work, checked, schemes, written, Rounding((), ()), name)
        manifest["provenance"]["shape"] = name
        for entry in manifest["variants"].values():  # nothing was rounded: no other figure counts
            entry["report"] = {"bits_per_weight": entry["report"]["bits_per_weight"]}
        write_json(work / layout.MANIFEST, manifest)


def _write_variant(
    work: Path, decoder: Decoder, scheme: Scheme, seed: int, advance: Advance
) -> VariantWriter:
    specs = specs_in(decoder, scheme)
    writer = VariantWriter(work / layout.weights_file(scheme.name), scheme, specs)
    random = np.random.default_rng(seed)
    try:
        for spec in specs:
            rows, columns = (1, *spec.shape)[-2:]
            if spec.role == "rotation":
                writer.add_rotation(spec)
            elif spec.role == "norm":
                writer.add(spec, np.ones((rows, columns), np.float32))
            else:
                packed = random_packed((rows, columns), form_of(spec, scheme), random)
                writer.add_packed(spec, packed)
            advance(math.prod(spec.shape))
    finally:
        writer.close()
    write_graphs(work, decoder, writer)
    return writer


def random_packed(shape: tuple[int, int], form: Form, random: np.random.Generator) -> Packed:
    """Return a weight [N, K] as if packed, its values about as large as in a fresh model."""
    rows, columns = shape
    if isinstance(form, Floats):
        values = random.standard_normal(shape, np.float32) * np.float32(STANDARD_DEVIATION)
        return Packed(form, shape, {"values": values.astype(form.type)}, NO_ERROR)
    low, high = code_range(form)
    scale = STANDARD_DEVIATION * np.sqrt(12) / (high - low + 1)  # of evenly spread codes
    codes = _bytes(part_bytes(shape, form)[0], random)
    parts: dict[str, Array]
    if isinstance(form, Rows):
        # Kernels read [K, N], and these are drawn as they lie there.
        drawn = np.maximum(codes.view(np.int8), np.int8(low)).reshape(columns, rows).T
        parts = {"codes": drawn, "scales": np.full(rows, scale, np.float32)}
    else:
        blocks = -(-columns // form.size)
        laid_out = codes.reshape(rows, -1)
        laid_out[:, columns * form.bits // 8 :] = 0  # what pads a short last block
        parts = {
            "codes": laid_out.reshape(rows, blocks, -1),
            "scales": np.full((rows, blocks), scale, np.float16),
        }
    return Packed(form, shape, parts, NO_ERROR)


def _bytes(count: int, random: np.random.Generator) -> np.ndarray[Any, np.dtype[np.uint8]]:
    words = random.integers(0, 2**64 - 1, -(-count // 8), np.uint64, endpoint=True)
    return words.view(np.uint8)[:count]


def _unread(source: Path, shape: Shape, origin: str) -> Inspected:
    """Return a checkpoint without tensors, which is all that graphs and manifest ask for."""

    def read(name: str) -> Floating:
        raise NotImplementedError(f"{name} was never made")

    problems: list[str] = []
    model_type, decoder = str(shape.config["model_type"]), decoder_of_shape(shape)
    architecture = find(model_type)
    file = source / layout.TOKENIZER
    tokenizer = check_tokenizer(file, architecture.FAMILIES, shape.config, problems)
    if problems or tokenizer.family is None:
        raise ExportError(f"a shape that cannot be made: {'; '.join(problems)}")
    return Inspected(
        checkpoint=Checkpoint(source, dict(shape.config), {}, (), read),
        architecture=architecture,
        model_type=model_type,
        decoder=decoder,
        sizes=sizes_of(decoder, tokenizer.tokens),
        source_files=[{"file": origin, "bytes": 0, "sha256": ""}],
        tokenizer=tokenizer.content,
        family=tokenizer.family,
        prompts=manifest_prompts(tokenizer.family, tokenizer.specials, tokenizer.start),
        notes=(),
    )
