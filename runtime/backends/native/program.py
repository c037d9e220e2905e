"""The program of a decoder's step: its operations, as program.h has them.

Built of the decoder's facts and of the places of its weights alone.
"""

from __future__ import annotations

import ctypes
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
from ...bundle.places import NORM_MATRIX, ROTATION, Place
from . import layout
from .fits import check_kernels_take
from .tables import COSINES, SINES, SLOPES, Tables, computed_tables

# Buffers of a token's numbers.
_ROW_BITS = 8  # of a code of form rows
STREAM, NORMED, Q, KV, ATTENDED, UP, GATED = range(7)


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
    kv_type: str = "fp32",
) -> Program:
    """Return the program of a decoder whose weights lie in `data`; `constants` are the library's.

    `kv_type` is that of its caches: fp32, fp16 or int8.

    Raises:
        OtherGraphError: when the kernels do not take such a model, or such weights.

    """
    check_kernels_take(decoder, places, constants)
    tables = Tables(computed_tables(decoder))
    start, shapes = int(data.ctypes.data), weight_shapes(decoder)
    writer = _Writer(decoder, places, start, tables, constants, shapes)
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
        tables=tables.memory.ctypes.data,
        table_bytes=tables.memory.nbytes,
        widths=(ctypes.c_int32 * layout.MOST_BUFFERS)(*(widths[i] for i in sorted(widths))),
        count=len(operations),
        context=decoder.context,
        vocabulary=decoder.vocabulary,
        layers=decoder.layers,
        kv_width=kv_width,
        kv_heads=attention.kv_heads,
        kv_type=constants[f"KV_{kv_type.upper()}"],
    )
    return Program(c, tables, data)


@dataclass(frozen=True)
class _Writer:
    """Writes a decoder's operations."""

    decoder: Decoder
    places: Mapping[str, Place]
    data: int  # address of the file's first byte
    tables: Tables
    constants: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]  # of all weights that the decoder has

    def operations(self) -> Iterator[layout.Operation]:
        """Yield them in the order of the forward pass."""
        yield self._embed()
        for index in range(self.decoder.layers):
            yield from self._layer(index)
        yield self._operation("KEEP_LAST", to=STREAM)
        yield from self._norm(LAST_NORM, NORM_MATRIX if NORM_MATRIX in self.places else HEAD)
        if NORM_MATRIX in self.places:
            yield self._multiply(NORM_MATRIX, NORMED)
            yield self._round(NORMED, HEAD)
        yield self._multiply(HEAD, self.constants["LOGITS"], scale=self.decoder.logit_scale)

    def _layer(self, index: int) -> Iterator[layout.Operation]:
        """Of parallel layers the MLP reads the stream before attention adds to it."""
        name = layer_name(index)
        yield from self._norm(f"{name}.norm1", f"{name}.attention.q")
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
            some = layout.Heads(count, attention.head_size)
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
            attention.window,
        )
        yield self._operation("ATTEND", source=Q, to=ATTENDED, attend=of_layer)
        yield self._round(ATTENDED, f"{name}.attention.out")
        yield self._multiply(f"{name}.attention.out", STREAM, add=True)

    def _up(self, name: str) -> Iterator[layout.Operation]:
        matrix = f"{name}.mlp.{'gate_up' if self.decoder.mlp.gated else 'up'}"
        if not self.decoder.one_norm:
            yield from self._norm(f"{name}.norm2", matrix)
        yield self._multiply(matrix, UP)

    def _down(self, name: str) -> Iterator[layout.Operation]:
        mlp = self.decoder.mlp
        rotation = self.places.get(ROTATION)
        gate = layout.Gate(
            self._floats(ROTATION) if rotation else None,
            rotation.shape[0] if rotation else 0,
            self.constants[mlp.activation.upper()],
            mlp.gated,
        )
        yield self._operation("GATE", source=UP, to=GATED, gate=gate)
        yield self._round(GATED, f"{name}.mlp.down")
        yield self._multiply(f"{name}.mlp.down", STREAM, add=True)

    def _embed(self) -> layout.Operation:
        positions = self.decoder.positions
        rows = positions.rows if isinstance(positions, Learned) else 0
        table = self._floats(POSITIONS) if rows else None
        matrix, scale = self._matrix(EMBEDDING), self.decoder.embedding_scale
        embed = layout.Embed(matrix, table, rows, scale, self.decoder.tied)
        return self._operation("EMBED", to=STREAM, embed=embed)

    def _norm(self, name: str, matrix: str) -> Iterator[layout.Operation]:
        """Yield a norm of the stream, and its rounding for a matrix and those of the same form."""
        facts = self.decoder.norm
        bias = self._floats(f"{name}.bias") if facts.bias else None
        norm = layout.Norm(self._floats(f"{name}.weight"), bias, facts.epsilon, facts.kind == "rms")
        yield self._operation("NORM", source=STREAM, to=NORMED, norm=norm)
        yield self._round(NORMED, matrix)

    def _round(self, source: int, matrix: str) -> layout.Operation:
        terms = self.places[self._stored(matrix)].terms
        return self._operation("ROUND", source=source, round=layout.Round(terms))

    def _stored(self, matrix: str) -> str:
        """Return the name of the weight that a matrix is: a tied head is the embedding."""
        return EMBEDDING if matrix == HEAD and self.decoder.tied else matrix

    def _rotary(self, heads: layout.Heads) -> layout.Rotary:
        assert isinstance(self.decoder.positions, Rotary)
        cosines, sines = (self.tables.address(name) for name in (COSINES, SINES))
        return layout.Rotary(heads, cosines, sines, self.decoder.positions.dims)

    def _multiply(
        self, name: str, to: int, *, scale: float = 1.0, add: bool = False
    ) -> layout.Operation:
        bias = self._floats(f"{name}.bias") if f"{name}.bias" in self.shapes else None
        matrix = self._matrix(self._stored(name))
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
        if place.form == "rows":
            return layout.Matrix(codes, None, scales, *place.shape, _ROW_BITS)
        return layout.Matrix(codes, scales, None, *place.shape, place.bits)

    def _floats(self, name: str) -> int:
        return self.data + self.places[name].parts["values"].offset
