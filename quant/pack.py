"""Weights as codes and scales, and back. Pure numpy; a weight is always [N, K], fp32.

N counts outputs (or rows of an embedding), K inputs. Codes are whole numbers around zero, [N, K];
`lay_out` turns them into the bytes that kernels read. `pack` rounds to the nearest code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .chunks import chunks, row_slices
from .schemes import Blocks, Floats, Form, Quantized, Rows

Floating = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int8]
Array = npt.NDArray[np.generic]

# Below the first, fp16 has fewer digits; the second is the smallest that it has.
_FULL_HALF, _LEAST_HALF = 2.0**-14, np.float32(2.0**-24)


@dataclass(frozen=True)
class Error:
    """What rounding cost a tensor: sums of squares, so that tensors can be added up."""

    squared: float  # sum of (w - w')**2
    energy: float  # sum of w**2
    largest: float  # max |w - w'|

    @property
    def relative(self) -> float:
        """Root of squared error over energy; 0 for an all-zero tensor."""
        return float(np.sqrt(self.squared / self.energy)) if self.energy else 0.0

    def __add__(self, other: Error) -> Error:
        return Error(
            self.squared + other.squared,
            self.energy + other.energy,
            max(self.largest, other.largest),
        )


NO_ERROR = Error(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Packed:
    """A weight in some form: its arrays by part, and what rounding cost."""

    form: Form
    shape: tuple[int, int]
    parts: dict[str, Array]
    error: Error


def pack(weight: Floating, form: Form) -> Packed:
    """Return `weight` [N, K] in `form`, each value rounded to the nearest code.

    Floats keep [N, K] in one part, "values". For the parts of other forms see `lay_out`; their
    scales are those with which the largest values just fit.

    Raises:
        OverflowError: when a value does not fit fp16.

    """
    if isinstance(form, Floats):
        return _pack_floats(weight, form)
    fitting = np.concatenate([largest_scales(chunk, form) for chunk in chunks(weight)])
    scales = as_stored(fitting, form)
    return packed(weight, nearest(weight, scales, form), scales, form)


def packed(weight: Floating, codes: Codes, scales: Floating, form: Quantized) -> Packed:
    """Return codes [N, K] and scales as the parts of a weight, with what they cost it."""
    error = NO_ERROR
    for rows in row_slices(len(weight)):
        error += _error(weight[rows], values(codes[rows], scales[rows], form))
    parts = {"codes": lay_out(codes, form), "scales": scales.astype(scale_type(scales, form))}
    return Packed(form, (weight.shape[0], weight.shape[1]), parts, error)


def unpack(packed: Packed) -> Floating:
    """Return the weight [N, K] that the codes stand for."""
    if isinstance(packed.form, Floats):
        return packed.parts["values"].astype(np.float32)
    codes = _read(packed.parts["codes"], packed.form, packed.shape[1])
    return values(codes, packed.parts["scales"].astype(np.float32), packed.form)


def packed_bytes(shape: tuple[int, int], form: Form, scale_bytes: int = 2) -> int:
    """Return how many bytes the parts of a weight of that shape take; see `part_bytes`."""
    return sum(part_bytes(shape, form, scale_bytes))


def part_bytes(shape: tuple[int, int], form: Form, scale_bytes: int = 2) -> tuple[int, ...]:
    """Return how many bytes each part of a weight of that shape takes.

    Blocks keep a scale in 2 bytes, but for a weight so quiet that they need 4; see `scale_type`.
    """
    rows, columns = shape
    if isinstance(form, Floats):
        return (rows * columns * np.dtype(form.type).itemsize,)
    if isinstance(form, Rows):
        return rows * columns, 4 * rows
    blocks = -(-columns // form.size)
    return rows * blocks * form.size * form.bits // 8, rows * blocks * scale_bytes


def scale_type(scales: Floating, form: Quantized) -> str:
    """Return the numpy type in which scales are stored: blocks have many, and take fp16.

    Blocks far quieter than the rest of a weight may lose digits there; a whole weight may not.
    """
    typical = np.sqrt(np.mean(np.square(scales, dtype=np.float64))) if scales.size else 1.0
    fits = typical >= _FULL_HALF and np.abs(scales).max(initial=0.0) <= np.finfo(np.float16).max
    return "float16" if isinstance(form, Blocks) and fits else "float32"


def as_stored(scales: Floating, form: Quantized) -> Floating:
    """Return the scales of a whole weight as they will be read back, none of them 0."""
    if scale_type(scales, form) == "float32":
        return scales
    raised = np.where(np.abs(scales) < _LEAST_HALF, np.copysign(_LEAST_HALF, scales), scales)
    return raised.astype(np.float16).astype(np.float32)


def code_range(form: Quantized) -> tuple[int, int]:
    """Return the lowest and the highest code."""
    if isinstance(form, Rows):
        return -127, 127
    middle = 2 ** (form.bits - 1)
    return -middle, middle - 1


def largest_scales(weight: Floating, form: Quantized) -> Floating:
    """Return the scales with which the largest values just fit: [N], or [N, ceil(K/size)].

    In a block the value of largest magnitude, whatever its sign, gets the lowest code: codes run
    one further down than up, and so every code is used.
    """
    if isinstance(form, Rows):
        return _nonzero(np.abs(weight).max(axis=1) / np.float32(code_range(form)[1]))
    blocks = split(weight, form.size)
    at = np.abs(blocks).argmax(axis=2)[..., None]
    largest = np.take_along_axis(blocks, at, axis=2)[..., 0]
    return _nonzero(largest / np.float32(code_range(form)[0]))


def nearest(weight: Floating, scales: Floating, form: Quantized) -> Codes:
    """Return the nearest codes [N, K]."""
    codes = np.empty(weight.shape, np.int8)
    for rows in row_slices(len(weight)):
        steps = by_column(scales[rows], form, weight.shape[1])
        codes[rows] = np.clip(np.rint(weight[rows] / steps), *code_range(form))
    return codes


def values(codes: Codes, scales: Floating, form: Quantized) -> Floating:
    """Return what codes [N, K] stand for."""
    restored: Floating = codes.astype(np.float32) * by_column(scales, form, codes.shape[1])
    return restored


def by_column(scales: Floating, form: Quantized, columns: int) -> Floating:
    """Return the scale of each value of a weight, [N, K] or, for one a row, [N, 1]."""
    if isinstance(form, Rows):
        return scales[:, None]
    spread: Floating = np.repeat(scales, form.size, axis=1)[:, :columns]
    return spread


def split(weight: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """See [N, K] as blocks [N, ceil(K/size), size]; a short last block is padded with zeros."""
    rows, columns = weight.shape
    short = -columns % size
    if short:
        weight = np.pad(weight, ((0, 0), (0, short)))
    return weight.reshape(rows, -1, size)


def lay_out(codes: Codes, form: Quantized) -> Array:
    """Return codes [N, K] as they are stored.

    Rows keep [N, K] int8. Blocks become [N, ceil(K/size), size*bits/8] uint8 counted from the
    lowest code, the first in the lowest bits as MatMulNBits expects; what pads a short last block
    is zero.
    """
    if isinstance(form, Rows):
        return codes
    return np.concatenate([_laid_out(codes[rows], form) for rows in row_slices(len(codes))])


def _laid_out(codes: Codes, form: Blocks) -> Array:
    blocks = split(codes.astype(np.int16), form.size) - code_range(form)[0]
    blocks = blocks.astype(np.uint8)
    if form.bits == 8:
        return blocks
    per_byte = 8 // form.bits
    interleaved = blocks[..., 0::per_byte].copy()
    for place in range(1, per_byte):
        interleaved |= blocks[..., place::per_byte] << np.uint8(form.bits * place)
    return interleaved


def _read(stored: Array, form: Quantized, columns: int) -> Codes:
    """Undo `lay_out`."""
    if isinstance(form, Rows):
        return stored.astype(np.int8)
    whole = stored.astype(np.uint8)
    if form.bits < 8:
        shifts = range(0, 8, form.bits)
        parts = [(whole >> np.uint8(shift)) & np.uint8(2**form.bits - 1) for shift in shifts]
        whole = np.stack(parts, axis=-1)
    codes = whole.reshape(len(whole), -1)[:, :columns].astype(np.int16) + code_range(form)[0]
    return codes.astype(np.int8)


def _pack_floats(weight: Floating, form: Floats) -> Packed:
    shape = (weight.shape[0], weight.shape[1])
    if form.type == "float32":
        same: Array = weight
        error = Error(0.0, float(np.sum(np.square(weight, dtype=np.float64))), 0.0)
        return Packed(form, shape, {"values": same}, error)
    rounded = np.empty(shape, form.type)
    error = NO_ERROR
    limit = float(np.finfo(np.float16).max)
    for rows in row_slices(len(weight)):
        chunk = weight[rows]
        if np.abs(chunk).max(initial=0.0) > limit:
            raise OverflowError(f"holds values beyond {limit:g}, the largest of fp16")
        part = chunk.astype(form.type)
        rounded[rows] = part
        error += _error(chunk, part.astype(np.float32))
    return Packed(form, shape, {"values": rounded}, error)


def _error(exact: Floating, rounded: Floating) -> Error:
    difference = (exact - rounded).ravel()
    flat = exact.ravel()
    return Error(
        float(np.dot(difference, difference)),
        float(np.dot(flat, flat)),
        float(np.abs(difference).max(initial=0.0)),
    )


def _nonzero(scales: npt.NDArray[np.floating]) -> Floating:
    """Replace scales too small to divide by; codes of such a block are then all zero."""
    tiny = np.finfo(np.float32).tiny
    return np.where(np.abs(scales) < tiny, np.float32(1), scales).astype(np.float32)
