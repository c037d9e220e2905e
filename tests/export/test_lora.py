"""Merging LoRA adapters: what is added, and which adapters are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file
from tiny import TINY

from refact_edge.export import cli
from refact_edge.export.convert import export_bundle
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.parity import compare
from refact_edge.export.progress import SILENT
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.errors import BundleError, CheckpointError

RANK, ALPHA = 4, 8
E, F, D = TINY.width, TINY.mlp.hidden, TINY.attention.head_size
TARGETS = {
    "attn.q": (E, E),
    "attn.kv": (2 * D, E),
    "attn.c_proj": (E, E),
    "mlp.gate_up_proj": (2 * F, E),
    "mlp.c_proj": (E, F),
}
Tensors = dict[str, np.ndarray]


def _tensors() -> Tensors:
    random = np.random.default_rng(0)
    tensors = {}
    for layer in range(TINY.layers):
        for target, (rows, columns) in TARGETS.items():
            stem = f"base_model.model.transformer.h.{layer}.{target}"
            for part, shape in (("A", (RANK, columns)), ("B", (rows, RANK))):
                values = 0.05 * random.standard_normal(shape)
                tensors[f"{stem}.lora_{part}.weight"] = values.astype(np.float32)
    return tensors


def _adapter(
    folder: Path,
    edit: Callable[[Tensors], object] = lambda _: None,
    **changes: Any,
) -> Path:
    folder.mkdir()
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none"} | changes
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors = _tensors()
    edit(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize(("changes", "scale"), [({}, 2.0), ({"use_rslora": True}, 4.0)])
def test_every_target_gets_its_product_and_nothing_else_changes(
    changes: dict[str, Any], scale: float, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    plain = inspect_checkpoint(tiny_checkpoint, SILENT).checkpoint
    adapter = _adapter(tmp_path / "adapter", **changes)
    adapted = inspect_checkpoint(tiny_checkpoint, SILENT, adapter).checkpoint
    tensors = _tensors()
    for name in plain.tensors:
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        expected: np.ndarray = plain.read(name)
        if f"{stem}.lora_A.weight" in tensors:
            a, b = (tensors[f"{stem}.lora_{part}.weight"] for part in "AB")
            expected = expected + scale * b @ a
        np.testing.assert_allclose(adapted.read(name), expected, rtol=1e-6, atol=1e-7)


def test_new_embeddings_take_the_place_of_the_old(tiny_checkpoint: Path, tmp_path: Path) -> None:
    table = np.random.default_rng(1).standard_normal((TINY.vocabulary, E)).astype(np.float32)

    def edit(tensors: Tensors) -> None:
        tensors["base_model.model.lm_head.weight"] = table

    adapter = _adapter(tmp_path / "adapter", edit)
    adapted = inspect_checkpoint(tiny_checkpoint, SILENT, adapter).checkpoint
    np.testing.assert_array_equal(adapted.read("lm_head.weight"), table)


def test_a_bundle_with_an_adapter_is_the_reference_with_it(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    adapter, bundle = _adapter(tmp_path / "adapter"), tmp_path / "bundle"
    export_bundle(tiny_checkpoint, bundle, ["fp32"], adapter=adapter)
    files = [entry["file"] for entry in read_bundle(bundle).provenance["source"]]
    assert files[-2:] == ["adapter_config.json", "adapter_model.safetensors"]
    found = compare(tiny_checkpoint, bundle, adapter=adapter, prompt_tokens=40, greedy_tokens=0)
    assert found["fp32"].exact
    with pytest.raises(BundleError, match="was made from other files"):
        compare(tiny_checkpoint, bundle, prompt_tokens=40)


def _other_layers(tensors: Tensors) -> None:
    for name in list(tensors):
        tensors[name.replace("transformer.h.1", "transformer.h.7")] = tensors.pop(name)


def _other_width(tensors: Tensors) -> None:
    name = "base_model.model.transformer.h.0.attn.q.lora_A.weight"
    tensors[name] = np.zeros((RANK, E + 8), np.float32)


def _without_b(tensors: Tensors) -> None:
    del tensors["base_model.model.transformer.h.0.attn.q.lora_B.weight"]


def _embedding_lora(tensors: Tensors) -> None:
    tensors["base_model.model.transformer.wte.lora_embedding_A"] = np.zeros((2, 3), np.float32)


def _token_rows(tensors: Tensors) -> None:
    name = "base_model.model.transformer.wte.token_adapter.trainable_tokens_delta"
    tensors[name] = np.zeros((2, E), np.float32)


def _weight_twice(tensors: Tensors) -> None:
    tensors["base_model.model.transformer.h.0.attn.q.weight"] = np.zeros((E, E), np.float32)


@pytest.mark.parametrize(
    ("edit", "changes", "said"),
    [
        (_other_layers, {}, r"transformer\.h\.7\.attn\.c_proj\.weight, which the checkpoint has"),
        (_other_width, {}, rf"h\.0\.attn\.q\.weight has shape \[{E}, {E}\], the adapter's"),
        (_without_b, {}, r"1 tensors are no LoRA weights: .*attn\.q\.lora_A\.weight"),
        (_embedding_lora, {}, r"1 tensors are no LoRA weights: .*wte\.lora_embedding_A"),
        (lambda _: None, {"use_dora": True}, "use_dora is True; it may change what"),
        (lambda _: None, {"use_new": {"a": 1}}, "use_new is {'a': 1}; it may change what"),
        (lambda _: None, {"init_lora_weights": "new"}, "init_lora_weights is 'new', which is not"),
        (lambda _: None, {"init_lora_weights": "loftq"}, "merge it with PEFT into its own base"),
        (lambda _: None, {"r": 8}, "attn.q: its tensors have rank 4, adapter_config.json says 8"),
        (lambda _: None, {"rank_pattern": {"attn.q": 2}}, "rank 4, adapter_config.json says 2"),
        (lambda _: None, {"rank_pattern": {"(a+)+": 2}}, "'\\(a\\+\\)\\+' is too involved"),
        (lambda _: None, {"alpha_pattern": {"[": 2}}, "'\\[' is no regular expression"),
        (lambda _: None, {"alpha_pattern": {"q": "8"}}, "alpha_pattern: q is '8', expected a num"),
        (lambda _: None, {"alpha_pattern": [1]}, r"alpha_pattern is \[1\], expected an object"),
        (lambda _: None, {"modules_to_save": ["lm_head"]}, "lm_head, of which it has no tensor"),
        (lambda _: None, {"trainable_token_indices": [1.5]}, "expected lists of ids"),
        (_token_rows, {"trainable_token_indices": [1, 9999]}, "from 0 to 447, found 9999"),
        (_token_rows, {"trainable_token_indices": [1]}, r"has shape \[2, 96\], expected \[1, 96\]"),
        (_weight_twice, {}, "h.0.attn.q.weight is changed in 2 ways, expected one"),
        (lambda _: None, {"bias": "all"}, "bias is 'all', expected 'none'"),
        (lambda _: None, {"peft_type": "IA3"}, "peft_type is 'IA3', expected 'LORA'"),
        (lambda _: None, {"r": None}, "r is None, expected a whole number above 0"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_with_the_reason(
    edit: Callable[[Tensors], object],
    changes: dict[str, Any],
    said: str,
    tiny_checkpoint: Path,
    tmp_path: Path,
) -> None:
    adapter = _adapter(tmp_path / "adapter", edit, **changes)
    with pytest.raises(CheckpointError, match=said):
        inspect_checkpoint(tiny_checkpoint, SILENT, adapter)


def test_the_command_takes_an_adapter_and_says_when_the_folder_is_none(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = [str(tiny_checkpoint), str(tmp_path / "bundle"), "--no-report", "--lora"]
    done = CliRunner().invoke(cli.export, [*arguments, str(tmp_path / "nowhere")])
    assert isinstance(done.exception, CheckpointError)
    assert "is not a folder; expected the folder of a LoRA adapter" in str(done.exception)
    options = [str(_adapter(tmp_path / "adapter")), "--no-calibration"]
    done = CliRunner().invoke(cli.export, [*arguments, *options])
    assert done.exit_code == 0, done.output
