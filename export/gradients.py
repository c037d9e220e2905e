"""Gradients in a graph: nodes that go back from some of its values to those that they depend on.

Reverse accumulation, with one rule an operator: those through which a decoder's stream passes, in
fp32. A gradient may have one number where its value has a row of them, and then stands for a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper

from .graph import CONTRIB, ONNX_TYPES, Graph

_CUBE = 0.044715  # of x^3 in GELU's form with tanh


def add_gradients(g: Graph, starts: Mapping[str, str], ends: Collection[str]) -> dict[str, str]:
    """Add nodes that make the gradients of `ends`; return their names by value.

    Args:
        g: the graph, with all that lies between.
        starts: values whose gradients are there already, and what those are called.
        ends: the values to go back to; one may lie on the way to another.

    Raises:
        NotImplementedError: when an operator between them has no rule; names it.

    """
    nodes = list(g.nodes)
    movable = _dependents(nodes, ends)
    sums = dict(starts)
    with g.scope("gradient"):
        for node in reversed(nodes):
            after = [sums.get(name, "") for name in node.output]
            if not any(after) or not movable.intersection(node.input):
                continue
            if node.op_type not in _RULES:
                raise NotImplementedError(f"there is no gradient of the operator {node.op_type}")
            with g.scope(node.name):
                parts = _RULES[node.op_type](_Back(g, node, after))
            for name, part in zip(node.input, parts, strict=False):
                if name in movable:
                    sums[name] = g.op("Add", sums[name], part) if name in sums else part
    return {name: sums[name] for name in ends}


def _dependents(nodes: Sequence[onnx.NodeProto], values: Collection[str]) -> set[str]:
    """Return the values and all numbers that depend on them; their shapes do not."""
    dependents = set(values)
    for node in nodes:
        if node.op_type != "Shape" and dependents.intersection(node.input):
            dependents.update(node.output)
    return dependents


@dataclass(frozen=True)
class _Back:
    """A node to go back through, and the gradients of its outputs."""

    g: Graph
    node: onnx.NodeProto
    after: Sequence[str]

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of ONNX's own."""
        return self.g.op(operator, *inputs, attributes=attributes)

    def number(self, value: npt.ArrayLike) -> str:
        """Return a constant."""
        return self.g.constant(value, "float32")

    def product(self, a: str, b: str, **attributes: Any) -> str:
        """Multiply matrices, either of them transposed, or the product scaled."""
        return self.g.op("FusedMatMul", a, b, domain=CONTRIB, attributes=attributes)

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute of the node."""
        values = [each for each in self.node.attribute if each.name == name]
        return helper.get_attribute_value(values[0]) if values else default

    def over_rows(self, operator: str, x: str) -> str:
        """Reduce along the last axis, which remains with one number."""
        return self(operator, x, self.g.constant([-1]), keepdims=1)


# Every rule returns a gradient for each input, or for the first ones where others have none. It
# does so whether or not an input depends on anything: what nobody asks for is left out of the
# session that runs the graph.


def _add(back: _Back) -> list[str]:
    return [back.after[0]] * 2


def _mul(back: _Back) -> list[str]:
    a, b = back.node.input
    return [back("Mul", back.after[0], b), back("Mul", back.after[0], a)]


def _div(back: _Back) -> list[str]:
    """Divide by one number a row: its gradient is the row's sum."""
    a, b = back.node.input
    first = back("Div", back.after[0], b)
    shares = back("Mul", first, back("Div", a, b))
    return [first, back("Neg", back.over_rows("ReduceSum", shares))]


def _pow(back: _Back) -> list[str]:
    """Square: the only power that there is."""
    twice = back("Mul", back.number(2), back.node.input[0])
    return [back("Mul", back.after[0], twice)]


def _sqrt(back: _Back) -> list[str]:
    twice = back("Mul", back.number(2), back.node.output[0])
    return [back("Div", back.after[0], twice)]


def _reduce_mean(back: _Back) -> list[str]:
    size = back("Cast", back("Shape", back.node.input[0], start=-1), to=ONNX_TYPES["float32"])
    return [back("Div", back.after[0], size)]


def _sigmoid(back: _Back) -> list[str]:
    y = back.node.output[0]
    slope = back("Mul", y, back("Sub", back.number(1), y))
    return [back("Mul", back.after[0], slope)]


def _softmax(back: _Back) -> list[str]:
    y = back.node.output[0]
    mean = back.over_rows("ReduceSum", back("Mul", back.after[0], y))
    return [back("Mul", back("Sub", back.after[0], mean), y)]


def _gelu(back: _Back) -> list[str]:
    slope = _tanh_slope if back.attribute("approximate", b"none") == b"tanh" else _erf_slope
    return [back("Mul", back.after[0], slope(back, back.node.input[0]))]


def _erf_slope(back: _Back, x: str) -> str:
    """Return P(X < x) + x p(x) for X of the normal distribution."""
    error = back("Erf", back("Mul", x, back.number(math.sqrt(0.5))))
    below = back("Mul", back.number(0.5), back("Add", back.number(1), error))
    square = back("Mul", back.number(-0.5), back("Mul", x, x))
    density = back("Mul", back.number(1 / math.sqrt(2 * math.pi)), back("Exp", square))
    return back("Add", below, back("Mul", x, density))


def _tanh_slope(back: _Back, x: str) -> str:
    """Return the slope of x (1 + tanh u) / 2 for u = sqrt(2 / pi) (x + _CUBE x^3)."""
    factor = math.sqrt(2 / math.pi)
    square = back("Mul", x, x)
    inner = back("Add", back.number(factor), back("Mul", back.number(factor * _CUBE), square))
    tanh = back("Tanh", back("Mul", x, inner))
    steep = back("Add", back.number(factor), back("Mul", back.number(3 * factor * _CUBE), square))
    bend = back("Mul", back("Sub", back.number(1), back("Mul", tanh, tanh)), back("Mul", x, steep))
    return back("Mul", back.number(0.5), back("Add", back("Add", back.number(1), tanh), bend))


def _layer_norm(back: _Back) -> list[str]:
    """Go back through (x - mean) / deviation * weight."""
    x, weight = back.node.input[:2]
    centred = back("Sub", x, back.over_rows("ReduceMean", x))
    variance = back.over_rows("ReduceMean", back("Mul", centred, centred))
    epsilon = back.number(back.attribute("epsilon", 1e-5))
    deviation = back("Sqrt", back("Add", variance, epsilon))
    normed = back("Div", centred, deviation)
    weighted = back("Mul", back.after[0], weight)
    along = back.over_rows("ReduceMean", back("Mul", weighted, normed))
    level = back("Sub", weighted, back.over_rows("ReduceMean", weighted))
    return [back("Div", back("Sub", level, back("Mul", normed, along)), deviation)]


def _reshape(back: _Back) -> list[str]:
    return [back("Reshape", back.after[0], back("Shape", back.node.input[0]))]


def _transpose(back: _Back) -> list[str]:
    order = list(back.attribute("perm", ()))
    return [back("Transpose", back.after[0], perm=[order.index(i) for i in range(len(order))])]


def _split(back: _Back) -> list[str]:
    return [back("Concat", *back.after, axis=back.attribute("axis", 0))]


def _concat(back: _Back) -> list[str]:
    axis, inputs = back.attribute("axis", 0), back.node.input
    only = {"start": axis} if axis == -1 else {"start": axis, "end": axis + 1}
    sizes = back("Concat", *(back("Shape", name, **only) for name in inputs), axis=0)
    split = {"axis": axis}
    return back.g.ops("Split", back.after[0], sizes, outputs=len(inputs), attributes=split)


def _matmul(back: _Back) -> list[str]:
    a, b = back.node.input
    return [back.product(back.after[0], b, transB=1), back.product(a, back.after[0], transA=1)]


def _fused_matmul(back: _Back) -> list[str]:
    """Go back through alpha a b^T."""
    a, b = back.node.input
    alpha = back.attribute("alpha", 1.0)
    assert back.attribute("transB", 0) == 1, "as attention and a tied head have it"
    return [
        back.product(back.after[0], b, alpha=alpha),
        back.product(back.after[0], a, alpha=alpha, transA=1),
    ]


_RULES: Mapping[str, Callable[[_Back], Sequence[str]]] = {
    "Add": _add,
    "Concat": _concat,
    "Div": _div,
    "FusedMatMul": _fused_matmul,
    "Gelu": _gelu,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "Mul": _mul,
    "Pow": _pow,
    "ReduceMean": _reduce_mean,
    "Reshape": _reshape,
    "Sigmoid": _sigmoid,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": _sqrt,
    "Transpose": _transpose,
}
