"""The program of a decoder's step: its operations, as program.h has them.

Built of the decoder's facts and of the places of its weights alone. A model that the kernels do not
take is refused with a line that says why; onnxruntime runs it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...bundle.decoder import (
    EMBEDDING,
    HEAD,
    LAST_NORM,
    POSITIONS,
    Decoder,
    Learned,
    Rotary,
    layer_name,
    weight_shapes,
)
from ...bundle.places import ROTATION, Place
from ...errors import BundleError
from . import layout
from .tables import COSINES, SINES, SLOPES, Array, Tables, computed_tables

# Buffers of a token's numbers.
STREAM, NORMED, Q, KV, ATTENDED, UP, GATED = range(7)


class OtherGraphError(BundleError):
    """The model is not one that the native kernels take; onnxruntime runs it."""


@dataclass(frozen=True)
class Program:
    """A program as the library takes it, and what must live as long as it is open."""

    c: layout.Program
    tables: Tables
    data: npt.NDArray[np.uint8]


def build_program(
    decoder: Decoder,
    places: Mapping[str, Place],
    data: npt.NDArray[np.uint8],
    constants: Mapping[str, int],
    tables: Mapping[str, Array] | None = None,
) -> Program:
    """Return the program of a decoder whose weights lie in `data`.

    `constants` are the library's; `tables` are weights that lie in no file, by name.

    Raises:
        OtherGraphError: when the kernels do not take such a model, or such weights.

    """
    own = Tables(computed_tables(decoder) | dict(tables or {}))
    start, shapes = int(data.ctypes.data), weight_shapes(decoder)
    writer = _Writer(decoder, places, start, own, constants, shapes)
    writer.check()
    operations = list(writer.operations())
    attention, mlp = decoder.attention, decoder.mlp
    inside, kv_width = (n * attention.head_size for n in (attention.heads, attention.kv_heads))
    widths = {
        STREAM: decoder.width,
        NORMED: decoder.width,
        Q: inside,
        KV: 2 * kv_width,
        ATTENDED: inside,
        UP: (2 if mlp.gated else 1) * mlp.hidden,
        GATED: mlp.hidden,
    }
    c = layout.Program(
        operations=(layout.Operation * len(operations))(*operations),
        data=data.ctypes.data,
        data_bytes=data.nbytes,
        tables=own.memory.ctypes.data,
        table_bytes=own.memory.nbytes,
        widths=(ctypes.c_int32 * layout.MOST_BUFFERS)(*(widths[i] for i in sorted(widths))),
        count=len(operations),
        context=decoder.context,
        vocabulary=decoder.vocabulary,
        layers=decoder.layers,
        kv_width=kv_width,
    )
    return Program(c, own, data)


def check_place(name: str, place: Place, shape: tuple[int, ...], block: int) -> None:
    """Make sure that a weight has the shape and form that the kernels read.

    Raises:
        OtherGraphError: when it has not.

    """
    form = "blocks" if len(shape) == 2 and name not in (POSITIONS, ROTATION) else "floats"
    types = {key: part.type for key, part in place.parts.items()}
    right = {"codes": "uint8", "scales": "float16"} if form == "blocks" else {"values": "float32"}
    if place.form != form or types != right or place.shape != shape:
        raise OtherGraphError(
            f"{name} is {place.form} of {' x '.join(map(str, place.shape))}, the native kernels "
            f"take {form} of {' x '.join(map(str, shape))}; it runs on onnxruntime only"
        )
    if form == "blocks":
        _check_blocks(name, place, block)
    elif place.parts["values"].length != 4 * math.prod(shape):
        raise OtherGraphError(
            f"{name} has {place.parts['values'].length} bytes, expected {4 * math.prod(shape)}; "
            "export the model again"
        )


def _check_blocks(name: str, place: Place, block: int) -> None:
    rows, cols = place.shape
    blocks = -(-cols // block)
    values = cols if name == EMBEDDING else blocks * block
    codes, scales = (place.parts[part].length for part in ("codes", "scales"))
    if (
        place.block != block
        or place.bits not in (4, 8)
        or (codes, scales) != (rows * values * place.bits // 8, 2 * rows * blocks)
    ):
        raise OtherGraphError(
            f"{name} is not {rows} x {cols} in blocks of {block}, of 4 or 8 bits; it runs on "
            "onnxruntime only"
        )


@dataclass(frozen=True)
class _Writer:
    """Writes a decoder's operations."""

    decoder: Decoder
    places: Mapping[str, Place]
    data: int  # address of the file's first byte
    tables: Tables
    constants: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]

    def check(self) -> None:
        """Refuse what the kernels do not take, before anything is written."""
        shapes, block = self.shapes, self.constants["BLOCK"]
        missing = [name for name in shapes if name not in self.places]
        if missing:
            raise OtherGraphError(
                f"the bundle does not say where {len(missing)} of {len(shapes)} weights lie: "
                f"{', '.join(missing[:5])}; export the model again"
            )
        for name, shape in shapes.items():
            check_place(name, self.places[name], shape, block)
        if self.decoder.tied and self.decoder.width % block:
            raise OtherGraphError(
                f"the head reads the embedding's rows of {self.decoder.width}, which are no whole "
                f"blocks of {block}; it runs on onnxruntime only"
            )
        self._check_gates(block)

    def _check_gates(self, block: int) -> None:
        hidden, size = self.decoder.mlp.hidden, self._rotation_size()
        whole = not size or (hidden % size == 0 and (size % block == 0 or block % size == 0))
        if hidden % self.constants["GATE_PIECE"] or not whole:
            raise OtherGraphError(
                f"{hidden} hidden numbers, rotated by {size}, are no whole pieces; it runs on "
                "onnxruntime only"
            )
        if size > self.constants["MOST_ROTATION"]:
            raise OtherGraphError(
                f"a rotation of {size}, the native kernels take up to "
                f"{self.constants['MOST_ROTATION']}; it runs on onnxruntime only"
            )

    def _rotation_size(self) -> int:
        """Return the rows of the rotation; 0 for none."""
        if (place := self.places.get(ROTATION)) is not None:
            check_place(ROTATION, place, (place.shape[0],) * 2, self.constants["BLOCK"])
            return place.shape[0]
        return self.tables.rows(ROTATION)

    def operations(self) -> Iterator[layout.Operation]:
        """Yield them in the order of the forward pass."""
        yield self._embed()
        for index in range(self.decoder.layers):
            yield from self._layer(index)
        yield self._operation("KEEP_LAST", to=STREAM)
        yield from self._norm(LAST_NORM)
        yield self._multiply(HEAD, self.constants["LOGITS"], scale=self.decoder.logit_scale)

    def _layer(self, index: int) -> Iterator[layout.Operation]:
        """Of parallel layers the MLP reads the stream before attention adds to it."""
        name = layer_name(index)
        yield from self._norm(f"{name}.norm1")
        yield self._multiply(f"{name}.attention.q", Q)
        yield self._multiply(f"{name}.attention.kv", KV)
        if self.decoder.residual == "parallel":
            yield from self._up(name)
        yield from self._attention(name, index)
        if self.decoder.residual == "sequential":
            yield from self._up(name)
        yield from self._down(name)

    def _attention(self, name: str, index: int) -> Iterator[layout.Operation]:
        attention = self.decoder.attention
        heads = {"q": (Q, attention.heads), "k": (KV, attention.kv_heads)}
        for part, (buffer, count) in heads.items():
            some = layout.Heads(0, count, attention.head_size)
            if attention.head_norm:
                weight = self._floats(f"{name}.attention.{part}_norm")
                of = layout.NormHeads(some, weight, self.decoder.norm.epsilon)
                yield self._operation("NORM_HEADS", to=buffer, norm_heads=of)
            if isinstance(self.decoder.positions, Rotary):
                yield self._operation("ROTARY", to=buffer, rotary=self._rotary(some))
        yield self._operation("APPEND", source=KV, append=layout.Append(index))
        of_layer = layout.Attend(
            self.tables.address(SLOPES),
            attention.scale,
            index,
            attention.heads,
            attention.kv_heads,
            attention.head_size,
        )
        yield self._operation("ATTEND", source=Q, to=ATTENDED, attend=of_layer)
        yield self._operation("ROUND", source=ATTENDED)
        yield self._multiply(f"{name}.attention.out", STREAM, add=True)

    def _up(self, name: str) -> Iterator[layout.Operation]:
        if not self.decoder.one_norm:
            yield from self._norm(f"{name}.norm2")
        yield self._multiply(f"{name}.mlp.{'gate_up' if self.decoder.mlp.gated else 'up'}", UP)

    def _down(self, name: str) -> Iterator[layout.Operation]:
        mlp = self.decoder.mlp
        in_file = ROTATION in self.places
        gate = layout.Gate(
            self._floats(ROTATION) if in_file else self.tables.address(ROTATION),
            self._rotation_size(),
            self.constants[mlp.activation.upper()],
            mlp.gated,
        )
        yield self._operation("GATE", source=UP, to=GATED, gate=gate)
        yield self._operation("ROUND", source=GATED)
        yield self._multiply(f"{name}.mlp.down", STREAM, add=True)

    def _embed(self) -> layout.Operation:
        positions = self.decoder.positions
        rows = positions.rows if isinstance(positions, Learned) else 0
        table = self._floats(POSITIONS) if rows else None
        embed = layout.Embed(self._matrix(EMBEDDING), table, rows, self.decoder.embedding_scale)
        return self._operation("EMBED", to=STREAM, embed=embed)

    def _norm(self, name: str) -> Iterator[layout.Operation]:
        """Yield a norm of the stream, and its rounding."""
        facts = self.decoder.norm
        bias = self._floats(f"{name}.bias") if facts.bias else None
        norm = layout.Norm(self._floats(f"{name}.weight"), bias, facts.epsilon, facts.kind == "rms")
        yield self._operation("NORM", source=STREAM, to=NORMED, norm=norm)
        yield self._operation("ROUND", source=NORMED)

    def _rotary(self, heads: layout.Heads) -> layout.Rotary:
        assert isinstance(self.decoder.positions, Rotary)
        cosines, sines = (self.tables.address(name) for name in (COSINES, SINES))
        return layout.Rotary(heads, cosines, sines, self.decoder.positions.dims)

    def _multiply(
        self, name: str, to: int, *, scale: float = 1.0, add: bool = False
    ) -> layout.Operation:
        bias = self._floats(f"{name}.bias") if f"{name}.bias" in self.shapes else None
        matrix = self._matrix(EMBEDDING if name == HEAD and self.decoder.tied else name)
        multiply = layout.Multiply(matrix, bias, scale, add)
        return self._operation("MULTIPLY", to=to, multiply=multiply)

    def _operation(
        self, kind: str, *, source: int = 0, to: int = 0, **of: ctypes.Structure
    ) -> layout.Operation:
        operation = layout.Operation(kind=self.constants[kind], to=to, **of)
        setattr(operation, "from", source)  # a word of Python's
        return operation

    def _matrix(self, name: str) -> layout.Matrix:
        place = self.places[name]
        codes, scales = (self.data + place.parts[part].offset for part in ("codes", "scales"))
        return layout.Matrix(codes, scales, *place.shape, place.bits)

    def _floats(self, name: str) -> int:
        return self.data + self.places[name].parts["values"].offset
