"""CodeGen2.5's tokenizer is made as data; no code of a checkpoint is run for it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from architectures import ROWS as ARCHITECTURES
from architectures import make_checkpoint
from tokenizers import Tokenizer

from refact_edge.export import codegen25
from refact_edge.export.families import CODEGEN25
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.runtime.errors import CheckpointError


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_str(json.dumps(codegen25.tokenizer_json()))


def test_its_ids_are_where_the_published_ones_are(tokenizer: Tokenizer) -> None:
    places = {
        "<|endoftext|>": 50256, "Ġ" * 31: 50257, "ĠĠ": 50286, "ĉ" * 9: 50287, "ĉĉ": 50294,
        "<fim_prefix>": 50295, "<reponame>": 50312, "<sep>": 50317, "<eom>": 50318,
        "<mask_881>": 50319, "<mask_1>": 51199,
    }  # fmt: skip
    assert {token: tokenizer.token_to_id(token) for token in places} == places
    assert tokenizer.get_vocab_size() == codegen25.ROWS


def test_it_encodes_as_gpt_2_and_keeps_runs_of_blanks_whole(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("Hello world, def f(x):\n        return x", add_special_tokens=False).ids
    assert ids[:3] == [15496, 995, 11]  # of GPT-2
    assert tokenizer.id_to_token(ids[-3]) == "Ġ" * 7
    for text in ("\t\t\tif x:\n", " " * 70, "naïve ☃ 字", "<mask_1>"):
        encoded = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(encoded, skip_special_tokens=False) == text


def _published(folder: Path, tokenizer_class: str) -> Path:
    """Make a checkpoint with as many rows as CodeGen2.5 has, and no tokenizer.json."""
    row = replace(ARCHITECTURES["codegen2.5"], config={"vocab_size": codegen25.ROWS})
    checkpoint = make_checkpoint(row, folder)
    (checkpoint / "tokenizer.json").unlink()
    config = json.dumps({"tokenizer_class": tokenizer_class})
    (checkpoint / "tokenizer_config.json").write_text(config, encoding="utf-8")
    return checkpoint


def test_a_checkpoint_without_one_gets_it_and_is_told(tmp_path: Path) -> None:
    checked = inspect_checkpoint(_published(tmp_path / "checkpoint", codegen25.CLASS), SILENT)
    assert checked.family == CODEGEN25
    assert checked.sizes.tokens == codegen25.ROWS
    assert any("CodeGen2.5's own is made of GPT-2's merges" in note for note in checked.notes)
    assert [source["file"] for source in checked.source_files] == [
        "config.json", "model.safetensors",
    ]  # fmt: skip


def test_no_other_checkpoint_gets_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json"):
        inspect_checkpoint(_published(tmp_path / "checkpoint", "GPT2Tokenizer"), SILENT)
