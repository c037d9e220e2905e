"""Weights as codes and scales, and back. Pure numpy; a weight is always [N, K], fp32.

N counts outputs (or rows of an embedding), K inputs. Rounding is to the nearest code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .schemes import Blocks, Floats, Form, Rows

Floating = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

CHUNK_ROWS = 2048  # bounds the temporaries of a large weight


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
    """Return `weight` [N, K] in `form`.

    Floats keep [N, K] in one part, "values". Rows hold "codes" [N, K] int8 and "scales" [N].
    Blocks hold "codes" [N, ceil(K/size), size*bits/8] uint8, low bits first, and "scales"
    [N, ceil(K/size)]; a short last block is padded with zeros, which change no scale.

    Raises:
        OverflowError: when a value does not fit fp16.

    """
    if isinstance(form, Floats):
        return _pack_floats(weight, form)
    codes: list[Array] = []
    scales: list[Floating] = []
    error = NO_ERROR
    for chunk in _chunks(weight):
        some = _rows(chunk) if isinstance(form, Rows) else _blocks(chunk, form)
        codes.append(some[0])
        scales.append(some[1])
        error += _error(chunk, _restore(*some, form, chunk.shape[1]))
    parts: dict[str, Array] = {"codes": np.concatenate(codes), "scales": np.concatenate(scales)}
    return Packed(form, (weight.shape[0], weight.shape[1]), parts, error)


def unpack(packed: Packed) -> Floating:
    """Return the weight [N, K] that the codes stand for."""
    if isinstance(packed.form, Floats):
        return packed.parts["values"].astype(np.float32)
    codes, scales = packed.parts["codes"], packed.parts["scales"].astype(np.float32)
    return _restore(codes, scales, packed.form, packed.shape[1])


def _pack_floats(weight: Floating, form: Floats) -> Packed:
    shape = (weight.shape[0], weight.shape[1])
    if form.type == "float32":
        values: Array = weight
        error = Error(0.0, float(np.sum(np.square(weight, dtype=np.float64))), 0.0)
        return Packed(form, shape, {"values": values}, error)
    values = np.empty(shape, form.type)
    error = NO_ERROR
    limit = float(np.finfo(np.float16).max)
    for at, chunk in zip(range(0, shape[0], CHUNK_ROWS), _chunks(weight), strict=True):
        if np.abs(chunk).max(initial=0.0) > limit:
            raise OverflowError(f"holds values beyond {limit:g}, the largest of fp16")
        part = chunk.astype(form.type)
        values[at : at + CHUNK_ROWS] = part
        error += _error(chunk, part.astype(np.float32))
    return Packed(form, shape, {"values": values}, error)


def _chunks(weight: Floating) -> Iterator[Floating]:
    for start in range(0, weight.shape[0], CHUNK_ROWS):
        yield weight[start : start + CHUNK_ROWS]


def _error(exact: Floating, rounded: Floating) -> Error:
    difference = (exact - rounded).ravel()
    flat = exact.ravel()
    return Error(
        float(np.dot(difference, difference)),
        float(np.dot(flat, flat)),
        float(np.abs(difference).max(initial=0.0)),
    )


def _rows(weight: Floating) -> tuple[Array, Floating]:
    """One symmetric scale a row: codes -127..127."""
    scales = _nonzero(np.abs(weight).max(axis=1) / np.float32(127))
    codes = np.rint(weight / scales[:, None]).astype(np.int8)
    return codes, scales


def _blocks(weight: Floating, form: Blocks) -> tuple[Array, Floating]:
    """One scale a block, zero at the middle code; the block's largest value gets the lowest code.

    Codes run from -2**(bits-1) to 2**(bits-1) - 1, one further down than up: giving the far end
    to the value of largest magnitude, whatever its sign, uses every code.
    """
    blocks = _split(weight, form.size)
    middle = 2 ** (form.bits - 1)
    at = np.abs(blocks).argmax(axis=2)[..., None]
    scales = _nonzero(np.take_along_axis(blocks, at, axis=2)[..., 0] / np.float32(-middle))
    codes = np.rint(blocks / scales[..., None]) + middle
    whole = np.clip(codes, 0, 2 * middle - 1).astype(np.uint8)
    return _interleave(whole, form.bits), scales


def _split(weight: Floating, size: int) -> Floating:
    rows, columns = weight.shape
    short = -columns % size
    if short:
        weight = np.pad(weight, ((0, 0), (0, short)))
    return weight.reshape(rows, -1, size)


def _nonzero(scales: Floating) -> Floating:
    """Replace scales too small to divide by; codes of such a block are then all zero."""
    tiny = np.finfo(np.float32).tiny
    return np.where(np.abs(scales) < tiny, np.float32(1), scales).astype(np.float32)


def _interleave(codes: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Pack codes of 4 or 8 bits along the last axis, low nibble first as MatMulNBits expects."""
    if bits == 8:
        return codes
    packed: npt.NDArray[np.uint8] = codes[..., 0::2] | (codes[..., 1::2] << np.uint8(4))
    return packed


def _restore(codes: Array, scales: Floating, form: Form, columns: int) -> Floating:
    if isinstance(form, Rows):
        rows: Floating = codes.astype(np.float32) * scales[:, None]
        return rows
    assert isinstance(form, Blocks)
    whole = codes
    if form.bits == 4:
        whole = np.empty((*codes.shape[:2], form.size), np.uint8)
        whole[..., 0::2] = codes & np.uint8(15)  # type: ignore[operator]
        whole[..., 1::2] = codes >> np.uint8(4)  # type: ignore[operator]
    middle = np.float32(2 ** (form.bits - 1))
    values = (whole.astype(np.float32) - middle) * scales[..., None]
    restored: Floating = values.reshape(values.shape[0], -1)[:, :columns]
    return restored
