"""What a model is good for, read from its prompt layouts."""

from dataclasses import replace
from pathlib import Path

import pytest

from refact_edge import Model, load
from refact_edge.runtime.bundle.decoder import in_billions, parameter_count
from refact_edge.runtime.text.abilities import abilities_of


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Model:
    return load(tiny_bundle, variant="fp32")


def test_a_model_of_holes_and_answers_says_so(model: Model) -> None:
    abilities = abilities_of(model.layouts, model.tokens)
    assert (abilities.fills, abilities.chats) == (True, True)
    assert abilities.hole == ("<fim_suffix>", "suffix", "<fim_prefix>", "prefix", "<fim_middle>")
    assert abilities.ends[0] == "<|endoftext|>"
    assert abilities.token_before("prefix") == "<fim_prefix>"
    assert abilities.token_before("suffix") == "<fim_suffix>"


def test_a_slot_with_no_token_before_it_has_none(model: Model) -> None:
    masks = replace(model.layouts, fim={"psm": ("prefix", 3, "suffix", 2)}, fim_default="psm")
    abilities = abilities_of(masks, model.tokens)
    assert abilities.token_before("prefix") == ""
    assert abilities.token_before("suffix") == "<fim_suffix>"


def test_a_base_model_without_the_tokens_of_holes_neither_fills_nor_chats(model: Model) -> None:
    plain = replace(model.layouts, fim={"prefix": ("prefix",)}, fim_default="prefix", chat=None)
    abilities = abilities_of(plain, model.tokens)
    assert (abilities.fills, abilities.chats) == (False, False)
    assert abilities.hole == ("prefix",)


def test_shared_weights_count_once(model: Model) -> None:
    decoder = model.bundle.decoder
    embedding = decoder.vocabulary * decoder.width
    assert parameter_count(decoder) - parameter_count(replace(decoder, tied=True)) == embedding


def test_sizes_are_told_as_models_are_called() -> None:
    assert [in_billions(n) for n in (1_585_842_176, 134_515_008)] == ["1.6B", "134.5M"]
