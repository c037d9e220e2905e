"""Every architecture: its checkpoints become the model that transformers has."""

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ROWS, VOCABULARY, build, make_checkpoint
from safetensors.torch import load_file, save_file

from refact_edge.export.convert import export_bundle
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.parity import compare
from refact_edge.export.progress import SILENT
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.decoder import Rotary
from refact_edge.runtime.errors import CheckpointError
from refact_edge.runtime.opening.load import load

VARIANTS = ["fp32", "int4"]
EXPECTED_FAMILIES = {name: row.family.name for name, row in ROWS.items()}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("architectures")

    def of(name: str) -> Path:
        path = folder / name
        return path if path.exists() else make_checkpoint(ROWS[name], path)

    return of


@pytest.fixture(scope="module")
def bundle(checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bundles")

    def of(name: str) -> Path:
        path = folder / name
        return path if path.exists() else export_bundle(checkpoint(name), path, VARIANTS).path

    return of


@pytest.mark.parametrize("name", ROWS)
def test_a_checkpoint_becomes_the_model_that_transformers_has(name: str, bundle: Any) -> None:
    ids = np.random.default_rng(1).integers(0, 350, 70)
    with torch.inference_mode():
        expected = build(ROWS[name])(torch.from_numpy(ids)[None]).logits[0].numpy()
    session = load(bundle(name), variant="fp32", engine="onnxruntime").session
    cache = session.new_cache()
    logits = np.concatenate(
        [session.step(part, cache, keep=len(part)) for part in np.split(ids, [31, 32])]
    )
    assert np.abs(logits - expected).max() < 1e-3
    np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))
    assert read_bundle(bundle(name)).prompts["family"] == EXPECTED_FAMILIES[name]


@pytest.mark.parametrize("name", ROWS)
def test_the_kernels_take_every_architecture_and_give_the_same_bits_however_text_is_cut(
    name: str, bundle: Any
) -> None:
    session = load(bundle(name), variant="int4", engine="native").session
    ids = np.random.default_rng(2).integers(0, 350, 40)

    def run(*ends: int) -> Any:
        cache = session.new_cache()
        pieces = np.split(ids, ends)
        return np.concatenate([session.step(one, cache, keep=len(one)) for one in pieces])

    np.testing.assert_array_equal(run(), run(1, 2, 19, 39))
    other = load(bundle(name), variant="int4", engine="onnxruntime").session
    cache = other.new_cache()
    expected = other.step(ids, cache, keep=len(ids))
    assert np.abs(run() - expected).max() < 0.05 * np.abs(expected).max()


def _refused(name: str, folder: Path, **changes: Any) -> str:
    checkpoint = make_checkpoint(ROWS[name], folder, lambda config: config.update(changes))
    with pytest.raises(CheckpointError) as refusal:
        inspect_checkpoint(checkpoint, SILENT)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_scaling is .*yarn"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope_parameters is .*llama3"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5, expected 1"),
        ({"sliding_window": 64, "use_sliding_window": True}, "sliding_window is 64, expected none"),
        ({"layer_types": ["sliding_attention"] * 2}, "layer_types is .*expected one kind"),
        ({"layer_types": 5}, "layer_types is 5, expected one kind for all layers"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1, expected true or false"),
        ({"rope_scaling": {"type": "linear"}}, "rope_theta is .*and so the factor"),
        ({"num_local_experts": 8}, "num_local_experts is 8, expected none"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is .*expected none"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', expected 'silu'"),
        ({"attention_bias": "yes"}, "attention_bias is 'yes', expected true or false"),
        ({"num_key_value_heads": 0}, "num_key_value_heads is 0, expected a whole number"),
        ({"head_dim": 15}, "positions.dims is 15, expected even"),
        ({"max_position_embeddings": None}, "max_position_embeddings is None"),
        ({"rope_theta": -1}, "rope_theta is -1, expected a number above 0"),
    ],
)
def test_what_is_not_built_is_refused_by_its_name(
    changes: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    assert re.search(complaint, _refused("smollm2", tmp_path / "checkpoint", **changes))


def _update(config: dict[str, Any], **changes: Any) -> None:
    config.update(changes)


@pytest.mark.parametrize("name", ["codestral", "starcoder2"])
def test_a_window_is_that_of_all_layers_or_of_none(name: str, tmp_path: Path) -> None:
    mixed = ["full_attention", "sliding_attention"]
    complaint = _refused(name, tmp_path / "mixed", layer_types=mixed)
    assert "layer_types is" in complaint
    for kind, expected in (("full_attention", 0), ("sliding_attention", None)):
        folder = make_checkpoint(
            ROWS[name],
            tmp_path / kind,
            partial(_update, layer_types=[kind] * 2),
        )
        window = inspect_checkpoint(folder, SILENT).decoder.attention.window
        assert window == (ROWS[name].config["sliding_window"] if expected is None else 0)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("stablecode", "gpt_neox.layers.0.attention.bias"),
        ("stablecode", "gpt_neox.layers.1.attention.masked_bias"),
        ("starcoder", "transformer.h.0.attn.bias"),
        ("codellama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
    ],
)
def test_buffers_of_early_versions_change_nothing(
    name: str, tensor: str, checkpoint: Any, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint(name), tmp_path / name))
    file = folder / "model.safetensors"
    buffers = {
        "bias": torch.ones((1, 1, 8, 8), dtype=torch.bool),
        "masked_bias": torch.tensor(-torch.inf, dtype=torch.float16),
        "inv_freq": torch.ones(8),
    }
    save_file({**load_file(file), tensor: buffers[tensor.rpartition(".")[2]]}, file)
    plain, checked = (inspect_checkpoint(path, SILENT) for path in (checkpoint(name), folder))
    assert checked.checkpoint.tensors.keys() == plain.checkpoint.tensors.keys()
    ids = torch.arange(40)[None]
    mine, theirs = (one.architecture.reference(one.checkpoint)(ids) for one in (checked, plain))
    torch.testing.assert_close(mine, theirs, atol=0, rtol=0)


def test_a_head_that_should_be_tied_and_differs_is_refused(tmp_path: Path) -> None:
    complaint = _refused("decicoder", tmp_path / "checkpoint", tie_word_embeddings=True)
    assert "lm_head.weight and model.embed_tokens.weight differ" in complaint


def test_a_missing_head_is_never_taken_for_a_tied_one(tmp_path: Path) -> None:
    complaint = _refused("smollm2", tmp_path / "checkpoint", tie_word_embeddings=None)
    assert "lm_head.weight is missing" in complaint


def _positions(config: dict[str, Any]) -> None:
    """Write positions, and the type, as transformers 5 does."""
    scaling = config.pop("rope_scaling", {})
    config["rope_parameters"] = {
        "rope_theta": config.pop("rope_theta"),
        "rope_type": scaling.get("type", "default"),
        **({"factor": scaling["factor"]} if scaling else {}),
    }
    config["dtype"] = config.pop("torch_dtype")


@pytest.mark.parametrize("name", ["deepseek-coder", "qwen2.5-coder"])
def test_configs_of_transformers_5_say_the_same(name: str, tmp_path: Path) -> None:
    older = inspect_checkpoint(make_checkpoint(ROWS[name], tmp_path / "older"), SILENT)
    folder = make_checkpoint(ROWS[name], tmp_path / "newer", _positions)
    newer = inspect_checkpoint(folder, SILENT)
    assert newer.decoder == older.decoder
    assert isinstance(newer.decoder.positions, Rotary)
    export_bundle(folder, tmp_path / "bundle", ["fp32"])
    result = compare(folder, tmp_path / "bundle", prompt_tokens=70, greedy_tokens=50)["fp32"]
    assert result.exact


@pytest.mark.parametrize(
    "save", [{"max_shard_size": "60KB"}, {"safe_serialization": False}], ids=["shards", "bin"]
)
def test_weights_are_read_from_shards_and_from_bin_files(
    save: dict[str, Any], tmp_path: Path
) -> None:
    row = ROWS["qwen2.5-coder"]
    plain = inspect_checkpoint(make_checkpoint(row, tmp_path / "plain"), SILENT)
    other = inspect_checkpoint(make_checkpoint(row, tmp_path / "other", **save), SILENT)
    for role in ("layers.1.attention.kv", "layers.0.attention.q.bias", "head"):
        np.testing.assert_array_equal(other.weight(role), plain.weight(role))


def test_more_tokens_than_rows_are_refused(tmp_path: Path) -> None:
    complaint = _refused("granite-code", tmp_path / "checkpoint", vocab_size=VOCABULARY - 100)
    assert "more than the 348 rows of the embedding" in complaint


def _edited_tokenizer(folder: Path, edit: Any) -> Path:
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    edit(content)
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def test_tokens_of_prompts_become_special_whatever_their_flag_says(tmp_path: Path) -> None:
    def unmark(content: dict[str, Any]) -> None:
        for token in content["added_tokens"]:
            token["special"] = not token["content"].startswith(("<|fim", "<tool"))

    folder = make_checkpoint(ROWS["qwen2.5-coder"], tmp_path / "checkpoint")
    checked = inspect_checkpoint(_edited_tokenizer(folder, unmark), SILENT)
    assert any("tokens are marked as special" in note for note in checked.notes)
    tokens = checked.tokens()
    tokens.check_specials(checked.prompts["special_ids"])
    assert tokens.decode(tokens.encode("<|fim_prefix|>")) == "<|fim_prefix|>"


def test_what_a_tokenizer_puts_before_a_text_begins_every_prompt(tmp_path: Path) -> None:
    def begin(content: dict[str, Any]) -> None:
        token = {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}
        text = {"Sequence": {"id": "A", "type_id": 0}}
        place = next(t["id"] for t in content["added_tokens"] if t["content"] == "<|im_start|>")
        entry = {"id": "<|im_start|>", "ids": [place], "tokens": ["<|im_start|>"]}
        content["post_processor"] = {
            "type": "TemplateProcessing", "single": [token, text], "pair": [token, text],
            "special_tokens": {"<|im_start|>": entry},
        }  # fmt: skip

    folder = make_checkpoint(ROWS["smollm2"], tmp_path / "checkpoint")
    checked = inspect_checkpoint(_edited_tokenizer(folder, begin), SILENT)
    start = checked.tokens().id_of("<|im_start|>")
    assert checked.prompts["start_ids"] == [start]


def test_the_family_of_prompts_can_be_named(tmp_path: Path) -> None:
    folder = make_checkpoint(ROWS["mellum"], tmp_path / "checkpoint")
    assert inspect_checkpoint(folder, SILENT, prompts="starcoder").prompts["family"] == "starcoder"
    with pytest.raises(CheckpointError, match="--prompts deepseek-coder needs <"):
        inspect_checkpoint(folder, SILENT, prompts="deepseek-coder")
    with pytest.raises(CheckpointError, match="--prompts starcode; expected one of"):
        inspect_checkpoint(folder, SILENT, prompts="starcode")


def test_a_tokenizer_of_no_known_prompts_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(ROWS["smollm2"], tmp_path / "checkpoint")
    edited = _edited_tokenizer(folder, lambda content: content.update(added_tokens=[]))
    with pytest.raises(CheckpointError, match="special tokens are those of no known prompts"):
        inspect_checkpoint(edited, SILENT)


@pytest.mark.parametrize("name", ROWS)
def test_the_reference_is_the_model_that_transformers_has(name: str, checkpoint: Any) -> None:
    ids = torch.from_numpy(np.random.default_rng(3).integers(0, 350, 60))[None]
    checked = inspect_checkpoint(checkpoint(name), SILENT)
    with torch.inference_mode():
        mine = checked.architecture.reference(checked.checkpoint)(ids)
        theirs = build(ROWS[name])(ids).logits
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("codegemma", {"hidden_act": "gelu", "hidden_activation": None}), ("octogeex", {})],
)
def test_what_is_exported_is_the_model_of_the_reference(
    name: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    folder = make_checkpoint(ROWS[name], tmp_path / name, lambda config: config.update(changes))
    export_bundle(folder, tmp_path / "bundle", ["fp32"])
    result = compare(folder, tmp_path / "bundle", prompt_tokens=70, greedy_tokens=20)["fp32"]
    assert result.exact
