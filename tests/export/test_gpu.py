"""Graphs for GPUs compute on a CPU what the engine's graphs do, and ask for no shape that moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from decoders import DECODERS, TOKENS, make_checkpoint
from more_decoders import MORE

from refact_edge.export.convert import export_bundle
from refact_edge.runtime.backends.gpu import GpuSession
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, SessionOptions
from refact_edge.runtime.bundle.contract import Bundle, gpu_graph, read_bundle
from refact_edge.runtime.bundle.gpu import VARIANTS, forms_of
from refact_edge.runtime.bundle.onnxfile import read_graph
from refact_edge.runtime.bundle.verified import verify, verify_gpu
from refact_edge.runtime.engine.session import Session

Logits = npt.NDArray[np.float32]
IDS = np.random.default_rng(7).integers(0, TOKENS, 90)
CUTS = ([90], [1, 40, 3, 17, 29])
# Halves of random weights multiply fast; int4 is beside products of bytes, which a GPU has not.
LEAST_COSINE = {"fp16": 0.9999, "int4": 0.998}
WINDOW = "windowed"


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    folder = tmp_path_factory.mktemp("gpu")

    def of(name: str) -> Bundle:
        if not (folder / name).exists():
            checkpoint = make_checkpoint(
                name.replace(WINDOW, "llama"), folder / name / "checkpoint"
            )
            if name == WINDOW:
                config = json.loads((checkpoint / "config.json").read_text())
                config |= {"model_type": "mistral", "sliding_window": 16}
                (checkpoint / "config.json").write_text(json.dumps(config))
            export_bundle(checkpoint, folder / name / "bundle", ["fp32", *VARIANTS])
        return read_bundle(folder / name / "bundle")

    return of


def _logits(session: Session, ids: npt.NDArray[np.int64], cuts: Sequence[int]) -> Logits:
    cache, parts = session.new_cache(), np.split(ids, np.cumsum(cuts)[:-1])
    return np.concatenate([session.step(part, cache, len(part)) for part in parts])


def _cosines(some: Logits, others: Logits) -> Logits:
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    cosines: Logits = (some * others).sum(axis=1) / lengths
    return cosines


def _expected(bundle: Bundle, variant: str, ids: npt.NDArray[np.int64]) -> Logits:
    """Return the logits of the engine's graph; fp16's are those of the weights it was made of."""
    name = {"fp16": "fp32"}.get(variant, variant)
    return _logits(OnnxruntimeSession(verify(bundle, name), SessionOptions()), ids, [len(ids)])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", [*DECODERS, *MORE, WINDOW])
def test_whatever_its_blocks_a_decoders_graph_gives_the_engines_logits(
    bundle_of: Callable[[str], Bundle], name: str, variant: str
) -> None:
    bundle = bundle_of(name)
    expected = _expected(bundle, variant, IDS)
    for cuts in CUTS:
        session = GpuSession(verify_gpu(bundle, variant), SessionOptions())
        assert _cosines(_logits(session, IDS, cuts), expected).min() >= LEAST_COSINE[variant]


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_alibi_is_exact_folded_into_heads_and_as_a_bias(
    demo_halves: Bundle, demo_ids: npt.NDArray[np.int64], variant: str, folded: bool
) -> None:
    session = GpuSession(verify_gpu(demo_halves, variant, folded=folded), SessionOptions())
    expected = _expected(demo_halves, variant, demo_ids)
    got = _logits(session, demo_ids, [128, 128, 400, *[1] * 16, len(demo_ids) - 672])
    assert _cosines(got, expected).min() >= LEAST_COSINE[variant]


def test_200_greedy_tokens_of_halves_are_those_of_full_precision(
    demo_halves: Bundle, demo_ids: npt.NDArray[np.int64]
) -> None:
    ours = GpuSession(verify_gpu(demo_halves, "fp16"), SessionOptions())
    exact = OnnxruntimeSession(verify(demo_halves, "fp32"), SessionOptions())
    texts = []
    for session in (ours, exact):
        cache = session.new_cache()
        logits, text = session.step(demo_ids, cache), []
        for _ in range(200):
            text.append(int(logits[-1].argmax()))
            logits = session.step(np.array(text[-1:]), cache)
        texts.append(text)
    assert texts[0] == texts[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_operator_asks_for_a_shape_or_makes_a_range(demo_halves: Bundle, variant: str) -> None:
    for folded in forms_of(demo_halves.decoder):
        graph = read_graph(demo_halves.path / gpu_graph(variant, folded=folded))
        operators = [node.operator for node in graph.nodes]
        assert not {"Shape", "Range", "ConstantOfShape", "Softmax"} & set(operators)
        assert operators.count("GroupQueryAttention") == demo_halves.sizes.layers
        assert operators.count("SkipLayerNormalization") == 2 * demo_halves.sizes.layers


@pytest.fixture(scope="session")
def demo_halves(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("demo") / "bundle"
    export_bundle(demo_checkpoint, folder, ["fp32", *VARIANTS])
    return read_bundle(folder)


@pytest.fixture(scope="session")
def demo_ids(demo_halves: Bundle, root: Path) -> npt.NDArray[np.int64]:
    from tokenizers import Tokenizer

    text = (root / "runtime/engine/generation.py").read_text(encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(demo_halves.path / "tokenizer.json"))
    return np.array(tokenizer.encode(text).ids[:800])
