"""Opening checkpoints: layouts, files, and what is wrong with them."""

import builtins
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from linked import Place, as_blobs, in_a_store, linked, relink
from safetensors.numpy import load_file, save_file
from systems import needs_links
from tiny import TINY, TINY_TOKENS, Change

import refact_edge
from refact_edge.export.architectures import gpt_refact
from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import config_json, fabricate_checkpoint
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


Edit = Callable[[dict[str, Any]], object]  # of tensors, or of a tokenizer


def _drop(name: str) -> Edit:
    return lambda tensors: tensors.pop(name)


def _set(name: str, index: object, value: float) -> Edit:
    def edit(tensors: dict[str, Any]) -> None:
        tensors[name][index] = value

    return edit


LN = "transformer.h.0.ln_1.weight"
TENSOR_FAULTS: list[tuple[Edit, str]] = [
    (_drop("lm_head.weight"), r"lm_head\.weight is missing; it is never assumed to be tied"),
    (_drop(LN), r"lacks 1 tensors beside 17 expected ones: transformer\.h\.0\.ln_1\.weight"),
    (
        lambda t: t.update({"transformer.h.0.attn.q.bias": np.zeros(96, np.float32)}),
        r"holds unexpected 1 tensors.*attn\.q\.bias",
    ),
    (
        lambda t: t.update({LN: np.zeros(5, ml_dtypes.bfloat16)}),
        r"ln_1\.weight has shape \[5\], expected \[96\]",
    ),
    (
        lambda t: t.update({LN: np.zeros(96, np.int64)}),
        r"ln_1\.weight has type I64, expected one of BF16, F16, F32",
    ),
    (_set("lm_head.weight", (3, 4), np.nan), r"lm_head\.weight holds 1 values that are not finite"),
    (
        lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"].copy()}),
        "are equal: tied weights, which this model has not",
    ),
    (_set("lm_head.weight", (3, 4), np.inf), r"lm_head\.weight holds 1 values that are not finite"),
    (
        lambda t: t.update({"ln_f.bias": np.ones(96, np.float32)}),
        r"ln_f\.bias is not zero; this architecture has no bias",
    ),
]


@pytest.mark.parametrize(("edit", "complaint"), TENSOR_FAULTS)
def test_faulty_tensors_are_named(edit: Edit, complaint: str, changed_checkpoint: Change) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        inspect_checkpoint(changed_checkpoint(tensors=edit), SILENT)


def test_an_untrained_bias_of_the_last_norm_is_accepted(
    changed_checkpoint: Change, tiny_checkpoint: Path
) -> None:
    folder = changed_checkpoint(tensors=lambda t: t.update({"ln_f.bias": np.zeros(96, np.float32)}))
    assert _same(_weights(folder), _weights(tiny_checkpoint))


CONFIG_FAULTS = [
    ({"model_type": "gpt_bigcode"}, "model_type 'gpt_bigcode'; expected one of: gpt_refact"),
    ({"model_type": ["a"]}, r"model_type \['a'\]; expected one of"),
    ({"n_head": None}, "n_head is None, expected a whole number, 1 to"),
    ({"n_layer": True}, "n_layer is True, expected a whole number, 1 to"),
    ({"n_head": 7}, "n_head is 7, expected a divisor of n_embd 96"),
    ({"n_embd": 95}, "n_embd is 95, expected an even number"),
    ({"multi_query": False}, "multi_query is False, expected true"),
    ({"n_inner": 512}, "n_inner is 512, expected null"),
    ({"tie_word_embeddings": True}, "tie_word_embeddings is True, expected false or absent"),
    ({"layer_norm_epsilon": "1e-5"}, "layer_norm_epsilon is '1e-5', expected like 1e-05"),
    ({"architectures": ["GPT2LMHeadModel"]}, "architectures is .*expected .*GPTRefactForCausalLM"),
    ({"n_layer": 3}, r"lacks 7 tensors beside 24 expected ones"),
    ({"vocab_size": 300}, r"420 tokens, more than the 300 rows of wte"),
]


@pytest.mark.parametrize(("changes", "complaint"), CONFIG_FAULTS)
def test_faulty_configs_are_named(
    changes: dict[str, object], complaint: str, changed_checkpoint: Change
) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        inspect_checkpoint(changed_checkpoint(config=lambda c: c.update(changes)), SILENT)


def test_no_size_is_filled_in_from_a_default(changed_checkpoint: Change) -> None:
    with pytest.raises(CheckpointError, match="n_embd is None"):
        inspect_checkpoint(changed_checkpoint(config=lambda c: c.pop("n_embd")), SILENT)


def test_the_published_width_must_come_with_the_published_figures(
    changed_checkpoint: Change,
) -> None:
    changes = {"n_embd": 2048, "n_layer": 32, "n_head": 16, "n_positions": 1024}
    with pytest.raises(CheckpointError) as caught:
        inspect_checkpoint(changed_checkpoint(config=lambda c: c.update(changes)), SILENT)
    for part in ("n_head is 16, expected 32", "n_positions is 1024, expected 4096",
                 "vocab_size is 448, expected 49216", "420 tokens, expected 49152"):  # fmt: skip
        assert part in str(caught.value)


def test_the_published_model_may_have_other_padding_rows() -> None:
    for rows, right in ((49152, True), (49153, True), (49216, True), (49151, False)):
        problems: list[str] = []
        config = {**config_json(gpt_refact.PUBLISHED), "vocab_size": rows}
        gpt_refact.decoder(config, problems)
        assert (problems == []) == right


def _swap_specials(tokenizer: dict[str, Any]) -> None:
    tokenizer["added_tokens"][2]["id"], tokenizer["added_tokens"][3]["id"] = 3, 2


def _swap_words(tokenizer: dict[str, Any]) -> None:
    words = tokenizer["model"]["vocab"]
    words["<fim_middle>"], words["<fim_suffix>"] = 3, 2


def _add_special(tokenizer: dict[str, Any]) -> None:
    last = tokenizer["added_tokens"][-1]
    tokenizer["added_tokens"].append({**last, "id": 420, "content": "<new>"})


TOKENIZER_FAULTS: list[tuple[Edit, str]] = [
    (_swap_specials, r"special token <fim_middle> has id 3, expected 2"),
    (_swap_words, r"special token <fim_middle> has id 3, expected 2"),
    (lambda t: t["added_tokens"][14].update(id=49152), "<empty_output> has id 49152, expected 14"),
    (lambda t: t["added_tokens"][2].update(special=False), "<fim_middle> is not marked as special"),
    (
        lambda t: t.update(normalizer={"type": "NFC"}),
        "normalizer is {'type': 'NFC'}, expected none",
    ),
    (lambda t: t["model"].update(dropout=0.5), "dropout is 0.5, expected None"),
    (
        lambda t: t.update(pre_tokenizer={"type": "Whitespace"}),
        "pre_tokenizer is .*expected Digits",
    ),
    (lambda t: t["pre_tokenizer"].update(pretokenizers=5), "the tokenizers library cannot read"),
    (lambda t: t["model"].update(type="Unigram"), "the model is no BPE"),
    (lambda t: t["model"]["merges"].append(["no", "where"]), "the tokenizers library cannot read"),
    (lambda t: t["added_tokens"][3].update(id=None), "the tokenizers library cannot read"),
    (_add_special, "1 special tokens beside the 19 known ones: <new>"),
]


@pytest.mark.parametrize(("edit", "complaint"), TOKENIZER_FAULTS)
def test_faulty_tokenizers_are_named(
    edit: Edit, complaint: str, changed_checkpoint: Change
) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        inspect_checkpoint(changed_checkpoint(tokenizer=edit), SILENT)


def test_the_real_tokenizer_passes_the_door(shared_data: Path, tmp_path: Path) -> None:
    from refact_edge.export.architectures.gpt_refact import PUBLISHED_TOKENS
    from refact_edge.export.starcoder import SPECIAL_TOKENS
    from refact_edge.export.tokenizer import check_tokenizer

    problems: list[str] = []
    file = shared_data / "refact-tokenizer" / "tokenizer.json"
    tokenizer = check_tokenizer(file, SPECIAL_TOKENS, problems)
    assert (tokenizer.tokens, tokenizer.notes) == (PUBLISHED_TOKENS, ())
    assert tokenizer.content == file.read_bytes()
    assert problems == []


def _fine_tuned(tokenizer: dict[str, Any]) -> None:
    """Add what transformers leaves in a tokenizer.json that was trained with."""
    last = tokenizer["added_tokens"][-1]
    tokenizer["added_tokens"].append({**last, "id": 420, "content": "[PAD]"})
    tokenizer["padding"] = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 420, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    tokenizer["truncation"] = {
        "direction": "Right", "max_length": 512, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip


def test_what_fine_tuning_adds_to_a_tokenizer_is_left_out_and_told(
    changed_checkpoint: Change, tiny_bundle: Path
) -> None:
    folder = changed_checkpoint(tokenizer=_fine_tuned)
    bundle = folder.parent / "bundle"
    notes = export_bundle(folder, bundle, ["int4"]).notes
    assert [note.partition(" is left out")[0] for note in notes] == [
        "tokenizer.json: truncation", "tokenizer.json: padding", "tokenizer.json: [PAD]",
    ]  # fmt: skip
    text = "def add(a, b):\n    return a + b\n" * 40
    mine, plain = (refact_edge.load(path, variant="int4") for path in (bundle, tiny_bundle))
    assert mine.tokens.encode(text) == plain.tokens.encode(text)
    assert mine.tokens.size == plain.tokens.size == 420


def test_a_token_of_its_own_behind_the_vocabulary_is_not_left_out(
    changed_checkpoint: Change,
) -> None:
    def add(tokenizer: dict[str, Any]) -> None:
        last = tokenizer["added_tokens"][-1]
        tokenizer["added_tokens"].append({**last, "id": 420, "content": "<|im_start|>"})

    with pytest.raises(CheckpointError, match=r"1 special tokens beside the 19 .*<\|im_start\|>"):
        inspect_checkpoint(changed_checkpoint(tokenizer=add), SILENT)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [("n_layer", 2**24, "1 to 1024"), ("n_positions", 16777217, "1 to 1048576"),
     ("n_head", True, "1 to 1024"), ("n_embd", 2**20, "1 to 65536")],
)  # fmt: skip
def test_sizes_that_the_runtime_refuses_are_not_exported(
    field: str, value: int, rule: str, changed_checkpoint: Change
) -> None:
    folder = changed_checkpoint(config=lambda c: c.update({field: value}))
    with pytest.raises(CheckpointError, match=f"{field} is {value}, expected .*{rule}"):
        inspect_checkpoint(folder, SILENT)


def test_everything_wrong_is_in_one_error(changed_checkpoint: Change) -> None:
    folder = changed_checkpoint(
        config=lambda c: c.update(eos_token_id=2),
        tokenizer=_swap_specials,
        tensors=_set("lm_head.weight", (0, 0), np.nan),
    )
    with pytest.raises(CheckpointError) as caught:
        export_bundle(folder, folder.parent / "bundle", ["int4"])
    for part in ("eos_token_id is 2", "<fim_suffix> has id 2", "not finite"):
        assert part in str(caught.value)
    assert not (folder.parent / "bundle").exists()


@needs_links
@pytest.mark.parametrize("place", [as_blobs, in_a_store])
def test_a_checkpoint_of_links_is_exported_as_one_of_files(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path, place: Place
) -> None:
    links = linked(tiny_checkpoint, tmp_path, place)
    export_bundle(links, tmp_path / "bundle", ["int8"])
    found = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    expected = json.loads((tiny_bundle / MANIFEST).read_text())
    for name in ("onnx/model_int8.onnx_data", "onnx/engine_int8.onnx", "tokenizer.json"):
        assert found["files"][name] == expected["files"][name]
    assert found["provenance"]["source"] == expected["provenance"]["source"]


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
    with pytest.raises(CheckpointError, match=f"{name} {said}") as told:
        inspect_checkpoint(links, SILENT)
    assert "\n" not in str(told.value)
