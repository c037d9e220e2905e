"""Shapes of published models, and random checkpoints of them."""

import json
import tracemalloc
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from refact_edge.export.fabricate import decoder_of_shape, fabricate, made_up_tokenizer
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.export.published import SHAPES, shape_of
from refact_edge.export.random_tensors import in_shards, write_random
from refact_edge.runtime.bench.shapes import GROUP
from refact_edge.runtime.bundle.decoder import parameter_count
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.text.tokens import Tokens

# Numbers of learned values, as published or as the tensors' sizes give them.
PARAMETERS = {
    "refact-1.6b": 1_585_842_176,
    "qwen2.5-coder-0.5b": 494_032_768,
    "qwen2.5-coder-1.5b": 1_543_714_304,
    "qwen2.5-coder-3b": 3_085_938_688,
    "qwen2.5-coder-7b": 7_615_616_512,
    "smollm2-135m": 134_515_008,
    "decicoder-1b": 1_113_671_680,
    "deepseek-coder-1.3b": 1_346_471_936,
    "deepseek-coder-6.7b": 6_740_512_768,
    "codegen2.5-7b": 6_895_702_016,
    "granite-code-3b": 3_482_503_680,
    "granite-code-8b": 8_054_910_976,
    "codellama-7b": 6_738_546_688,
    "codellama-13b": 13_016_028_160,
    "codestral-22b": 22_247_282_688,
    "qwen3-0.6b": 596_049_920,
    "starcoder-15b": 15_517_456_384,
    "starcoder2-3b": 3_030_371_328,
    "stablecode-3b": 2_769_310_720,
    "replit-code-3b": 2_600_634_880,
    "codegemma-2b": 2_506_172_416,
    "octogeex-6b": 6_243_584_000,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_shape_has_as_many_weights_as_the_published_model(name: str) -> None:
    assert parameter_count(decoder_of_shape(shape_of(name))) == PARAMETERS[name]


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_one_that_its_architecture_reads(name: str) -> None:
    shape = shape_of(name)
    decoder = decoder_of_shape(shape)
    assert shape.tokens <= decoder.vocabulary
    assert max(shape.specials.values()) < shape.tokens


def test_bench_offers_every_shape() -> None:
    assert {entry.name for entry in entry_points(group=GROUP)} == SHAPES.keys()


def test_an_unknown_shape_is_told_the_others() -> None:
    with pytest.raises(OptionError, match=r"shape 'big'; expected one of: refact-1\.6b, qwen"):
        shape_of("big")


def test_a_made_up_tokenizer_has_its_special_tokens_where_they_belong(tmp_path: Path) -> None:
    shape = shape_of("qwen2.5-coder-0.5b")
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(made_up_tokenizer(shape.tokens, shape.specials)))
    tokens = Tokens(file)
    assert tokens.size == shape.tokens
    assert tokens.id_of("<|fim_prefix|>") == 151659
    tokens.check_specials(set(shape.specials.values()))
    text = "def f(x):\n\treturn [1, 23] # näh\n"
    assert tokens.decode(tokens.encode(text)) == text


def test_random_tensors_are_read_as_they_were_written_and_take_little_memory(
    tmp_path: Path,
) -> None:
    sizes = {"a.weight": (3000, 3000), "norm.weight": (4000,), "a.bias": (4000,)}
    tracemalloc.start()
    write_random(tmp_path / "f", sizes, np.random.default_rng(1), 0.02, lambda _done: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tensors = {name: value.astype(np.float32) for name, value in load_file(tmp_path / "f").items()}
    assert {name: value.shape for name, value in tensors.items()} == sizes
    assert abs(tensors["a.weight"].std() - 0.02) < 1e-3
    assert abs(tensors["norm.weight"].mean() - 1) < 0.01
    assert abs(tensors["a.bias"].mean()) < 0.01
    assert peak < 10 * 2**23  # ten numbers for each of a piece, whatever the tensors


def test_shards_are_about_as_large_as_each_other() -> None:
    shards = list(in_shards({str(n): (10,) for n in range(9)}, 3))
    assert [len(shard) for shard in shards] == [3, 3, 3]


@pytest.mark.parametrize("name", ["decicoder-1b", "granite-code-3b", "qwen2.5-coder-0.5b"])
def test_a_stand_in_of_few_layers_is_a_whole_checkpoint(name: str, tmp_path: Path) -> None:
    shape = shape_of(name).with_layers(1)
    narrow = {"hidden_size": 128, "intermediate_size": 256, "max_position_embeddings": 256}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    shape = type(shape)({**shape.config, **narrow, **heads}, shape.tokens, shape.specials)
    fabricate(tmp_path / "c", shape, shards=2)
    checked = inspect_checkpoint(tmp_path / "c", SILENT)
    assert checked.decoder == decoder_of_shape(shape)
