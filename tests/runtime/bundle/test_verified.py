"""The gate: what is opened was checked, and nothing else can make such a value."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from refact_edge.runtime.bundle.contract import TOKENIZER, read_bundle
from refact_edge.runtime.bundle.verified import verify, verify_copy, verify_draft
from refact_edge.runtime.errors import BundleError, OptionError


def test_nobody_else_makes_what_was_verified(root: Path) -> None:
    """Tests aside, which open files that no bundle has."""
    names, gate = ("Verified", "VerifiedGraph"), root / "runtime" / "bundle" / "verified.py"
    parts = ("export", "quant", "runtime", "bench", "demo")
    makers = {
        file
        for part in parts
        for file in (root / part).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    }
    assert makers == {gate}


def test_it_names_the_files_that_were_checked(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    verified = verify(bundle, "int4")
    assert verified.sizes == bundle.sizes
    assert verified.kv_type == verified.variant.kv_type == "float32"
    assert verified.graph_file == tiny_bundle / "onnx" / "engine_q4.onnx"
    assert verified.weights_file == tiny_bundle / "onnx" / "model_q4.onnx_data"
    assert verified.graph.nodes
    with pytest.raises(OptionError, match="no variant 'int3'"):
        verify(bundle, "int3")


def test_whether_weights_were_hashed_before_is_asked_when_all_else_is_right(
    bundle_copy: Path, hashed: list[str]
) -> None:
    bundle = read_bundle(bundle_copy)
    verify(bundle, "int4", hashed_before=lambda: True)
    assert sorted(hashed) == ["engine_q4.onnx", "tokenizer.json"]
    verify(bundle, "int4", hashed_before=lambda: False)
    assert hashed.count("model_q4.onnx_data") == 1
    weights = bundle_copy / "onnx" / "model_q4.onnx_data"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(BundleError, match="bytes, the manifest says"):
        verify(bundle, "int4", hashed_before=lambda: pytest.fail("asked too early"))


def test_a_draft_without_a_manifest_has_the_sizes_that_it_says(tiny_bundle: Path) -> None:
    sizes = read_bundle(tiny_bundle).sizes
    assert verify_draft(tiny_bundle, "int4", sizes, "float32").sizes == sizes
    with pytest.raises(BundleError, match="the graph and the manifest differ in logits"):
        verify_draft(tiny_bundle, "int4", replace(sizes, vocabulary=9), "float32")


def test_beside_a_copy_the_tokenizer_is_checked(bundle_copy: Path) -> None:
    bundle, graph, weights = read_bundle(bundle_copy), Path("graph"), Path("weights")
    copy = verify_copy(bundle, "fp16", graph, weights)
    assert (copy.graph_file, copy.weights_file, copy.kv_type) == (graph, weights, "float16")
    tokenizer = bundle_copy / TOKENIZER
    tokenizer.write_bytes(tokenizer.read_bytes()[:-1] + b" ")
    with pytest.raises(BundleError, match=r"tokenizer\.json was altered"):
        verify_copy(bundle, "fp16", graph, weights)
