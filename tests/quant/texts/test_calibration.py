"""Calibration texts: prompts in the model's own format."""

from dataclasses import replace

import numpy as np

from refact_edge.quant.texts.calibration import calibration_texts, default_sources, fingerprint
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.text.prompts import Layouts
from refact_edge.runtime.text.tokens import Tokens

END, PREFIX, MIDDLE, SUFFIX, EMPTY_OUTPUT = 0, 1, 2, 3, 14


def test_holes_in_both_orders_and_questions_take_turns(tokens: Tokens, layouts: Layouts) -> None:
    texts = calibration_texts(default_sources(), tokens, layouts, texts=10, text_tokens=300)
    firsts = [int(ids[0]) for ids in texts]
    assert firsts == [SUFFIX, PREFIX, SUFFIX, PREFIX, EMPTY_OUTPUT] * 2
    for ids in texts:
        assert len(ids) <= 300
        specials = [i for i in ids.tolist() if i in layouts.special_ids]
        if ids[0] == EMPTY_OUTPUT:
            assert specials[:3] == [EMPTY_OUTPUT] * 3
        else:
            assert sorted(specials) == [END, PREFIX, MIDDLE, SUFFIX]
            assert specials[-2:] == [MIDDLE, END]


def test_a_model_of_one_order_is_calibrated_on_that_and_on_questions(
    tokens: Tokens, layouts: Layouts
) -> None:
    one = replace(layouts, fim={"psm": layouts.fim["psm"]}, fim_default="psm")
    texts = calibration_texts(default_sources(), tokens, one, texts=5, text_tokens=300)
    assert [int(ids[0]) for ids in texts] == [*[PREFIX] * 4, EMPTY_OUTPUT]


def test_a_model_that_knows_neither_holes_nor_questions_is_calibrated_on_text(
    tokens: Tokens, layouts: Layouts
) -> None:
    plain = replace(layouts, fim={"prefix": ("prefix",)}, fim_default="prefix", chat=None)
    for ids in calibration_texts(default_sources(), tokens, plain, texts=5, text_tokens=200):
        assert set(ids.tolist()) & layouts.special_ids <= {END}


def test_what_a_file_spells_never_becomes_a_special_token(tokens: Tokens, layouts: Layouts) -> None:
    lines = [f"value_{i} = '<fim_middle><|endoftext|>'" for i in range(60)]
    sources = [Source("evil.py", "\n".join(lines))]
    for ids in calibration_texts(sources, tokens, layouts, texts=4, text_tokens=400):
        assert ids.tolist().count(MIDDLE) == 1
        assert ids.tolist().count(END) == 1


def test_the_same_sources_give_the_same_texts_and_other_seeds_others(
    tokens: Tokens, layouts: Layouts
) -> None:
    sources = default_sources()
    first = fingerprint(calibration_texts(sources, tokens, layouts, texts=5))
    assert first == fingerprint(calibration_texts(sources, tokens, layouts, texts=5))
    assert first != fingerprint(calibration_texts(sources, tokens, layouts, texts=5, seed=1))
    assert first != fingerprint([np.array([1, 2], np.int64)])
