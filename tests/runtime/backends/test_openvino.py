"""OpenVINO prefilling for another engine: the same model, no network, no file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import refact_edge
from refact_edge import Model, Sampling
from refact_edge.runtime.backends.hybrid import PREFILL_TOKENS
from refact_edge.runtime.backends.onnxruntime import import_onnxruntime
from refact_edge.runtime.backends.openvino import OpenVinoSession, import_openvino, new_core
from refact_edge.runtime.bundle.contract import engine_graph, read_bundle
from refact_edge.runtime.bundle.verified import VerifiedGraph, verify
from refact_edge.runtime.errors import BundleError, DeviceError, MissingExtraError, OptionError

GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="module")
def model(demo_bundle: Path) -> Model:
    return refact_edge.load(demo_bundle, variant="int4", prefill="openvino")


@pytest.fixture(scope="module")
def alone(demo_bundle: Path) -> Model:
    return refact_edge.load(demo_bundle, variant="int4")


@pytest.fixture(scope="module")
def ids(alone: Model, root: Path) -> np.ndarray:
    return np.array(alone.tokens.encode((root / "runtime" / "model.py").read_text())[:400])


def _probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return shares


def test_a_version_with_wrong_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = import_openvino()
    monkeypatch.setattr(openvino, "__version__", "2026.1.0-21367-abc")
    with pytest.raises(DeviceError, match=r"^openvino 2026\.1\.0 is .* expected 2026\.2"):
        import_openvino()


def test_its_probabilities_are_those_of_onnxruntime_up_to_rounding(
    demo_bundle: Path, alone: Model, ids: np.ndarray
) -> None:
    session = OpenVinoSession(verify(read_bundle(demo_bundle), "int4"), 1)
    mine, theirs = alone.session.new_cache(), session.new_cache()
    read: list[np.ndarray] = []
    for start in range(0, 400, 100):
        chunk = ids[start : start + 100]
        read.append(_probabilities(alone.session.step(chunk, mine, 100)))
        read.append(_probabilities(session.step(chunk, theirs, 100)))
    assert mine.ids == theirs.ids == ids.tolist()
    ours, other = np.concatenate(read[::2]), np.concatenate(read[1::2])
    # Both round activations to bytes; int4 as such is 0.008 away from full precision.
    assert (ours * np.log(ours / other)).sum(1).mean() < 1e-3


def test_another_engine_decodes_behind_the_rows_that_it_prefilled(
    model: Model, ids: np.ndarray
) -> None:
    assert len(ids) > PREFILL_TOKENS
    cache = model.session.new_cache()
    model.session.step(ids, cache)
    after = model.session.step(ids[:3], cache, 3)
    again = model.session.new_cache()
    for token in (*ids, *ids[:3]):  # one by one: onnxruntime alone
        row = model.session.step(np.array([token]), again)[0]
    assert again.ids == cache.ids
    assert np.abs(_probabilities(after[-1]) - _probabilities(row)).max() < 0.05


def test_completions_of_both_are_mostly_the_same_and_reuse_what_was_read(
    model: Model, alone: Model, root: Path
) -> None:
    text = (root / "quant" / "texts" / "report-set" / "loaders.py.txt").read_text()
    same = 0
    for at in range(400, 3400, 300):
        found = []
        for one in (model, alone):
            stream = one.complete(text[:at], text[at + 60 :], max_tokens=12, sampling=GREEDY)
            found.append("".join(stream))
        same += found[0] == found[1]
        assert stream.usage.prompt > PREFILL_TOKENS
    assert same >= 8
    again = model.complete(text[:at], text[at + 60 :], max_tokens=12, sampling=GREEDY)
    list(again)
    assert again.usage.cached == again.usage.prompt - 1


@pytest.mark.parametrize("bits", [4, 8])
def test_a_lookup_in_a_table_of_blocks_is_the_same_exactly(bits: int, tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    codes = numbers.integers(0, 256, (50, 64 * bits // 8), np.uint8)
    scales = numbers.normal(size=(50, 2)).astype(np.float16)
    found = helper.make_node(
        "GatherBlockQuantized", ["codes", "ids", "steps"], ["found"], domain="com.microsoft",
        bits=bits, block_size=32, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Cast", ["scales"], ["steps"], to=TensorProto.FLOAT), found],
        "lookup",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["T"])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["T", 64])],
        [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scales, "scales")],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    file = tmp_path / "lookup.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(file))
    ids = np.array([0, 49, 7, 7], np.int64)
    (theirs,) = import_onnxruntime().InferenceSession(str(file)).run(None, {"ids": ids})
    compiled = new_core(import_openvino()).compile_model(str(file), "CPU")
    assert np.array_equal(compiled([ids])[0], theirs)


def test_what_does_not_go_together_is_refused(
    demo_bundle: Path,
) -> None:
    for variant in ("int8", "hybrid"):
        with pytest.raises(OptionError, match=f"openvino prefills int4, not {variant}"):
            refact_edge.load(demo_bundle, variant=variant, prefill="openvino")
    with pytest.raises(OptionError, match="prefill 'tpu'; expected one of same, openvino"):
        refact_edge.load(demo_bundle, prefill="tpu")
    with pytest.raises(DeviceError, match="openvino prefills on CPUs only"):
        refact_edge.load(demo_bundle, variant="int4", prefill="openvino", device="cuda")


def test_a_damaged_graph_is_refused_also_where_there_is_a_copy(
    demo_bundle: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(demo_bundle, tmp_path / "bundle")
    graph = bundle / engine_graph("int4")
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="was altered"):
        refact_edge.load(bundle, prefill="openvino")


def test_a_graph_that_it_cannot_open_is_named(alone: Model, tmp_path: Path) -> None:
    file = tmp_path / "engine.onnx"
    file.write_bytes(b"no graph")
    graph = VerifiedGraph(alone.bundle.sizes, "float32", file, tmp_path / "weights")
    with pytest.raises(BundleError, match=r"engine.onnx cannot be opened by openvino 20"):
        OpenVinoSession(graph)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'refact-edge\[openvino\]'"):
        import_openvino()


def test_it_sends_nothing_and_writes_nothing(demo_bundle: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, and Python alone sees only its own sockets")
    log, home = tmp_path / "calls", tmp_path / "home"
    home.mkdir()
    trace = [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log)]
    probe = subprocess.run([*trace, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace may not trace here: {probe.stderr.strip()}")
    script = """
import sys
sys.argv = ["refact-edge", *sys.argv[1:]]
from refact_edge.runtime.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert sys.modules["openvino"] and sys.modules["openvino_telemetry"] is None
"""
    arguments = [
        "complete",
        "--bundle",
        demo_bundle,
        "--prefix",
        "x = 1\n" * 40,
        "--max-tokens",
        "3",
    ]
    done = subprocess.run(
        [*trace, sys.executable, "-c", script, *map(str, arguments), "--prefill", "openvino"],
        env={**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert log.read_text() == ""
    assert list(home.rglob("*")) == []
