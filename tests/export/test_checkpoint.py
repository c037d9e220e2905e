"""Opening checkpoints: their layouts, and files that are missing, damaged or links."""

import builtins
import json
import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from linked import Place, as_blobs, in_a_store, linked, relink
from safetensors.numpy import load_file, save_file
from systems import needs_links
from tiny import TINY, TINY_TOKENS, Change

from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import fabricate_checkpoint
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.runtime.bundle.contract import MANIFEST
from refact_edge.runtime.bundle.decoder import weight_shapes
from refact_edge.runtime.errors import CheckpointError, MissingExtraError


def _weights(folder: Path) -> dict[str, np.ndarray]:
    checked = inspect_checkpoint(folder, SILENT)
    return {name: checked.weight(name) for name in weight_shapes(checked.decoder)}


def _same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[n], right[n]) for n in left)


def _unfuse(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {}
    for name, value in weights.items():
        half = len(value) // 2
        if name.endswith("attn.kv.weight"):
            out[name.replace("attn.kv", "attn.k")] = value[:half].copy()
            out[name.replace("attn.kv", "attn.v")] = value[half:].copy()
        elif name.endswith("gate_up_proj.weight"):
            out[name.replace("gate_up_proj", "linear_1")] = value[:half].copy()
            out[name.replace("gate_up_proj", "linear_3")] = value[half:].copy()
        else:
            out[name] = value
    return out


def test_both_published_layouts_give_the_same_weights(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "unfused"))
    fused = load_file(folder / "model.safetensors")
    save_file(_unfuse(fused), folder / "model.safetensors")
    assert len(fused) == 3 + 7 * TINY.layers
    assert _same(_weights(folder), _weights(tiny_checkpoint))


@pytest.mark.parametrize("fused", [True, False])
def test_shards_with_an_index_open_like_one_file(fused: bool, tmp_path: Path) -> None:
    for shards in (1, 3):
        fabricate_checkpoint(
            tmp_path / str(shards), decoder=TINY, tokens=TINY_TOKENS, fused=fused, shards=shards
        )
    assert len(list((tmp_path / "3").glob("*.safetensors"))) == 3
    assert _same(_weights(tmp_path / "1"), _weights(tmp_path / "3"))


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_fp32_and_fp16_files_are_read(kind: str, changed_checkpoint: Change) -> None:
    folder = changed_checkpoint()
    weights = load_file(folder / "model.safetensors")
    save_file({n: v.astype(kind) for n, v in weights.items()}, folder / "model.safetensors")
    expected = weights["lm_head.weight"].astype(kind).astype(np.float32)
    np.testing.assert_array_equal(_weights(folder)["head"], expected)


def _as_bin(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    tensors = {n: torch.from_numpy(v.astype(np.float32)).bfloat16() for n, v in weights.items()}
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_a_bin_file_is_read_through_torch(
    changed_checkpoint: Change, tiny_checkpoint: Path
) -> None:
    folder = changed_checkpoint()
    _as_bin(folder)
    assert _same(_weights(folder), _weights(tiny_checkpoint))


@pytest.mark.parametrize(
    "content",
    [
        {0: torch.zeros(2)},
        [torch.zeros(2)],
        {"a": 5},
        7,
        {"a": torch.zeros(1).expand(2**40)},
        {"a": torch.zeros(2).to_sparse()},
        {"a": torch.zeros(2, device="meta")},
    ],
)
def test_a_bin_file_of_other_things_is_told(content: object, changed_checkpoint: Change) -> None:
    folder = changed_checkpoint()
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"pytorch_model\.bin cannot be read as plain weights"
    ):
        inspect_checkpoint(folder, SILENT)


def test_a_bin_file_without_torch_names_the_extra(
    changed_checkpoint: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = changed_checkpoint()
    _as_bin(folder)
    real = builtins.__import__

    def without_torch(name: str, *rest: Any, **named: Any) -> object:
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(MissingExtraError, match=r"torch.*refact-edge\[verify\]"):
        inspect_checkpoint(folder, SILENT)


TOUCHED = Path(tempfile.gettempdir()) / f"refact-edge-was-here-{os.getpid()}"


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (TOUCHED,)


def test_a_bin_file_with_code_in_it_runs_nothing(
    changed_checkpoint: Change, tmp_path: Path
) -> None:
    folder = changed_checkpoint()
    (folder / "model.safetensors").unlink()
    torch.save({"x": _Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        inspect_checkpoint(folder, SILENT)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        inspect_checkpoint(folder, SILENT)
    assert not TOUCHED.exists()


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a folder; expected a checkpoint folder"):
        inspect_checkpoint(tmp_path / "nowhere", SILENT)
    with pytest.raises(CheckpointError, match=r"has no config\.json, so it is not a checkpoint"):
        inspect_checkpoint(tmp_path, SILENT)
    (tmp_path / "config.json").write_text('{"model_type": "gpt_refact"}')
    with pytest.raises(CheckpointError, match=r"has no weights; expected model\.safetensors"):
        inspect_checkpoint(tmp_path, SILENT)


def test_half_a_download_is_told_from_a_whole_one(changed_checkpoint: Change) -> None:
    folder = changed_checkpoint()
    file = folder / "model.safetensors"
    data = file.read_bytes()
    for size in (len(data) // 2, 20, 4, 0):
        file.write_bytes(data[:size])
        with pytest.raises(CheckpointError, match=rf"has {size} bytes and is cut short"):
            inspect_checkpoint(folder, SILENT)
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        inspect_checkpoint(folder, SILENT)


def test_missing_shards_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    fabricate_checkpoint(folder, decoder=TINY, tokens=TINY_TOKENS, shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks 1 of 3 weight files: model-00002.*finish"):
        inspect_checkpoint(folder, SILENT)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    fabricate_checkpoint(folder, decoder=TINY, tokens=TINY_TOKENS, shards=2)
    first, second = sorted(folder.glob("*.safetensors"))
    save_file(load_file(first) | load_file(second), second)
    with pytest.raises(CheckpointError, match=r"holds \d+ tensors that .*00001.* holds too"):
        inspect_checkpoint(folder, SILENT)


def test_an_index_cannot_name_files_outside(tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    fabricate_checkpoint(folder, decoder=TINY, tokens=TINY_TOKENS, shards=2)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["lm_head.weight"] = "../../secret.safetensors"
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="names files outside its folder"):
        inspect_checkpoint(folder, SILENT)


def test_broken_json_is_named(changed_checkpoint: Change) -> None:
    folder = changed_checkpoint()
    (folder / "config.json").write_text('{"model_type": ')
    with pytest.raises(CheckpointError, match=r"config\.json is not valid JSON"):
        inspect_checkpoint(folder, SILENT)


def test_an_untrained_bias_of_the_last_norm_is_accepted(
    changed_checkpoint: Change, tiny_checkpoint: Path
) -> None:
    folder = changed_checkpoint(tensors=lambda t: t.update({"ln_f.bias": np.zeros(96, np.float32)}))
    assert _same(_weights(folder), _weights(tiny_checkpoint))


@needs_links
@pytest.mark.parametrize("place", [as_blobs, in_a_store])
def test_a_checkpoint_of_links_is_exported_as_one_of_files(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path, place: Place
) -> None:
    links = linked(tiny_checkpoint, tmp_path, place)
    export_bundle(links, tmp_path / "bundle", ["int8"])
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    expected = json.loads((tiny_bundle / MANIFEST).read_text())
    for name in ("onnx/model_int8.onnx_data", "onnx/engine_int8.onnx", "tokenizer.json"):
        assert manifest["files"][name] == expected["files"][name]
    assert manifest["provenance"]["source"] == expected["provenance"]["source"]


@needs_links
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize(
    ("leads_to", "said"),
    [
        ("nowhere", "is a link to nowhere, where nothing is; fetch that"),
        (".", "is a link to a folder; expected a file"),
        ("itself", "is a link that leads back to itself"),
    ],
)
def test_a_checkpoints_link_to_no_file_is_told_in_one_line(
    tiny_checkpoint: Path, tmp_path: Path, name: str, leads_to: str, said: str
) -> None:
    links = linked(tiny_checkpoint, tmp_path)
    relink(links / name, name if leads_to == "itself" else leads_to)
    with pytest.raises(CheckpointError, match=f"{name} {said}") as error:
        inspect_checkpoint(links, SILENT)
    assert "\n" not in str(error.value)
