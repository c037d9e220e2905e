"""Adapters as PEFT itself writes and merges them, beside ours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from architectures import ROWS, build, make_checkpoint

from refact_edge.export.checkpoint import Checkpoint
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.runtime.errors import CheckpointError

peft = pytest.importorskip("peft", reason="adapters are tried with PEFT's own: pip install peft")
torch = pytest.importorskip("torch")
pytest.importorskip("torch.distributed.tensor")  # which PEFT 0.19 takes to be imported

# PEFT warns of what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")

VERSION = tuple(map(int, peft.__version__.split(".")[:2]))
LINEAR = ["q", "kv", "gate_up_proj", "c_proj"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def _model(checkpoint: Path) -> Any:
    from refact_edge.export.reference.gpt_refact import load

    return load(inspect_checkpoint(checkpoint, SILENT).checkpoint)


def _adapted(checkpoint: Path, **settings: Any) -> Any:
    """Return a model of PEFT's whose trainable weights have moved, each by its own amount."""
    torch.manual_seed(0)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": LINEAR} | settings
    model = peft.get_peft_model(_model(checkpoint), peft.LoraConfig(**settings))
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.05 * torch.randn_like(weight)
    return model


def _as_peft_merges(checkpoint: Path, folder: Path) -> dict[str, np.ndarray]:
    model = peft.PeftModel.from_pretrained(_model(checkpoint), str(folder)).merge_and_unload()
    return {name: weight.detach().numpy() for name, weight in model.state_dict().items()}


def _merged(checkpoint: Path, folder: Path) -> Checkpoint:
    return inspect_checkpoint(checkpoint, SILENT, folder).checkpoint


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "MiCA": {"init_lora_weights": "mica"},
    "a rank for some": {"rank_pattern": {"attn.q": 2, r"^transformer\.h\.1\.mlp\.c_proj": 6}},
    "an alpha for some": {"alpha_pattern": {"attn.q": 3, "h.0.mlp.c_proj": 16}},
    "ranks, alphas and rslora": {
        "use_rslora": True, "rank_pattern": {r"h\.\d+\.attn\.(q|kv)": 2},
        "alpha_pattern": {".*q": 5},
    },
    "one layer alone": {"layers_to_transform": [1], "layers_pattern": "h"},
    "whole modules": {"modules_to_save": ["lm_head", "ln_f"]},
    "modules that it has not": {"modules_to_save": ["lm_head", "embed_tokens"]},
    "an embedding": {"target_modules": [*LINEAR, "wte"]},
    "an embedding's rows": {"trainable_token_indices": {"wte": [3, 400, 7]}},
    "the head": {"target_modules": ["lm_head"]},
}  # fmt: skip


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_an_adapter_is_merged_as_peft_merges_it(
    settings: dict[str, Any], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    if settings.get("init_lora_weights") == "mica" and VERSION < (0, 20):
        pytest.skip("this version of PEFT does not know MiCA")
    _adapted(tiny_checkpoint, **settings).save_pretrained(str(tmp_path))
    expected, ours = _as_peft_merges(tiny_checkpoint, tmp_path), _merged(tiny_checkpoint, tmp_path)
    plain = inspect_checkpoint(tiny_checkpoint, SILENT).checkpoint
    changed = [name for name in expected if np.abs(expected[name] - plain.read(name)).max() > 1e-3]
    assert changed
    for name in expected:
        np.testing.assert_allclose(ours.read(name), expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora"])
def test_an_adapter_of_changed_base_weights_is_refused_and_taken_as_peft_rewrites_it(
    start: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model = peft.get_peft_model(
        _model(tiny_checkpoint),
        peft.LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR, init_lora_weights=start),
    )
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(str(tmp_path / "start"))
    model.peft_config["default"].init_lora_weights = start
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.05 * torch.randn_like(weight)
    model.save_pretrained(str(tmp_path / "as trained"))
    with pytest.raises(CheckpointError, match=rf"init_lora_weights is '{start}'.*save it anew"):
        _merged(tiny_checkpoint, tmp_path / "as trained")
    model.save_pretrained(
        str(tmp_path / "plain"), path_initial_model_for_weight_conversion=str(tmp_path / "start")
    )
    ours = _merged(tiny_checkpoint, tmp_path / "plain")
    for name, weight in model.merge_and_unload().state_dict().items():
        np.testing.assert_allclose(ours.read(name), weight.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"lora_bias": True}, "lora_bias is True"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"alora_invocation_tokens": [1, 2], "task_type": "CAUSAL_LM"}, "alora_invocation_tokens"),
        ({"use_qalora": True, "qalora_group_size": 8}, "use_qalora is True"),
        ({"velora_config": {"num_groups": 8}}, "velora_config is"),
        ({"kasa_config": {"beta": 0.1}}, "kasa_config is"),
        ({"use_bdlora": {"nblocks": 2}}, "use_bdlora is"),
        ({"arrow_config": {"top_k": 3}}, "arrow_config is"),
        ({"target_modules": [], "target_parameters": ["lm_head.weight"]}, "target_parameters is"),
        ({"layer_replication": [[0, 2], [0, 2]]}, "layer_replication is"),
        ({"init_lora_weights": "corda"}, "init_lora_weights is 'corda'"),
        ({"init_lora_weights": "lora_ga"}, "init_lora_weights is 'lora_ga'"),
    ],
)
def test_what_peft_can_write_and_we_cannot_merge_is_refused_by_its_name(
    settings: dict[str, Any], named: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    _adapted(tiny_checkpoint).save_pretrained(str(tmp_path))
    written = tmp_path / "adapter_config.json"  # by hand, as older versions know fewer fields
    written.write_text(json.dumps(json.loads(written.read_text()) | settings))
    with pytest.raises(CheckpointError, match=named):
        _merged(tiny_checkpoint, tmp_path)


def test_every_field_of_pefts_config_is_judged_by_its_name() -> None:
    """A new version's fields are looked at before that version counts as known."""
    from dataclasses import fields

    from refact_edge.export import lora_config

    known = lora_config._HARMLESS | lora_config._READ
    others = {field.name for field in fields(peft.LoraConfig)} - known
    assert others <= {
        "alora_invocation_tokens", "arrow_config", "ensure_weight_tying", "fan_in_fan_out",
        "kasa_config", "layer_replication", "lora_bias", "megatron_config", "monteclora_config",
        "target_parameters", "use_bdlora", "use_dora", "use_qalora", "velora_config",
    }  # fmt: skip


TARGETS = {
    "starcoder": ["c_attn", "c_proj", "c_fc"],
    "stablecode": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    "starcoder2": ["q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"],
    "replit-code": ["Wqkv", "out_proj", "up_proj", "down_proj"],
    "codegemma": ["q_proj", "v_proj", "gate_proj", "down_proj"],
    "qwen3": ["q_proj", "k_proj", "o_proj", "up_proj"],
    "stable-code": ["q_proj", "v_proj", "gate_proj"],
    "codellama": ["q_proj", "v_proj"],
}


@pytest.mark.parametrize("name", TARGETS)
def test_adapters_of_every_family_are_merged_as_peft_merges_them(name: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(ROWS[name], tmp_path / "checkpoint")
    torch.manual_seed(0)
    settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS[name])
    adapted = peft.get_peft_model(build(ROWS[name]), settings)
    for weight in adapted.parameters():
        if weight.requires_grad:
            weight.data += 0.05 * torch.randn_like(weight)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    theirs = adapted.merge_and_unload().state_dict()
    ours, plain = (
        inspect_checkpoint(checkpoint, SILENT, adapter).checkpoint
        for adapter in (tmp_path / "adapter", None)
    )
    changed = 0
    for tensor in ours.tensors:
        np.testing.assert_allclose(ours.read(tensor), theirs[tensor].numpy(), atol=1e-5)
        changed += not np.array_equal(ours.read(tensor), plain.read(tensor))
    assert changed == 2 * len(TARGETS[name]) + 2 * (
        name == "starcoder"
    )  # two of its c_proj a layer
