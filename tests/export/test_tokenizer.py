"""Tokenizers of checkpoints: those that are refused, and what is left out of others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import Change

import refact_edge
from refact_edge.export.convert import export_bundle
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.runtime.errors import CheckpointError

Edit = Callable[[dict[str, Any]], object]  # of a tokenizer


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
    (lambda t: t.update(normalizer={"type": "Sequence", "normalizers": 5}), "cannot read"),
    (lambda t: t.update(post_processor={"type": "Sequence", "processors": ["a"]}), "cannot read"),
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
    from refact_edge.export.families import REFACT
    from refact_edge.export.refact_shapes import PUBLISHED_TOKENS
    from refact_edge.export.tokenizer import check_tokenizer

    problems: list[str] = []
    file = shared_data / "refact-tokenizer" / "tokenizer.json"
    tokenizer = check_tokenizer(file, (REFACT,), {}, problems)
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
    *notes, on_licence = export_bundle(folder, bundle, ["int4"]).notes
    assert "LICENSE" in on_licence
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
