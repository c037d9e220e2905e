"""The fp32 graph is the model: against torch, against fp64 arithmetic, however it is fed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from linked import linked
from systems import needs_links

from refact_edge.export import refact_shapes
from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import fabricate_checkpoint
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.parity import compare, sample_ids
from refact_edge.export.progress import SILENT
from refact_edge.export.refact_shapes import of_shape
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, SessionOptions
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import verify
from refact_edge.runtime.errors import BundleError

TOLERANCE = 1e-3


def _reference(checkpoint: Path) -> tuple[torch.nn.Module, dict[str, np.ndarray]]:
    found = inspect_checkpoint(checkpoint, SILENT)
    weights = {name: found.checkpoint.read(name) for name in found.checkpoint.tensors}
    return found.architecture.reference(found.checkpoint), weights


def _session(bundle: Path, variant: str = "fp32") -> OnnxruntimeSession:
    return OnnxruntimeSession(verify(read_bundle(bundle), variant), SessionOptions())


@pytest.fixture(scope="module")
def ids() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 420, 512)


@pytest.fixture(scope="module")
def wanted(tiny_checkpoint: Path, ids: np.ndarray) -> np.ndarray:
    model, _ = _reference(tiny_checkpoint)
    with torch.inference_mode():
        logits: np.ndarray = model(torch.from_numpy(ids)[None])[0].numpy()
    return logits


def _numpy_forward(weights: dict[str, np.ndarray], heads: int, ids: np.ndarray) -> np.ndarray:
    """The forward pass once more, in fp64, from the published description alone."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    count = len(ids)

    def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        result: np.ndarray = centred / deviation * weight
        return result

    if heads == 6:  # not a power of two: four slopes of 4, then every other slope of 8
        slopes = [2 ** (-2 * (h + 1)) for h in range(4)] + [2**-1, 2**-3]
    else:
        slopes = [2 ** (-8 * (h + 1) / heads) for h in range(heads)]
    x = w["transformer.wte.weight"][ids]
    layers = sum(name.endswith("ln_1.weight") for name in w)
    for i in range(layers):
        layer = {n.removeprefix(f"transformer.h.{i}."): v for n, v in w.items()}
        normed = norm(x, layer["ln_1.weight"])
        size = x.shape[1] // heads
        key, value = np.split(normed @ layer["attn.kv.weight"].T, [size], axis=1)
        mixed = []
        for h in range(heads):
            q = (normed @ layer["attn.q.weight"].T)[:, h * size : (h + 1) * size]
            scores = q @ key.T / np.sqrt(size)
            scores = scores + slopes[h] * np.arange(1, count + 1)  # key positions, from 1
            scores[np.triu_indices(count, 1)] = -np.inf
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed.append(powers / powers.sum(axis=1, keepdims=True) @ value)
        x = x + np.concatenate(mixed, axis=1) @ layer["attn.c_proj.weight"].T
        gate_up = norm(x, layer["ln_2.weight"]) @ layer["mlp.gate_up_proj.weight"].T
        gate, up = np.split(gate_up, 2, axis=1)
        x = x + (gate / (1 + np.exp(-gate)) * up) @ layer["mlp.c_proj.weight"].T
    return norm(x, w["ln_f.weight"]) @ w["lm_head.weight"].T


@pytest.mark.parametrize("shape", [(2, 6, 96), (3, 4, 64), (1, 8, 128)])
def test_the_reference_agrees_with_independent_arithmetic(
    shape: tuple[int, int, int], tmp_path: Path
) -> None:
    layers, heads, width = shape
    size = of_shape(layers=layers, heads=heads, width=width, vocabulary=300, context=256)
    fabricate_checkpoint(tmp_path / "c", decoder=size, tokens=280, seed=9)
    model, weights = _reference(tmp_path / "c")
    ids = np.random.default_rng(0).integers(0, 280, 150)
    # Larger weights than at the start of training make attention and ALiBi matter.
    scaled = {n: (v * 8 if "attn" in n else v) for n, v in weights.items()}
    model.load_state_dict({n: torch.from_numpy(v) for n, v in scaled.items()})
    with torch.inference_mode():
        got = model(torch.from_numpy(ids)[None])[0].numpy()
        double = model.double()(torch.from_numpy(ids)[None])[0].numpy()
    want = _numpy_forward(scaled, heads, ids)
    assert np.abs(want).max() > 0.5
    np.testing.assert_allclose(got, want, atol=2e-4)
    np.testing.assert_allclose(double, want, atol=2e-5)


def assert_same(got: np.ndarray, want: np.ndarray) -> None:
    assert np.abs(got - want).max() <= TOLERANCE
    np.testing.assert_array_equal(got.argmax(axis=1), want.argmax(axis=1))


def test_prefill_of_every_length_agrees_at_every_position(
    tiny_bundle: Path, ids: np.ndarray, wanted: np.ndarray
) -> None:
    session = _session(tiny_bundle)
    cache = session.new_cache()
    for length in range(1, 513):
        cache.rewind(0)
        assert_same(session.step(ids[:length], cache, length), wanted[:length])


def test_one_token_at_a_time_agrees(tiny_bundle: Path, ids: np.ndarray, wanted: np.ndarray) -> None:
    session = _session(tiny_bundle)
    cache = session.new_cache()
    assert_same(np.concatenate([session.step(ids[i : i + 1], cache) for i in range(512)]), wanted)


@pytest.mark.parametrize("seed", range(4))
def test_chunks_with_a_past_agree(
    seed: int, tiny_bundle: Path, ids: np.ndarray, wanted: np.ndarray
) -> None:
    session, random = _session(tiny_bundle), np.random.default_rng(seed)
    cache = session.new_cache()
    while (at := len(cache.ids)) < 512:
        size = min(512 - at, int(random.integers(1, 130)))
        assert_same(session.step(ids[at : at + size], cache, size), wanted[at : at + size])


def test_fewer_logits_are_the_last_ones(
    tiny_bundle: Path, ids: np.ndarray, wanted: np.ndarray
) -> None:
    session = _session(tiny_bundle)
    got = session.step(ids[:100], session.new_cache(), 7)
    assert got.shape == (7, 448)
    assert_same(got, wanted[93:100])


def test_going_back_and_on_along_another_way_agrees(
    tiny_bundle: Path, tiny_checkpoint: Path, ids: np.ndarray
) -> None:
    session = _session(tiny_bundle)
    cache = session.new_cache()
    session.step(ids[:200], cache)
    cache.rewind(50)
    other = ids[::-1][:100].copy()
    got = session.step(other, cache, 100)
    model, _ = _reference(tiny_checkpoint)
    with torch.inference_mode():
        whole = torch.from_numpy(np.concatenate([ids[:50], other]))
        want = model(whole[None])[0, 50:].numpy()
    assert_same(got, want)


def test_compare_finds_every_path_of_fp32_exact_and_judges_no_other(
    tiny_bundle: Path, tiny_checkpoint: Path
) -> None:
    results = compare(tiny_checkpoint, tiny_bundle, prompt_tokens=300)
    fp32 = results["fp32"]
    assert fp32.exact
    assert fp32.top1_agreement == 1
    assert set(fp32.paths) == {"whole", "prefill", "chunks", "step", "lengths", "standard"}
    assert max(fp32.paths.values()) == fp32.max_abs_diff <= TOLERANCE
    assert (fp32.greedy_tokens, fp32.greedy_length) == (200, 200)
    assert fp32.lengths[-1] == 256
    order = [results[name].max_abs_diff for name in ("fp32", "fp16", "int8", "int4")]
    assert order == sorted(order)


@needs_links
def test_compare_opens_links(tiny_bundle: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    found = (linked(tiny_checkpoint, tmp_path / "checkpoint"), linked(tiny_bundle, tmp_path))
    result = compare(*found, variants=["fp32"], prompt_tokens=100, greedy_tokens=20)
    assert result["fp32"].exact


def test_compare_notices_a_wrong_graph(
    tiny_bundle: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slopes = refact_shapes.alibi_slopes
    monkeypatch.setattr(refact_shapes, "alibi_slopes", lambda heads: slopes(heads)[::-1])
    export_bundle(tiny_checkpoint, tmp_path / "wrong", ["fp32"])
    monkeypatch.undo()
    result = compare(tiny_checkpoint, tmp_path / "wrong", prompt_tokens=100, greedy_tokens=20)
    assert not result["fp32"].exact


def test_compare_refuses_a_bundle_of_another_checkpoint(
    tiny_bundle: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_checkpoint, tmp_path / "other"))
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    with pytest.raises(BundleError, match=r"made from other files .*config\.json"):
        compare(other, tiny_bundle)


def test_the_greedy_text_of_fp32_is_the_references_for_200_tokens(
    demo_bundle: Path, demo_checkpoint: Path
) -> None:
    results = compare(demo_checkpoint, demo_bundle, variants=["fp32"], prompt_tokens=256)
    assert results["fp32"].greedy_tokens == 200
    assert results["fp32"].exact


def test_sample_ids_are_as_many_as_asked_and_real_text(demo_bundle: Path) -> None:
    bundle = read_bundle(demo_bundle)
    ids = sample_ids(bundle, 512)
    assert len(ids) == 512
    assert len(set(ids.tolist())) > 100
