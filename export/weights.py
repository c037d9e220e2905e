"""Packing weights, one at a time, into the data file of a variant."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..quant.gptq import Relations, pack_compensated, relations
from ..quant.moments import Moments, output_error
from ..quant.pack import NO_ERROR, Array, Error, Floating, Packed, pack, part_bytes, unpack
from ..quant.report import rounded
from ..quant.rotation import rotation
from ..quant.schemes import Blocks, Floats, Form, Rows, Scheme
from ..quant.sensitivity import Readout
from ..runtime.bundle.places import Part, Place
from .roles import WeightSpec

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


@dataclass(frozen=True)
class Result:
    """A weight as it was packed, and what its products lost, where calibration has seen those."""

    spec: WeightSpec
    packed: Packed
    output_error: float | None = None  # relative


def form_of(spec: WeightSpec, scheme: Scheme) -> Form:
    """Return the form that a scheme gives to a weight."""
    if spec.name in scheme.forms:
        return scheme.forms[spec.name]
    if not spec.rounds:
        return Floats(scheme.activations)
    forms: dict[str, Form] = {
        "embedding": scheme.embedding,
        "shared": scheme.head,
        "matrix": scheme.matrix,
        "kv": scheme.kv,
        "head": scheme.head,
    }
    return forms[spec.role]


def estimate_bytes(specs: Sequence[WeightSpec], scheme: Scheme) -> int:
    """Return how many bytes a variant's data file takes, unless weights need larger scales."""
    total = 0
    for spec in specs:
        rows, columns = (1, *spec.shape)[-2:]
        for part in part_bytes((rows, columns), form_of(spec, scheme)):
            total += part + -part % ALIGNMENT
    return total


def with_relations(stage: Stage) -> Iterator[tuple[WeightSpec, Relations | None]]:
    """Yield the specs of a stage, with what calibration saw of the activations of each."""
    of: Moments | None = None
    current: Relations | None = None
    for spec in stage.specs:
        seen = stage.moments.get(spec.name)
        if seen is not of:  # weights that read the same activations share it
            of, current = seen, None if seen is None else relations(seen.second)
        yield spec, current


def quantized(weight: Floating, form: Form, activations: Relations | None) -> Packed:
    """Return a weight in a form; with activations, errors of columns are made good by others.

    Raises:
        OverflowError: when a value does not fit the form's type.

    """
    if activations is None or isinstance(form, Floats):
        return pack(weight, form)
    return pack_compensated(weight, form, activations)


def result_of(
    spec: WeightSpec, weight: Floating, packed: Packed, activations: Relations | None
) -> Result:
    """Return what packing a weight [N, K] came to, for what calibration saw it multiply."""
    if activations is None or isinstance(packed.form, Floats):
        return Result(spec, packed)
    return Result(spec, packed, output_error(weight, unpack(packed), activations.second))


class VariantWriter:
    """The data file of one variant under construction, and what its packing cost."""

    def __init__(self, file: Path, scheme: Scheme, specs: Sequence[WeightSpec] = ()) -> None:
        """Begin the file; `specs` are those of all weights that the variant will have."""
        self.scheme = scheme
        self.specs = {spec.name: spec for spec in specs}
        self.places: dict[str, Place] = {}
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

    def add(self, spec: WeightSpec, weight: Floating, activations: Relations | None = None) -> None:
        """Pack a weight, rounded for activations if calibration saw some, and append its parts.

        Raises:
            OverflowError: when a value does not fit the scheme's type.

        """
        packed = quantized(weight, form_of(spec, self.scheme), activations)
        self.add_result(result_of(spec, weight, packed, activations))

    def add_result(self, result: Result) -> None:
        """Append the parts of a weight that is packed already, and note what its products lost."""
        if result.output_error is not None:
            self._output_errors[result.spec.name] = result.output_error
        self.add_packed(result.spec, result.packed)

    def add_packed(self, spec: WeightSpec, packed: Packed) -> None:
        """Append the parts of a weight that is packed already."""
        parts = {}
        for part, array in packed.parts.items():
            laid_out = _laid_out(array, part, spec, packed)
            parts[part] = self._append(np.ascontiguousarray(laid_out))
        self.places[spec.name] = _place(packed.form, spec.shape, parts)
        if spec.rounds:
            self._errors[spec.name] = packed.error
            self._elements += math.prod(packed.shape)
            self._bits += 8 * sum(place.length for place in parts.values())

    def add_rotation(self, spec: WeightSpec) -> None:
        """Append the matrix by which the graph rotates what the MLP's last product reads."""
        self.add(spec, rotation(spec.shape[0]))

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

    def _append(self, array: Array) -> Part:
        padding = bytes(-self._at % ALIGNMENT)
        data = array.data.cast("B")
        for piece in (padding, data):
            self._stream.write(piece)
            self._hash.update(piece)
        part = Part(array.dtype.name, array.shape, self._at + len(padding), len(data))
        self._at = part.offset + part.length
        return part


def _place(form: Form, shape: tuple[int, ...], parts: dict[str, Part]) -> Place:
    if isinstance(form, Rows):
        return Place("rows", shape, parts, terms=form.terms)
    if isinstance(form, Blocks):
        return Place("blocks", shape, parts, bits=form.bits, block=form.size)
    return Place("floats", shape, parts)


def _laid_out(array: Array, part: str, spec: WeightSpec, packed: Packed) -> Array:
    """Return a part as kernels read it: products want [K, N], scales the activations' type."""
    if part == "scales":
        return array
    if isinstance(packed.form, Blocks):
        return _unpadded(array, packed) if spec.role == "embedding" else array
    if len(spec.shape) == 1:
        return array.reshape(-1)
    return array.T if spec.multiplies or spec.role == "rotation" else array


def _unpadded(codes: Array, packed: Packed) -> Array:
    """Cut off what pads a short last block: a lookup yields just the columns that are stored."""
    assert isinstance(packed.form, Blocks)
    rows, columns = packed.shape
    return codes.reshape(rows, -1)[:, : columns * packed.form.bits // 8]
