"""What is wrong with a checkpoint's tensors and config, named at the door."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tiny import Change

from refact_edge.export import refact_shapes
from refact_edge.export.architectures import gpt_refact
from refact_edge.export.convert import export_bundle
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.export.shape import refact_shape
from refact_edge.runtime.errors import CheckpointError

Edit = Callable[[dict[str, Any]], object]  # of tensors


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


CONFIG_FAULTS = [
    (
        {"model_type": "gpt2"},
        "model_type 'gpt2'; expected one of: chatglm, decicoder, gemma, gpt_bigcode, gpt_neox, ",
    ),
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
        config = {**refact_shape(refact_shapes.PUBLISHED, 0).config, "vocab_size": rows}
        gpt_refact.decoder(config, problems)
        assert (problems == []) == right


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
    def swap_specials(tokenizer: dict[str, Any]) -> None:
        tokenizer["added_tokens"][2]["id"], tokenizer["added_tokens"][3]["id"] = 3, 2

    folder = changed_checkpoint(
        config=lambda c: c.update(eos_token_id=2),
        tokenizer=swap_specials,
        tensors=_set("lm_head.weight", (0, 0), np.nan),
    )
    with pytest.raises(CheckpointError) as caught:
        export_bundle(folder, folder.parent / "bundle", ["int4"])
    for part in ("eos_token_id is 2", "<fim_suffix> has id 2", "not finite"):
        assert part in str(caught.value)
    assert not (folder.parent / "bundle").exists()
