"""GGUF files of llama.cpp as checkpoints: the same model as the folder that they were made of."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from architectures import ROWS, make_checkpoint
from gguf_made import F16, Q4_0, Q8_0, write_gguf

from refact_edge.export.convert import export_bundle
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.parity import compare
from refact_edge.export.progress import SILENT
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.decoder import Rotary
from refact_edge.runtime.errors import CheckpointError

PRE = {
    "smollm2": "smollm",
    "qwen2.5-coder": "qwen2",
    "deepseek-coder": "deepseek-coder",
    "mellum": "mellum",
    "granite-code": "starcoder",
    "seed-coder": "seed-coder",
    "codellama": None,
}
TEXT = "def add(a, b):\n    if  a:\n\treturn a + 12345 # é 漢\n\n"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("checkpoints")

    def of(name: str) -> Path:
        path = folder / name
        return path if path.exists() else make_checkpoint(ROWS[name], path)

    return of


@pytest.mark.parametrize("name", PRE)
def test_a_file_is_the_checkpoint_that_it_was_made_of(
    name: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = checkpoints(name)
    file = write_gguf(folder, tmp_path / "sha256-0123", pre=PRE[name])
    mine, theirs = inspect_checkpoint(file, SILENT), inspect_checkpoint(folder, SILENT)
    assert mine.decoder == theirs.decoder
    assert mine.prompts == theirs.prompts
    assert mine.tokens().encode(TEXT) == theirs.tokens().encode(TEXT)
    assert mine.tokens().size == theirs.tokens().size
    for role in ("embedding", "layers.1.attention.q", "layers.0.attention.kv", "norm.weight",
                 "layers.1.mlp.gate_up", "head"):  # fmt: skip
        np.testing.assert_array_equal(mine.weight(role), theirs.weight(role))


def test_what_is_exported_of_a_file_is_its_model(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    file = write_gguf(checkpoints("smollm2"), tmp_path / "tiny.gguf", pre="smollm")
    done = export_bundle(file, tmp_path / "bundle", ["fp32"])
    assert compare(file, tmp_path / "bundle", prompt_tokens=70, greedy_tokens=20)["fp32"].exact
    manifest = read_bundle(tmp_path / "bundle")
    assert manifest.name == "Tiny"
    assert not [note for note in done.notes if "second time" in note]


@pytest.mark.parametrize(("form", "warns"), [(F16, False), (Q8_0, False), (Q4_0, True)])
def test_weights_that_were_rounded_before_are_told(
    form: Any, warns: bool, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    file = write_gguf(checkpoints("qwen2.5-coder"), tmp_path / "a.gguf", pre="qwen2", form=form)
    checked = inspect_checkpoint(file, SILENT)
    told = [note for note in checked.notes if "rounded a second time" in note]
    assert bool(told) == warns
    original = inspect_checkpoint(checkpoints("qwen2.5-coder"), SILENT).weight("layers.0.mlp.down")
    difference = np.abs(checked.weight("layers.0.mlp.down") - original).max()
    assert difference < (0.2 if warns else 0.01) * np.abs(original).max()


def test_a_head_stored_better_than_the_embedding_is_taken_for_both(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    source = inspect_checkpoint(checkpoints("qwen2.5-coder"), SILENT)
    head = {"output.weight": source.weight("embedding")}
    file = write_gguf(
        checkpoints("qwen2.5-coder"), tmp_path / "a", pre="qwen2", form=Q4_0, also=head
    )
    checked = inspect_checkpoint(file, SILENT)
    assert checked.decoder.tied
    np.testing.assert_array_equal(checked.weight("embedding"), source.weight("embedding"))


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"tokenizer.ggml.pre": "gpt-4o"}, "tokenizer.ggml.pre is 'gpt-4o', expected one of"),
        ({"tokenizer.ggml.model": "bert"}, "tokenizer.ggml.model is 'bert', expected 'gpt2'"),
        ({"llama.rope.scaling.type": "yarn"}, "positions are scaled by 'yarn' with factor None"),
        ({"llama.rope.scaling.type": "linear"}, "by 'linear' with factor None, expected linear"),
        ({"llama.attention.head_count": 0}, "llama.attention.head_count is 0"),
        ({"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.token_type": [5]}, "has no tokens"),
        ({"llama.expert_count": 8}, "llama.expert_count is 8, which is not read"),
        ({"llama.rope.dimension_count": 4}, "rope.dimension_count is not a whole head"),
        ({"split.count": 3}, "is one of 3 parts; join them with llama-gguf-split --merge"),
        ({"llama.context_length": None}, "max_position_embeddings is None"),
        ({"llama.attention.head_count": None}, "llama.attention.head_count is None"),
    ],
)
def test_what_is_not_read_is_refused_by_its_name(
    more: dict[str, Any], complaint: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    file = write_gguf(checkpoints("smollm2"), tmp_path / "a", pre="smollm", more=more)
    with pytest.raises(CheckpointError, match=complaint):
        inspect_checkpoint(file, SILENT)


@pytest.mark.parametrize(
    "more",
    [
        {"llama.rope.scaling.factor": 4.0},
        {"llama.rope.scale_linear": 4.0},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
    ],
)
def test_linear_scaling_is_read_in_every_way_that_files_say_it(
    more: dict[str, Any], checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    file = write_gguf(checkpoints("smollm2"), tmp_path / "a", pre="smollm", more=more)
    positions = inspect_checkpoint(file, SILENT).decoder.positions
    assert isinstance(positions, Rotary)
    assert positions.factor == 4


def _header(keys: int, *entries: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, keys) + b"".join(entries)


def _entry(kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", 1) + b"a" + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (_header(1, _entry(9, struct.pack("<IQ", 0, 2**62))), "of the 0 that are left"),
        (_header(1, _entry(9, struct.pack("<IQ", 8, 2**62))), "texts in 0 bytes"),
        (_header(1, _entry(9, struct.pack("<IQIQ", 9, 1, 0, 0))), "an array of arrays"),
        (_header(1, _entry(8, struct.pack("<Q", 2**63))), "of the 0 that are left"),
        (_header(1, _entry(77, b"")), "a value of type 77"),
        (_header(2**40), "keys"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1, expected one of"),
        (b"GGUF", "damaged GGUF file"),
    ],
)
def test_a_header_that_says_more_than_there_is_is_refused_at_once(
    header: bytes, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(header)
    with pytest.raises(CheckpointError, match=complaint):
        inspect_checkpoint(file, SILENT)


def test_tokens_for_holes_that_a_file_calls_words_are_special_all_the_same(
    checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = checkpoints("codellama")
    types = [3 if name in ("<s>", "</s>") else 2 if name == "<unk>" else 6 if name[:3] == "<0x"
             else 1 for name in _names(folder)]  # fmt: skip
    more = {"tokenizer.ggml.token_type": [*types, 5, 5, 5]}
    checked = inspect_checkpoint(write_gguf(folder, tmp_path / "a", pre=None, more=more), SILENT)
    assert checked.family.name == "codellama"
    assert any("▁<PRE>" in note and "taken for special" in note for note in checked.notes)
    tokens = checked.tokens()
    tokens.check_specials(checked.prompts["special_ids"])


def _names(folder: Path) -> list[str]:
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = content["model"]["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


def test_another_tensor_is_refused(checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    also = {"rope_freqs.weight": np.ones((1, 32), np.float32)}
    file = write_gguf(checkpoints("smollm2"), tmp_path / "a", pre="smollm", also=also)
    with pytest.raises(CheckpointError, match=r"holds rope_freqs.weight, which no model has"):
        inspect_checkpoint(file, SILENT)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused_with_one_line(
    share: float, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = write_gguf(checkpoints("smollm2"), tmp_path / "whole", pre="smollm").read_bytes()
    file = tmp_path / "cut"
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="is a damaged GGUF file") as refusal:
        inspect_checkpoint(file, SILENT)
    assert "\n" not in str(refusal.value)


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"{}  {}")
    with pytest.raises(CheckpointError, match=r"begins with b'\{\}  ', expected b'GGUF'"):
        inspect_checkpoint(file, SILENT)
