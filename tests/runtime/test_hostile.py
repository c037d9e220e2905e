"""Bundles that pass every hash, as whoever made them wrote the hashes too."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import refact_edge
from refact_edge import Sampling
from refact_edge.runtime.bundle import contract as layout
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.describe import describe
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import BundleError, OptionError
from refact_edge.runtime.files.sha256 import file_sha256
from refact_edge.runtime.store import hash_notes as checked

ENGINES = ("native", "onnxruntime")


def _accept(bundle: Path, name: str) -> None:
    """Make the manifest agree with a file that a test has changed."""
    file, manifest = bundle / name, json.loads((bundle / layout.MANIFEST).read_text())
    manifest["files"][name] = {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
    (bundle / layout.MANIFEST).write_text(json.dumps(manifest))


def _edit_tokenizer(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    file = bundle / layout.TOKENIZER
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    _accept(bundle, layout.TOKENIZER)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, seed=1)])
def test_weights_that_are_no_numbers_are_told(
    engine: str, sampling: Sampling, bundle_copy: Path
) -> None:
    name = layout.weights_file("int4")
    file = bundle_copy / name
    file.write_bytes(b"\x7e" * file.stat().st_size)  # in fp16, which scales are, no number
    _accept(bundle_copy, name)
    model = refact_edge.load(bundle_copy, variant="int4", engine=engine)
    with pytest.raises(BundleError, match="expected a finite number: its weights are damaged"):
        "".join(model.complete("def add", "\n", sampling=sampling))
    with pytest.raises(BundleError, match="expected a finite number"):
        list(model.generate("def", score_prompt=True, max_tokens=0))


def test_a_graph_that_fails_as_it_runs_is_told(bundle_copy: Path) -> None:
    name = layout.engine_graph("int4")
    model = onnx.load(bundle_copy / name, load_external_data=False)
    node = next(node for node in model.graph.node if node.op_type == "Reshape")
    for tensor in model.graph.initializer:
        if tensor.name == node.input[1]:
            tensor.CopyFrom(numpy_helper.from_array(np.array([9973, 97]), tensor.name))
    (bundle_copy / name).write_bytes(model.SerializeToString())
    _accept(bundle_copy, name)
    opened = refact_edge.load(bundle_copy, variant="int4", engine="onnxruntime")
    with pytest.raises(
        BundleError, match=r"engine_q4\.onnx cannot be run by onnxruntime .*Reshape"
    ):
        "".join(opened.complete("def add", "\n"))


PADDING = {
    "strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None,
    "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>",
}  # fmt: skip
TRUNCATION = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 9}
CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
TOKENIZERS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "padding": (lambda t: t.update(padding=PADDING), "padding is .*expected none"),
    "truncation": (lambda t: t.update(truncation=TRUNCATION), "truncation is .*expected none"),
    "charsmap": (lambda t: t.update(normalizer=CHARSMAP), "is not a readable tokenizer"),
    "normalizer": (lambda t: t.update(normalizer={"type": "NFC"}), "normalizer is .*expected none"),
    "prefix": (
        lambda t: t["model"].update(continuing_subword_prefix="é#"),
        "is not a readable tokenizer|continuing_subword_prefix is",
    ),
    "long": (
        lambda t: t["added_tokens"][-1].update(content="x" * 30_000),
        r"a text of 30\d\d\d bytes, expected 2048 at most",
    ),
    "escapes": (
        lambda t: t["added_tokens"][-1].update(content='"' * 30_000),
        r"a text of 60\d\d\d bytes, expected 2048 at most",
    ),
    "dropout": (lambda t: t["model"].update(dropout=0.5), "dropout is 0.5, expected None"),
    "cut": (
        lambda t: t.update(pre_tokenizer={"type": "Whitespace"}),
        "pre_tokenizer is .*expected Digits",
    ),
    "model": (
        lambda t: t.update(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}),
        "the model is WordLevel, expected BPE",
    ),
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_a_tokenizer_of_another_pipeline_is_refused(case: str, bundle_copy: Path) -> None:
    edit, complaint = TOKENIZERS[case]
    _edit_tokenizer(bundle_copy, edit)
    with pytest.raises(BundleError, match=complaint):
        refact_edge.load(bundle_copy, variant="int4")


@pytest.fixture
def oddly_named(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a bundle in a folder whose name is no UTF-8."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        return shutil.copytree(tiny_bundle, folder)
    except OSError:
        pytest.skip("this file system takes no names but those of UTF-8")


def test_a_folder_whose_name_is_no_utf_8_is_opened_or_told(oddly_named: Path) -> None:
    bundle = read_bundle(oddly_named)
    assert not checked.is_noted(bundle, "int4")
    checked.note(bundle, "int4")
    assert checked.is_noted(bundle, "int4")
    assert refact_edge.load(oddly_named, variant="int4", engine="native").variant == "int4"
    with pytest.raises(BundleError, match="opens no path that is not UTF-8; rename its folders"):
        refact_edge.load(oddly_named, variant="int8", engine="onnxruntime")


@pytest.mark.parametrize("figures", [5, {"variants": []}, {"variants": {"int4": {"mean_kl": {}}}}])
def test_figures_that_are_none_are_shown_as_unknown(figures: Any, bundle_copy: Path) -> None:
    file = bundle_copy / layout.MANIFEST
    manifest = json.loads(file.read_text())
    manifest["quality"] = figures if isinstance(figures, dict) else {"variants": figures}
    manifest["variants"]["int4"]["report"] = {"bits_per_weight": [4]}
    file.write_text(json.dumps(manifest))
    line = next(line for line in describe(read_bundle(bundle_copy)) if line.startswith("int4"))
    assert line.split()[2:4] == ["?", "?"]


def test_a_model_says_that_it_cannot_be_copied(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle, variant="int4")
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(OptionError, match="load the bundle again where it is needed"):
            attempt(model)


def test_more_threads_than_any_machine_has_are_refused(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match="threads 1000000; expected 1 to 1024"):
        refact_edge.load(tiny_bundle, threads=10**6)
