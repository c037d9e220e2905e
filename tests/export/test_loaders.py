"""Other loaders open the same bundle and say the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import refact_edge
from refact_edge.runtime.backends.onnxruntime import ask_for_exact_products, import_onnxruntime
from refact_edge.runtime.bundle import contract as layout
from refact_edge.runtime.engine.sampling import GREEDY

PROMPT = "def read_lines(path):\n    with open(path) as stream:\n"


@pytest.mark.parametrize("variant", ["fp32", "int8", "int4"])
def test_optimum_gives_the_same_50_greedy_tokens(variant: str, demo_bundle: Path) -> None:
    settings = import_onnxruntime().SessionOptions()  # telemetry is off before optimum imports it
    ask_for_exact_products(settings)
    from optimum.onnxruntime import ORTModelForCausalLM

    ours = refact_edge.load(demo_bundle, variant=variant)
    ids = ours.tokens.encode(PROMPT)
    theirs = ORTModelForCausalLM.from_pretrained(
        demo_bundle,
        file_name=Path(layout.standard_graph(variant)).name,
        session_options=settings,
    )
    with torch.inference_mode():
        out = theirs.generate(
            torch.tensor([ids]), max_new_tokens=50, do_sample=False, eos_token_id=None
        )
    from refact_edge.runtime.engine.generation import Generation, Request
    from refact_edge.runtime.engine.prefix import PrefixCache

    request = Request(ids, GREEDY, 50, stop_ids=frozenset())
    mine = list(Generation(ours.session, PrefixCache(ours.session.new_cache), request))
    assert len(mine) == 50
    same = _until_a_near_tie(ours, ids, mine) if variant != "fp32" else 50
    assert out[0, len(ids) : len(ids) + same].tolist() == mine[:same]


def _until_a_near_tie(model: refact_edge.Model, ids: list[int], new: list[int]) -> int:
    """Return how many ids come before the first whose two best logits are almost the same.

    Where activations are rounded to bytes, a difference in the last digit moves a few of them by
    a whole step, and logits by a little more than kernels differ.
    """
    logits = model.session.step(np.array([*ids, *new[:-1]]), model.session.new_cache(), len(new))
    best = np.sort(logits, axis=1)[:, -2:]
    near = np.flatnonzero(best[:, 1] - best[:, 0] < 0.05)
    count = int(near[0]) if len(near) else len(new)
    assert count >= 10, "a near tie so soon that nothing is compared"
    return count


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
