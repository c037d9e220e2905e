"""Packing weights, one at a time, into the data file of a variant."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..quant.gptq import Relations, pack_compensated, relations
from ..quant.moments import Moments, output_error
from ..quant.pack import NO_ERROR, Array, Error, Floating, Packed, pack, part_bytes, unpack
from ..quant.report import rounded
from ..quant.schemes import Blocks, Floats, Form, Scheme
from ..quant.sensitivity import Readout
from .architectures import WeightSpec
from .blocks import Stored
from .checkpoint import Checkpoint
from .graph import Located

ALIGNMENT = 4096  # a page, so that readers can map tensors from the file
_WORST = 10


@dataclass(frozen=True)
class Stage:
    """Embedding, one layer or head: its weights [N, K], and moments of what they multiply.

    `stream_energy` is the mean sum of squares of the stream of activations after it; for the head
    there is a `readout` instead. Without calibration there are no moments.
    """

    specs: tuple[WeightSpec, ...]
    weights: dict[str, Floating]
    moments: dict[str, Moments]
    stream_energy: float = 0.0
    readout: Readout | None = None


def load_weight(checkpoint: Checkpoint, spec: WeightSpec) -> Floating:
    """Return a weight as fp32 [N, K], stacked from its sources; a norm is [1, E]."""
    parts = [checkpoint.read(source) for source in spec.sources]
    weight = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return weight.reshape(1, -1) if weight.ndim == 1 else weight


def form_of(spec: WeightSpec, scheme: Scheme) -> Form:
    """Return the form that a scheme gives to a weight."""
    if spec.name in scheme.forms:
        return scheme.forms[spec.name]
    if spec.role == "norm":
        return Floats(scheme.activations)
    forms: dict[str, Form] = {
        "embedding": scheme.embedding,
        "matrix": scheme.matrix,
        "kv": scheme.kv,
        "head": scheme.head,
    }
    return forms[spec.role]


def estimate_bytes(specs: list[WeightSpec], scheme: Scheme) -> int:
    """Return how many bytes a variant's data file takes, unless weights need larger scales."""
    total = 0
    for spec in specs:
        rows, columns = (1, *spec.shape)[-2:]
        for part in part_bytes((rows, columns), form_of(spec, scheme)):
            total += part + -part % ALIGNMENT
    return total


def with_relations(stage: Stage) -> Iterator[tuple[WeightSpec, Relations | None]]:
    """Yield the specs of a stage, and what is known of what their weights multiply."""
    of: Moments | None = None
    known: Relations | None = None
    for spec in stage.specs:
        seen = stage.moments.get(spec.name)
        if seen is not of:  # weights that read the same activations share it
            of, known = seen, None if seen is None else relations(seen.second)
        yield spec, known


def quantized(weight: Floating, form: Form, known: Relations | None) -> Packed:
    """Return a weight in a form; where activations are known, errors are made good by others.

    Raises:
        OverflowError: when a value does not fit the form's type.

    """
    if known is None or isinstance(form, Floats):
        return pack(weight, form)
    return pack_compensated(weight, form, known)


class VariantWriter:
    """The data file of one variant under construction, and what its packing cost."""

    def __init__(self, file: Path, scheme: Scheme) -> None:
        self.scheme = scheme
        self.stored: dict[str, Stored] = {}
        self._errors: dict[str, Error] = {}
        self._output_errors: dict[str, float] = {}
        self._bits = 0
        self._elements = 0
        self._hash = hashlib.sha256()
        self._at = 0
        self._stream = file.open("wb")

    @property
    def sha256(self) -> str:
        """Hash of the file so far."""
        return self._hash.hexdigest()

    def add(self, spec: WeightSpec, weight: Floating, known: Relations | None = None) -> None:
        """Pack a weight, by what is known of its activations, and append its parts.

        Raises:
            OverflowError: when a value does not fit the scheme's type.

        """
        form = form_of(spec, self.scheme)
        packed = quantized(weight, form, known)
        if known is not None and not isinstance(form, Floats):
            self._output_errors[spec.name] = output_error(weight, unpack(packed), known.second)
        self.add_packed(spec, packed)

    def add_packed(self, spec: WeightSpec, packed: Packed) -> None:
        """Append the parts of a weight that is packed already."""
        located = {}
        for part, array in packed.parts.items():
            laid_out = self._lay_out(array, part, spec, packed)
            located[part] = self._append(np.ascontiguousarray(laid_out))
        self.stored[spec.name] = Stored(packed.form, packed.shape, located)
        if spec.role != "norm":
            self._errors[spec.name] = packed.error
            self._elements += math.prod(packed.shape)
            self._bits += 8 * sum(place.length for place in located.values())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def report(self) -> dict[str, Any]:
        """Return what rounding cost: root of squared error over energy, overall and the worst.

        The worst are those whose products are off most, where calibration has seen products.
        """
        total = sum(self._errors.values(), NO_ERROR)
        relative = {name: error.relative for name, error in self._errors.items()}
        seen = self._output_errors or relative
        worst = sorted(seen, key=lambda name: -seen[name])[:_WORST]
        mix: dict[str, list[str]] = {}
        for name, form in self.scheme.forms.items():
            mix.setdefault(str(form), []).append(name)
        return {
            **({"mix": mix} if mix else {}),
            "bits_per_weight": rounded(self._bits / self._elements),
            "relative_error": rounded(total.relative),
            "largest_error": rounded(total.largest),
            "worst": [
                {"tensor": name, "relative_error": rounded(relative[name])}
                | ({"output_error": rounded(seen[name])} if self._output_errors else {})
                for name in worst
                if relative[name]
            ],
        }

    def _lay_out(self, array: Array, part: str, spec: WeightSpec, packed: Packed) -> Array:
        """Turn a part as kernels read it: products want [K, N], scales the activations' type."""
        if part == "scales":
            return array
        if isinstance(packed.form, Blocks):
            return _unpadded(array, packed) if spec.role == "embedding" else array
        return array.T if spec.multiplies else array

    def _append(self, array: Array) -> Located:
        padding = bytes(-self._at % ALIGNMENT)
        data = array.data.cast("B")
        for piece in (padding, data):
            self._stream.write(piece)
            self._hash.update(piece)
        place = Located(array.dtype.name, array.shape, self._at + len(padding), len(data))
        self._at = place.offset + place.length
        return place


def _unpadded(codes: Array, packed: Packed) -> Array:
    """Cut off what pads a short last block: a lookup yields just the columns that are stored."""
    assert isinstance(packed.form, Blocks)
    rows, columns = packed.shape
    return codes.reshape(rows, -1)[:, : columns * packed.form.bits // 8]
