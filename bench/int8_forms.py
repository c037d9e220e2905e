"""Ways to multiply by 8-bit weights on onnxruntime's CPU kernels, interleaved in one run.

Usage: python -m bench.int8_forms

Random codes, 2048 x 5632 and back, six times over. It shows speed only, of products only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import click
import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from refact_edge.export.graph import CONTRIB, IR_VERSION, OPSET
from refact_edge.runtime.backends.onnxruntime import import_onnxruntime

WIDTH, INNER, PAIRS, REPEATS = 2048, 5632, 6, 15
ROWS = (1, 4, 32, 128, 256)
RANDOM = np.random.default_rng(0)

Product = Callable[["Chain", str, int, int], str]


class Chain:
    """Nodes and weights of a model of products, one after the other."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def weight(self, value: npt.ArrayLike, kind: str) -> str:
        """Add a weight and return its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def op(self, operator: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """Add a node and return its output's name."""
        name = f"y{len(self.nodes)}"
        node = helper.make_node(operator, list(inputs), [name], domain=domain, **attributes)  # type: ignore[arg-type]
        self.nodes.append(node)
        return name

    def codes(self, shape: tuple[int, ...], kind: str) -> str:
        """Add random codes."""
        low, high = (-127, 128) if kind == "int8" else (0, 256)
        return self.weight(RANDOM.integers(low, high, shape), kind)

    def scales(self, count: int) -> str:
        """Add random scales."""
        return self.weight(RANDOM.random(count) * 0.01, "float32")


def blocks(bits: int) -> Product:
    """MatMulNBits in blocks of 128."""

    def product(c: Chain, x: str, inputs: int, outputs: int) -> str:
        codes = c.codes((outputs, inputs // 128, 16 * bits), "uint8")
        scales = c.scales(outputs * inputs // 128)
        return c.op(
            "MatMulNBits", x, codes, scales, domain=CONTRIB,
            K=inputs, N=outputs, bits=bits, block_size=128, accuracy_level=4,
        )  # fmt: skip

    return product


def scale_a_token(weights: str, activations: str = "uint8") -> Product:
    """MatMulIntegerToFloat over activations with a scale a row."""

    def product(c: Chain, x: str, inputs: int, outputs: int) -> str:
        size = c.op("ReduceMax", c.op("Abs", x), c.weight([-1], "int64"), keepdims=0)
        step = c.op("Mul", size, c.weight(1 / 127, "float32"))
        middle = 128 if activations == "uint8" else 0
        value = numpy_helper.from_array(np.array([middle], activations))
        middles = c.op("ConstantOfShape", c.op("Shape", step), value=value)
        quantized = c.op("QuantizeLinear", x, step, middles, axis=0)
        zeros = [c.weight(middle, activations)]
        if weights == "uint8":
            zeros.append(c.weight(128, "uint8"))
        one, codes = c.weight(1, "float32"), c.codes((inputs, outputs), weights)
        y = c.op(
            "MatMulIntegerToFloat", quantized, codes, one, c.scales(outputs), *zeros, domain=CONTRIB
        )
        return c.op("Mul", y, c.op("Unsqueeze", step, c.weight([1], "int64")))

    return product


def scale_a_call(c: Chain, x: str, inputs: int, outputs: int) -> str:
    """DynamicQuantizeMatMul: one scale for all activations, so not exact."""
    codes = c.codes((inputs, outputs), "int8")
    return c.op("DynamicQuantizeMatMul", x, codes, c.scales(outputs), domain=CONTRIB)


FORMS: dict[str, Product] = {
    "4 bits, blocks": blocks(4),
    "8 bits, blocks": blocks(8),
    "token, u8 x s8": scale_a_token("int8"),
    "token, u8 x u8": scale_a_token("uint8"),
    "token, s8 x s8": scale_a_token("int8", "int8"),
    "one scale a call": scale_a_call,
}


def model(product: Product) -> bytes:
    """Return a model of all products in one form."""
    chain, x = Chain(), "x"
    for _ in range(PAIRS):
        x = product(chain, product(chain, x, WIDTH, INNER), INNER, WIDTH)
    first, last = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", WIDTH]) for name in ("x", x)
    )
    graph = helper.make_graph(chain.nodes, "products", [first], [last], chain.weights)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return bytes(made.SerializeToString())


def measure(threads: int) -> Iterator[tuple[int, list[float]]]:
    """Yield, for each number of rows, the median milliseconds of each form."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    sessions = [
        onnxruntime.InferenceSession(model(form), options, providers=["CPUExecutionProvider"])
        for form in FORMS.values()
    ]
    for rows in ROWS:
        x = {"x": RANDOM.standard_normal((rows, WIDTH), dtype=np.float32)}
        times: list[list[float]] = [[] for _ in sessions]
        for _ in range(REPEATS):
            for session, its_times in zip(sessions, times, strict=True):
                start = time.perf_counter()
                session.run(None, x)
                its_times.append(1000 * (time.perf_counter() - start))
        yield rows, [float(np.median(its)) for its in times]


@click.command()
@click.option("--threads", default=2, show_default=True)
def main(threads: int) -> None:
    """Print the median milliseconds of each form for several numbers of rows."""
    click.echo(f"{'rows':>4}  " + "  ".join(f"{name:>16}" for name in FORMS))
    for rows, medians in measure(threads):
        click.echo(f"{rows:4}  " + "  ".join(f"{value:16.1f}" for value in medians))


if __name__ == "__main__":
    main()
