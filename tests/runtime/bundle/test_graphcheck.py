"""Graphs are looked at, and compared with the manifest, before anything opens them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from edited import accept, edit_manifest
from onnx import helper

import refact_edge
from refact_edge.runtime.bundle import contract as layout
from refact_edge.runtime.bundle.contract import (
    read_bundle,
)
from refact_edge.runtime.bundle.verified import verify, verify_standard
from refact_edge.runtime.errors import BundleError


def _write_graph(
    bundle: Path, model: onnx.ModelProto, name: str = layout.engine_graph("int4")
) -> None:
    (bundle / name).write_bytes(model.SerializeToString())
    accept(bundle, name)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "other.bin", ""])
def test_external_data_elsewhere_is_refused(bundle_copy: Path, location: str) -> None:
    model = onnx.load(bundle_copy / layout.engine_graph("int4"), load_external_data=False)
    entry = next(e for t in model.graph.initializer for e in t.external_data if e.key == "location")
    entry.value = location
    _write_graph(bundle_copy, model)
    with pytest.raises(BundleError, match=r"only 'model_q4\.onnx_data' is allowed"):
        refact_edge.load(bundle_copy, variant="int4")


def test_external_data_beyond_the_end_is_refused(bundle_copy: Path) -> None:
    model = onnx.load(bundle_copy / layout.engine_graph("int4"), load_external_data=False)
    entry = next(e for t in model.graph.initializer for e in t.external_data if e.key == "offset")
    entry.value = str(10**12)
    _write_graph(bundle_copy, model)
    with pytest.raises(BundleError, match="beyond the end"):
        refact_edge.load(bundle_copy, variant="int4")


@pytest.mark.parametrize(
    ("domain", "operator"), [("evil", "Add"), ("", "Loop"), ("", "StringConcat")]
)
def test_operators_outside_the_list_are_refused(
    bundle_copy: Path, domain: str, operator: str
) -> None:
    model = onnx.load(bundle_copy / layout.engine_graph("int4"), load_external_data=False)
    model.graph.node.append(helper.make_node(operator, ["x"], ["y"], domain=domain))
    _write_graph(bundle_copy, model)
    with pytest.raises(BundleError, match=f"outside the allowed list: .*{operator}"):
        refact_edge.load(bundle_copy, variant="int4")


def test_prepacked_external_data_is_refused(bundle_copy: Path) -> None:
    model = onnx.load(bundle_copy / layout.engine_graph("int4"), load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.external_data)
    tensor.external_data.add(key="prepacked_0", value="0;16;x")
    _write_graph(bundle_copy, model)
    with pytest.raises(BundleError, match="external data with prepacked_0"):
        refact_edge.load(bundle_copy, variant="int4")


Q = "layers.0.attention.q"
# What the manifest says of a weight: each field alone is another one than the graphs'.
DRIFTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "offset": (lambda w: _part(w, "codes", offset=4096), r"offset \d+ and 4096"),
    "type": (lambda w: _part(w, "scales", type="float32", length=384), r"type 10 and 1;"),
    "an axis": (lambda w: _part(w, "codes", shape=[96, 64]), r"codes uint8 \[96, 64\], expected"),
    "length": (lambda w: _part(w, "codes", length=6145), r"has codes of 6145 bytes for"),
    "shape": (lambda w: w[Q].update(shape=[96, 97]), "other weights than its decoder: layers"),
    "bits": (lambda w: w[Q].update(bits=8), r"codes uint8 .* expected uint8 \[96, 1, 128\]"),
    "block": (lambda w: w[Q].update(block=48), "block of"),
    "form": (lambda w: w[Q].update(form="floats"), "expected no more"),
    "one too many": (lambda w: w.update(more=w[Q]), "other weights than its decoder: more"),
    "one too few": (lambda w: w.pop(Q), "other weights than its decoder: layers"),
}


def _part(weights: dict[str, Any], part: str, **changes: object) -> dict[str, Any]:
    content: dict[str, Any] = weights[Q]["parts"][part]
    content.update(changes)
    return content


@pytest.mark.parametrize("field", DRIFTS)
def test_a_manifest_that_tells_otherwise_of_a_weight_is_refused(
    field: str, bundle_copy: Path
) -> None:
    edit, complaint = DRIFTS[field]
    edit_manifest(bundle_copy, lambda manifest: edit(manifest["variants"]["int4"]["weights"]))
    for check in (verify, verify_standard):
        with pytest.raises(BundleError, match=complaint) as caught:
            check(read_bundle(bundle_copy), "int4")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("graph", [layout.engine_graph("int4"), layout.standard_graph("int4")])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: _entry(t, "offset", "0"), "rotation: offset 0 and"),
        (lambda t: t.dims.append(1), r"dims \(32, 32, 1\) and \(32, 32\)"),
        (lambda t: _entry(t, "length", "2048", rows=16), r"dims \(16, 32\)"),
        (lambda t: setattr(t, "data_type", onnx.TensorProto.INT32), "type 6 and 1"),
        (lambda t: setattr(t, "name", "another"), "another: it is in the graph only"),
    ],
)
def test_a_graph_that_tells_otherwise_of_a_weight_is_refused(
    graph: str, change: Callable[[Any], object], complaint: str, bundle_copy: Path
) -> None:
    """A rotation, whose node no attribute describes."""
    model = onnx.load(bundle_copy / graph, load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.name == "rotation")
    change(tensor)
    _write_graph(bundle_copy, model, graph)
    check = verify if graph == layout.engine_graph("int4") else verify_standard
    with pytest.raises(BundleError, match=complaint):
        check(read_bundle(bundle_copy), "int4")


def _entry(tensor: Any, key: str, value: str, rows: int = 32) -> None:
    tensor.dims[0] = rows
    next(entry for entry in tensor.external_data if entry.key == key).value = value


def test_a_graph_that_onnxruntime_refuses_is_named(bundle_copy: Path) -> None:
    model = onnx.load(bundle_copy / layout.engine_graph("int4"), load_external_data=False)
    model.graph.node[5].input[0] = "nowhere"
    _write_graph(bundle_copy, model)
    with pytest.raises(BundleError, match=r"engine_q4\.onnx cannot be opened by onnxruntime"):
        refact_edge.load(bundle_copy, variant="int4", engine="onnxruntime")
