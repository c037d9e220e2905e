"""Other loaders open the same bundle and say the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from decoders import decoder, make_checkpoint
from decoders import model as decoder_model
from loadable import LOADABLE, OF_ROWS
from loaded import NEAR, greedy

import refact_edge
from refact_edge.export.convert import export_bundle
from refact_edge.export.labels import STAND_IN, label_of
from refact_edge.export.loaders import SpecialIds
from refact_edge.runtime.backends.onnxruntime import ask_for_exact_products, import_onnxruntime
from refact_edge.runtime.bundle import contract as layout

PROMPT = "def read_lines(path):\n    with open(path) as stream:\n"


def _optimum(bundle: Path, variant: str) -> Any:
    settings = import_onnxruntime().SessionOptions()  # telemetry is off before optimum imports it
    ask_for_exact_products(settings)
    from optimum.onnxruntime import ORTModelForCausalLM

    name = Path(layout.standard_graph(variant)).name
    return ORTModelForCausalLM.from_pretrained(bundle, file_name=name, session_options=settings)


def _assert_same_tokens(bundle: Path, variant: str, ids: list[int], count: int) -> None:
    model = _optimum(bundle, variant)
    with torch.inference_mode():
        prompt = torch.tensor([ids])
        out = model.generate(prompt, max_new_tokens=count, do_sample=False, eos_token_id=None)
    new = out[0, len(ids) :].tolist()
    greedy(bundle, variant, ids, count).assert_same(new, NEAR[variant])


@pytest.mark.parametrize("variant", ["fp32", "int8", "int4"])
def test_optimum_gives_the_same_50_greedy_tokens(variant: str, demo_bundle: Path) -> None:
    ids = refact_edge.load(demo_bundle).tokens.encode(PROMPT)
    _assert_same_tokens(demo_bundle, variant, ids, 50)


# Quantized graphs differ from fp32's in their products alone, which two types are enough to see.
_VARIANTS = [(name, ["fp32"] if name in OF_ROWS else ["fp32", "int8", "int4"]) for name in LOADABLE]


@pytest.mark.parametrize(
    ("name", "variant"), [(name, variant) for name, some in _VARIANTS for variant in some]
)
def test_optimum_gives_the_same_tokens_of_every_type(
    name: str, variant: str, loadable_bundles: dict[str, Path]
) -> None:
    _assert_same_tokens(loadable_bundles[name], variant, [31, 45, 60, 170, 221, 99], 50)


def test_optimum_opens_heads_that_are_wider_than_their_share(tmp_path: Path) -> None:
    assert decoder("qwen3").attention.head_size != decoder("qwen3").width // 6
    export_bundle(make_checkpoint("qwen3", tmp_path / "qwen3"), tmp_path / "bundle", ["fp32"])
    model = _optimum(tmp_path / "bundle", "fp32")
    with torch.inference_mode():
        prompt = torch.tensor([[31, 45, 60]])
        mine = model.generate(prompt, max_new_tokens=20, do_sample=False, eos_token_id=None)
        reference: Any = decoder_model("qwen3")  # transformers leaves its methods untyped
        theirs = reference.generate(prompt, max_new_tokens=20, do_sample=False)
    torch.testing.assert_close(mine, theirs)


# Of these each type's config has its own.
FACTS = {
    "rope_theta", "rope_scaling", "rms_norm_eps", "hidden_act", "hidden_activation",
    "layer_norm_eps", "attention_bias", "mlp_bias", "use_qkv_bias", "use_parallel_residual",
    "partial_rotary_factor", "rotary_pct", "rotary_emb_base", "sliding_window",
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "max_position_embeddings", "vocab_size",
    "d_model", "n_heads", "n_layers", "max_seq_len", "expansion_ratio", "no_bias",
    "layer_norm_epsilon", "attn_config",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in LOADABLE if label_of(name) is not STAND_IN])
def test_config_tells_transformers_all_that_the_checkpoint_says(
    name: str, loadable_bundles: dict[str, Path]
) -> None:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    bundle = loadable_bundles[name]
    mine = AutoConfig.from_pretrained(bundle).to_dict()
    theirs = AutoConfig.from_pretrained(bundle.parent / "checkpoint").to_dict()
    theirs["architectures"] = [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[theirs["model_type"]]]
    told = ("model_type", "architectures", "tie_word_embeddings")
    for fact in (*told, *FACTS & theirs.keys()):
        if isinstance(theirs[fact], dict):  # of attention
            assert theirs[fact] | mine[fact] == theirs[fact], fact
        else:
            assert mine[fact] == theirs[fact], fact


def test_every_end_of_a_text_is_told_to_each_loader(loadable_bundles: dict[str, Path]) -> None:
    bundle = loadable_bundles["qwen2"]
    names = json.loads((bundle / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: token["id"] for token in names}
    ends = json.loads((bundle / "refact_edge.json").read_text())["prompts"]["end_ids"]
    assert {ids["<|endoftext|>"], ids["<|im_end|>"], ids["<|fim_pad|>"]} < set(ends)
    for file in ("config.json", "generation_config.json"):
        assert json.loads((bundle / file).read_text())["eos_token_id"] == ends
    genai = json.loads((bundle / "genai_config.json").read_text())["model"]
    assert genai["eos_token_id"] == ends
    assert "bos_token_id" not in genai  # no text of this model starts with one
    tokens = json.loads((bundle / "tokenizer_config.json").read_text())
    assert (tokens["eos_token"], tokens["pad_token"]) == ("<|endoftext|>",) * 2
    assert "bos_token" not in tokens


def test_a_pad_token_is_the_checkpoints_where_it_names_one() -> None:
    tokenizer = json.dumps(
        {"added_tokens": [{"id": id, "content": f"<{id}>"} for id in range(3)]}
    ).encode()
    prompts = {"start_ids": [1], "end_ids": [2]}
    for pad, expected in ((0, 0), (None, 2), (7, 2), ([0], 2)):
        special = SpecialIds.of(prompts, {"pad_token_id": pad}, tokenizer)
        assert special.as_config() == {
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": expected,
        }
        assert special.as_tokens() == {
            "bos_token": "<1>",
            "eos_token": "<2>",
            "pad_token": f"<{expected}>",
        }


def test_transformers_reads_the_same_ids(demo_bundle: Path) -> None:
    from transformers import AutoTokenizer

    auto: Any = AutoTokenizer  # transformers leaves its methods untyped
    tokenizer = auto.from_pretrained(demo_bundle)
    ours = refact_edge.load(demo_bundle).tokens
    assert tokenizer(PROMPT)["input_ids"] == ours.encode(PROMPT)
    spaced = "x = 'a , b .'"
    assert tokenizer.decode(tokenizer(spaced)["input_ids"]) == spaced


def test_left_padding_changes_nothing_for_the_real_tokens(tiny_bundle: Path) -> None:
    session = import_onnxruntime().InferenceSession(
        str(tiny_bundle / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    short, long = random.integers(19, 400, 5), random.integers(19, 400, 9)
    past = {
        value.name: np.zeros((2, 1, 0, 16), np.float32)
        for value in session.get_inputs()
        if value.name.startswith("past")
    }
    batch = np.stack([np.concatenate([np.zeros(4, np.int64), short]), long])
    mask = np.ones((2, 9), np.int64)
    mask[0, :4] = 0
    both = session.run(None, {"input_ids": batch, "attention_mask": mask, **past})[0]
    assert np.all(np.isfinite(both))
    for row, ids in ((both[0, 4:], short), (both[1], long)):
        one = {name: value[:1] for name, value in past.items()}
        feeds = {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), np.int64), **one}
        alone = session.run(None, feeds)[0][0]
        np.testing.assert_allclose(row, alone, atol=1e-5)


def test_inputs_and_outputs_are_those_that_other_loaders_expect(tiny_bundle: Path) -> None:
    model = onnx.load(tiny_bundle / layout.standard_graph("int4"), load_external_data=False)
    names = [value.name for value in model.graph.input]
    assert names[:3] == ["input_ids", "attention_mask", "past_key_values.0.key"]
    past = model.graph.input[2].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in past] == ["batch_size", 1, "past", 16]
    assert [v.name for v in model.graph.output if v.name != "logits"] == [
        f"present.{i}.{part}" for i in range(2) for part in ("key", "value")
    ]


def test_config_is_labelled_for_loaders_and_announces_external_data(tiny_bundle: Path) -> None:
    config = json.loads((tiny_bundle / "config.json").read_text())
    assert (config["model_type"], config["num_key_value_heads"]) == ("llama", 1)
    javascript = config["transformers.js_config"]
    assert javascript["dtype"] == "q4"
    for name in javascript["use_external_data_format"]:
        assert (tiny_bundle / "onnx" / f"{name}_data").is_file()
    genai = json.loads((tiny_bundle / "genai_config.json").read_text())
    assert (tiny_bundle / genai["model"]["decoder"]["filename"]).is_file()
    assert genai["model"]["decoder"]["session_options"]["provider_options"] == []
    tokenizer = json.loads((tiny_bundle / "tokenizer_config.json").read_text())
    assert tokenizer["clean_up_tokenization_spaces"] is False
    assert "the weights are gpt_refact's" in " ".join(
        (tiny_bundle / "README.md").read_text().split()
    )
