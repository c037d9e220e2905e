"""Quantized products: a row's result does not depend on the rows beside it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refact_edge.export.blocks import rotated
from refact_edge.export.graph import Graph
from refact_edge.export.products import Weights, linear, lookup
from refact_edge.export.roles import Role, WeightSpec
from refact_edge.export.weights import VariantWriter, form_of
from refact_edge.quant.pack import pack, unpack
from refact_edge.quant.rotation import rotation
from refact_edge.quant.schemes import SCHEMES, Blocks, Form, Rows
from refact_edge.runtime.backends.onnxruntime import ask_for_exact_products, import_onnxruntime
from refact_edge.runtime.bundle.places import ROTATION, Part, Place

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.standard_normal((48, 200)).astype(np.float32)


def _product(variant: str, folder: Path, role: Role = "matrix") -> Any:
    writer = VariantWriter(folder / "w.onnx_data", SCHEMES[variant])
    writer.add(WeightSpec("w", WEIGHT.shape, role), WEIGHT)
    writer.close()
    graph = Graph("g", "w.onnx_data")
    x = graph.input("x", "float32", ["rows", 200])
    y = linear(graph, x, Weights(writer.places, "float32"), "w")
    graph.output(y, "y", "float32", ["rows", 48])
    (folder / "g.onnx").write_bytes(graph.model().SerializeToString())
    onnxruntime = import_onnxruntime()
    settings = onnxruntime.SessionOptions()
    ask_for_exact_products(settings)
    return onnxruntime.InferenceSession(
        str(folder / "g.onnx"), settings, providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize(
    ("variant", "role"),
    [("int8", "matrix"), ("int8", "head"), ("int4", "matrix"), ("int4", "kv"), ("int4", "head")],
)
def test_a_row_beside_one_twenty_times_larger_keeps_its_result(
    variant: str, role: Role, tmp_path: Path
) -> None:
    session = _product(variant, tmp_path, role)
    row = RANDOM.standard_normal((1, 200)).astype(np.float32)
    alone = session.run(None, {"x": row})[0]
    for others in (1, 3, 40):
        large = 20 * RANDOM.standard_normal((others, 200)).astype(np.float32)
        beside = session.run(None, {"x": np.concatenate([row, large])})[0][:1]
        assert np.abs(beside - alone).max() <= 1e-4 * np.abs(alone).max()


@pytest.mark.parametrize(
    ("variant", "role", "share"),
    [
        ("fp32", "matrix", 1e-6),
        ("int8", "matrix", 0.02),
        ("int4", "matrix", 0.02),
        ("int4", "kv", 0.02),
        ("int4", "head", 0.02),
    ],
)
def test_the_product_is_that_of_the_unpacked_weight(
    variant: str, role: Role, share: float, tmp_path: Path
) -> None:
    session = _product(variant, tmp_path, role)
    x = RANDOM.standard_normal((9, 200)).astype(np.float32)
    form = form_of(WeightSpec("w", WEIGHT.shape, role), SCHEMES[variant])
    want = x @ unpack(pack(WEIGHT, form)).T
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
def test_an_all_zero_row_gives_zero(role: Role, tmp_path: Path) -> None:
    session = _product("int8", tmp_path, role)
    assert not session.run(None, {"x": np.zeros((2, 200), np.float32)})[0].any()


@pytest.mark.parametrize("form", [Rows(), Blocks(4, 32), Blocks(4, 128), Blocks(8, 128)])
def test_a_lookup_yields_the_rows_of_the_unpacked_table(form: Form, tmp_path: Path) -> None:
    scheme = replace(SCHEMES["int4"], embedding=form)
    writer = VariantWriter(tmp_path / "w.onnx_data", scheme)
    writer.add(WeightSpec("w", WEIGHT.shape, "embedding"), WEIGHT)
    writer.close()
    graph = Graph("g", "w.onnx_data")
    ids = graph.input("ids", "int64", ["rows"])
    rows = lookup(graph, ids, Weights(writer.places, "float32"), "w")
    graph.output(rows, "y", "float32", ["rows", 200])
    (tmp_path / "g.onnx").write_bytes(graph.model().SerializeToString())
    session = import_onnxruntime().InferenceSession(
        str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"]
    )
    numbers = np.array([3, 0, 47, 3])
    got = session.run(None, {"ids": numbers})[0]
    np.testing.assert_allclose(got, unpack(pack(WEIGHT, form))[numbers], rtol=1e-6)


def test_activations_are_rotated_in_blocks() -> None:
    graph = Graph("g", None)
    x = graph.input("x", "float32", ["rows", 64])
    place = Place("floats", (16, 16), {"values": Part("float32", (16, 16), 0, 0)})
    y = rotated(graph, x, Weights({ROTATION: place}, "float32"), 64)
    graph.output(y, "y", "float32", ["rows", 64])
    session = import_onnxruntime().InferenceSession(
        graph.model().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    row = RANDOM.standard_normal((3, 64)).astype(np.float32)
    want = (row.reshape(3, 4, 16) @ rotation(16).T).reshape(3, 64)
    got = session.run(None, {"x": row, ROTATION: np.ascontiguousarray(rotation(16).T)})[0]
    np.testing.assert_allclose(got, want, atol=1e-5)
