"""The operators that our exporter writes, each with all that it gives them.

onnxruntime checks much of a graph, but not all: an attribute that no exporter writes, or a count of
outputs, can end the process. So a node has to be one of these rows.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from .limits import SIZES
from .onnxfile import FLOAT, HALF, INT32, UINT8, Node, OnnxGraph, Tensor


@dataclass(frozen=True)
class Whole:
    """The whole numbers from `low` to `high`."""

    low: int
    high: int

    def __contains__(self, value: object) -> bool:
        return type(value) is int and self.low <= value <= self.high


@dataclass(frozen=True)
class Real:
    """The floats above `low`, up to `high`."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float) and self.low < value <= self.high


class OneByte:
    """A tensor of one byte, of any value."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, Tensor) and (value.type, value.dims) == (UINT8, (1,))


@dataclass(frozen=True)
class Operator:
    """How many inputs and outputs an operator has, and what its attributes may be, which it has."""

    inputs: tuple[int, ...]
    outputs: int = 1
    attributes: Mapping[str, Container[object]] = field(default_factory=dict)


_ONE, _TWO, _THREE = Operator((1,)), Operator((2,)), Operator((3,))
_AXIS = Whole(-1, 2)
_BLOCKS = (16, 32, 64, 128, 256)  # all that onnxruntime knows

OPERATORS: dict[tuple[str, str], tuple[Operator, ...]] = {
    **{("", name): (_ONE,) for name in ("Abs", "Cos", "Sigmoid", "Sin", "Sqrt")},
    **{
        ("", name): (_TWO,)
        for name in (
            "Add",
            "And",
            "Div",
            "LessOrEqual",
            "MatMul",
            "Max",
            "Mul",
            "Pow",
            "Reshape",
            "Sub",
            "Unsqueeze",
        )
    },
    **{("", name): (_THREE,) for name in ("Range", "Where")},
    ("", "Cast"): (Operator((1,), attributes={"to": (FLOAT, HALF, INT32)}),),
    ("", "Concat"): (Operator((2, 3), attributes={"axis": _AXIS}),),
    ("", "ConstantOfShape"): (Operator((1,), attributes={"value": OneByte()}),),
    ("", "Gather"): (_TWO, Operator((2,), attributes={"axis": Whole(1, 1)})),
    ("", "Gelu"): (Operator((1,), attributes={"approximate": (b"none", b"tanh")}),),
    ("", "LayerNormalization"): (
        Operator((2, 3), attributes={"axis": _AXIS, "epsilon": Real(0, 1)}),
    ),
    ("", "QuantizeLinear"): (Operator((3,), attributes={"axis": _AXIS}),),
    ("", "ReduceMax"): (Operator((2,), attributes={"keepdims": Whole(0, 1)}),),
    ("", "ReduceMean"): (Operator((2,), attributes={"keepdims": Whole(1, 1)}),),
    ("", "Shape"): (_ONE, Operator((1,), attributes={"start": Whole(0, 3), "end": Whole(0, 4)})),
    ("", "Slice"): (Operator((4,)),),
    ("", "Softmax"): (Operator((1,), attributes={"axis": _AXIS}),),
    ("", "Split"): (
        Operator((1,), 2, {"axis": _AXIS, "num_outputs": Whole(2, 2)}),
        *(Operator((2,), outputs, {"axis": _AXIS}) for outputs in (2, 3)),
    ),
    ("", "TopK"): (Operator((2,), 2, {"axis": _AXIS}),),
    ("", "Transpose"): (Operator((1,), attributes={"perm": ([0, 2, 1, 3],)}),),
    ("com.microsoft", "FusedMatMul"): (
        Operator((2,), attributes={"alpha": Real(0, 1), "transB": Whole(0, 1)}),
    ),
    ("com.microsoft", "GatherBlockQuantized"): (
        Operator(
            (3,),
            attributes={
                "bits": (4, 8),
                "block_size": _BLOCKS,
                "gather_axis": Whole(0, 0),
                "quantize_axis": Whole(1, 1),
            },
        ),
    ),
    ("com.microsoft", "GroupQueryAttention"): (
        Operator(
            (11,),
            3,
            {
                "do_rotary": Whole(0, 1),
                "kv_num_heads": Whole(1, SIZES["heads"]),
                "local_window_size": Whole(-1, SIZES["context"]),
                "num_heads": Whole(1, SIZES["heads"]),
                "rotary_interleaved": Whole(0, 0),
                "scale": Real(0, 16),
            },
        ),
    ),
    ("com.microsoft", "MatMulIntegerToFloat"): (Operator((5,)),),
    ("com.microsoft", "MatMulNBits"): (
        Operator(
            (3,),
            attributes={
                "K": Whole(1, SIZES["hidden"]),
                "N": Whole(1, SIZES["vocabulary"]),
                "accuracy_level": Whole(0, 4),
                "bits": (4, 8),
                "block_size": _BLOCKS,
            },
        ),
    ),
    ("com.microsoft", "QuickGelu"): (Operator((1,), attributes={"alpha": Real(0, 1)}),),
    ("com.microsoft", "SkipLayerNormalization"): (Operator((3, 4), 4, {"epsilon": Real(0, 1)}),),
    ("com.microsoft", "SkipSimplifiedLayerNormalization"): (
        Operator((3,), 4, {"epsilon": Real(0, 1)}),
    ),
}


def is_written_so(node: Node) -> bool:
    """Whether a node of a known operator has what our exporter gives it."""
    return any(
        len(node.inputs) in row.inputs
        and node.outputs == row.outputs
        and node.attributes.keys() == row.attributes.keys()
        and all(value in row.attributes[name] for name, value in node.attributes.items())
        for row in OPERATORS[node.domain, node.operator]
    )


def has_its_codes(node: Node, graph: OnnxGraph) -> bool:
    """Whether a product has codes of the size that its attributes say."""
    if node.operator != "MatMulNBits":
        return True
    rows, cols, bits, block = (node.attributes[name] for name in ("N", "K", "bits", "block_size"))
    codes = graph.tensors.get(node.inputs[1])
    expected = rows, -(-cols // block), block * bits // 8
    return codes is not None and (codes.type, codes.dims) == (UINT8, expected)
