"""Text to ids and back, with the real tokenizer where it is at hand."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refact_edge.export.fabricate import made_up_tokenizer
from refact_edge.runtime.errors import BundleError
from refact_edge.runtime.text.tokens import Tokens, Utf8Stream

CARD_PREFIX = 'def print_hello_world():\n    """'
CARD_SUFFIX = '\n    print("Hello world!")'
CARD_IDS = [
    1, 589, 1459, 81, 7656, 81, 5860, 2262, 284, 1524, 3, 284, 1459, 440, 8279, 5788, 15981, 2,
]  # fmt: skip


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Tokens:
    return Tokens(shared_data / "refact-tokenizer" / "tokenizer.json")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    file.write_text(json.dumps(made_up_tokenizer(420)))
    return Tokens(file)


def test_all_vectors_of_the_original_tokenizer_agree(real: Tokens, shared_data: Path) -> None:
    vectors = json.loads((shared_data / "refact-tokenizer" / "vectors.json").read_text())
    assert len(vectors) == 47
    assert [real.encode(vector["text"]) for vector in vectors] == [v["ids"] for v in vectors]


def test_the_model_cards_prompt_has_the_published_ids(real: Tokens) -> None:
    raw = f"<fim_prefix>{CARD_PREFIX}<fim_suffix>{CARD_SUFFIX}<fim_middle>"
    assert real.encode_special(raw) == CARD_IDS
    assert [1, *real.encode(CARD_PREFIX), 3, *real.encode(CARD_SUFFIX), 2] == CARD_IDS


def test_a_special_token_in_user_text_stays_text(real: Tokens) -> None:
    text = "x = '<fim_middle>' # <|endoftext|>"
    ids = real.encode(text)
    assert min(ids) > 18
    assert real.decode(ids) == text
    assert 2 in real.encode_special(text)


def test_the_specials_have_their_places(real: Tokens) -> None:
    names = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<empty_output>")
    assert [real.id_of(name) for name in names] == [0, 1, 2, 3, 14]


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_comes_back_and_streams_without_a_broken_character(text: str) -> None:
    tokens = _SMALL
    ids = tokens.encode(text)
    assert tokens.decode(ids) == text
    stream = Utf8Stream(tokens)
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) == text


def test_half_a_character_at_the_end_is_held_back(small: Tokens) -> None:
    ids = small.encode("é")
    assert len(ids) == 2
    stream = Utf8Stream(small)
    assert stream.push(ids[0]) == ""
    assert stream.push(ids[1]) == "é"


def test_a_lone_surrogate_is_replaced_and_never_crashes(small: Tokens) -> None:
    assert small.decode(small.encode("a\udc80b")) == "a?b"


def test_a_broken_tokenizer_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match=r"tokenizer\.json is not a readable tokenizer"):
        Tokens(tmp_path / "tokenizer.json")


def _made_up() -> Tokens:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        file.write_text(json.dumps(made_up_tokenizer(420)))
        return Tokens(file)


_SMALL = _made_up()
