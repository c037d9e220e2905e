"""Questions and answers that a model which talks is calibrated on."""

from __future__ import annotations

import itertools

from refact_edge.quant.texts.calibration import calibration_texts, default_sources
from refact_edge.quant.texts.conversations import Exchange, conversations, default_exchanges
from refact_edge.runtime.text.prompts import Layouts
from refact_edge.runtime.text.tokens import Tokens

SHORT = [Exchange("Who?", "Me."), Exchange("Where?", "Here."), Exchange("Why?", "So.")]


def test_every_exchange_has_a_question_and_an_answer() -> None:
    exchanges = default_exchanges()
    assert len(exchanges) >= 40
    assert all(one.question.strip() and one.answer.strip() for one in exchanges)
    assert len({one.question for one in exchanges}) == len(exchanges)


def test_a_conversation_is_the_prompt_of_its_turns_and_the_last_answer(
    tokens: Tokens, layouts: Layouts
) -> None:
    ids = next(conversations(SHORT, tokens, layouts, 1))
    prompt = layouts.chat_ids([{"role": "user", "content": "Who?"}], tokens.encode)
    assert ids == [*prompt, *layouts.answered("Me.", tokens.encode)]


def test_as_many_exchanges_as_fit_are_one_conversation_and_all_take_turns(
    tokens: Tokens, layouts: Layouts
) -> None:
    some = list(itertools.islice(conversations(SHORT, tokens, layouts, 60), 6))
    assert all(0 < len(ids) <= 60 for ids in some)
    said = "".join(tokens.decode(ids) for ids in some)
    counts = [said.count(one.question) for one in SHORT]
    assert min(counts) >= 1
    assert max(counts) - min(counts) <= 1


def test_an_exchange_that_is_too_long_is_a_conversation_of_its_own(
    tokens: Tokens, layouts: Layouts
) -> None:
    long = Exchange("Tell me all.", "word " * 200)
    ids = next(conversations([long, *SHORT], tokens, layouts, 50))
    assert len(ids) > 50
    assert "Who?" not in tokens.decode(ids)


def test_every_second_conversation_is_about_everything(tokens: Tokens, layouts: Layouts) -> None:
    texts = calibration_texts(
        default_sources(), tokens, layouts, texts=20, text_tokens=300, exchanges=default_exchanges()
    )
    plain = calibration_texts(default_sources(), tokens, layouts, texts=20, text_tokens=300)
    same = [a.tolist() == b.tolist() for a, b in zip(texts, plain, strict=True)]
    assert [number for number, alike in enumerate(same) if not alike] == [9, 19]
    assert max(map(len, texts)) <= 300
