"""Quantized products: a row's result does not depend on the rows beside it."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from refact_edge.export.architectures import WeightSpec
from refact_edge.export.blocks import Stored, Weights, linear
from refact_edge.export.graph import Graph
from refact_edge.export.weights import VariantWriter
from refact_edge.quant.pack import pack, unpack
from refact_edge.quant.schemes import SCHEMES
from refact_edge.runtime.session import import_onnxruntime

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.standard_normal((48, 200)).astype(np.float32)


def _product(variant: str, folder: Path, role: Literal["matrix", "head"] = "matrix") -> Any:
    writer = VariantWriter(folder / "w.onnx_data", SCHEMES[variant])
    writer.add(WeightSpec("w", WEIGHT.shape, role, ("w",)), WEIGHT)
    writer.close()
    graph = Graph("g", "w.onnx_data")
    x = graph.input("x", "float32", ["rows", 200])
    stored: dict[str, Stored] = writer.stored
    y = linear(graph, x, Weights(stored, "float32"), "w")
    graph.output(y, "y", "float32", ["rows", 48])
    (folder / "g.onnx").write_bytes(graph.model().SerializeToString())
    return import_onnxruntime().InferenceSession(
        str(folder / "g.onnx"), providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize(
    ("variant", "role"), [("int8", "matrix"), ("int8", "head"), ("int4", "matrix")]
)
def test_a_row_beside_one_twenty_times_larger_keeps_its_result(
    variant: str, role: Literal["matrix", "head"], tmp_path: Path
) -> None:
    session = _product(variant, tmp_path, role)
    row = RANDOM.standard_normal((1, 200)).astype(np.float32)
    alone = session.run(None, {"x": row})[0]
    for others in (1, 3, 40):
        large = 20 * RANDOM.standard_normal((others, 200)).astype(np.float32)
        beside = session.run(None, {"x": np.concatenate([row, large])})[0][:1]
        assert np.abs(beside - alone).max() <= 1e-4 * np.abs(alone).max()


@pytest.mark.parametrize(("variant", "share"), [("fp32", 1e-6), ("int8", 0.02), ("int4", 0.02)])
def test_the_product_is_that_of_the_unpacked_weight(
    variant: str, share: float, tmp_path: Path
) -> None:
    session = _product(variant, tmp_path)
    x = RANDOM.standard_normal((9, 200)).astype(np.float32)
    want = x @ unpack(pack(WEIGHT, SCHEMES[variant].matrix)).T
    got = session.run(None, {"x": x})[0]
    # What is left is the rounding of activations to eight bits.
    assert np.linalg.norm(got - want) <= share * np.linalg.norm(want)


def test_two_terms_leave_next_to_nothing_of_the_rounding(tmp_path: Path) -> None:
    session = _product("int8", tmp_path, "head")
    x = RANDOM.standard_normal((9, 200)).astype(np.float32)
    x[3] *= 1000
    want = x @ unpack(pack(WEIGHT, SCHEMES["int8"].head)).T
    got = session.run(None, {"x": x})[0]
    for row in range(len(x)):
        assert np.linalg.norm(got[row] - want[row]) <= 1e-4 * np.linalg.norm(want[row])


@pytest.mark.parametrize("role", ["matrix", "head"])
def test_an_all_zero_row_gives_zero(role: Literal["matrix", "head"], tmp_path: Path) -> None:
    session = _product("int8", tmp_path, role)
    assert not session.run(None, {"x": np.zeros((2, 200), np.float32)})[0].any()
