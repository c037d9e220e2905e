"""tokenizer.model of SentencePiece, converted: the same ids as the library of that name gives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from refact_edge.export.families import CODELLAMA, PLAIN
from refact_edge.export.sentencepiece_model import check_pieces, merged_pieces, tokenizer_json
from refact_edge.export.tokenizer import check_tokenizer
from refact_edge.runtime.errors import CheckpointError, RefactEdgeWarning
from refact_edge.runtime.text.healing import Healing, Spellings
from refact_edge.runtime.text.tokens import Tokens, Utf8Stream

SOURCES = sorted(Path(__file__).parents[2].glob("runtime/text/*.py"))
TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "  two blanks,\tand a tab \t\n\n\n    \n x",
    "",
    " ",
    "é 漢字 \U0001f600 naïve",
    "<s> </s> <unk> <0x0A> ▁<PRE> <hole> </hole>",
    "x" * 700,
]
SPECIALS = ["<hole>", "▁<PRE>"]


def _train(folder: Path, kind: str, **more: Any) -> Path:
    lines = [line for file in SOURCES for line in file.read_text(encoding="utf-8").split("\n")]
    options: dict[str, Any] = {
        "model_type": kind,
        "vocab_size": 700,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "byte_fallback": True,
        "split_by_whitespace": True,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "control_symbols": SPECIALS[:1],
        "user_defined_symbols": SPECIALS[1:],
        "minloglevel": 2,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(folder / "tokenizer"),
        **{**options, **more},
    )
    return folder / "tokenizer.model"


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train(tmp_path_factory.mktemp(request.param), request.param)


def _converted(model: Path) -> tuple[Tokens, str, tuple[int, ...]]:
    """Return the tokens of a checkpoint with it, what stands before a text, and specials."""
    problems: list[str] = []
    file = model.parent / "tokenizer.json"
    checked = check_tokenizer(file, (PLAIN, CODELLAMA), {}, problems, "plain")
    assert [one for one in problems if "--prompts plain needs" not in one] == []
    tokens = Tokens(file, checked.content)
    tokens.check_specials(checked.specials.values())
    return tokens, checked.before_text, tuple(checked.specials.values())


def test_symbols_of_users_are_found_as_sentencepiece_finds_them(tmp_path: Path) -> None:
    runs = ["▁▁", "▁▁▁▁", "return▁"]
    model = _train(tmp_path, "bpe", user_defined_symbols=[*runs, SPECIALS[1]])
    tokens, before, _ = _converted(model)
    own = sentencepiece.SentencePieceProcessor(model_file=str(model))
    for text in ("a  b", "def f():\n    return  x", "      y", *_texts()):
        if not any(special in text for special in SPECIALS) and text and "▁" not in text:
            ids = tokens.encode(before + text)
            assert ids == own.encode(text)
            assert tokens.decode(ids) == before + text


def test_words_of_which_a_special_token_would_be_merged_are_never_merged(model: Path) -> None:
    """As CodeLlama's vocabulary may have them: all steps to its tokens, as words."""
    pieces = [("<unk>", 0.0, 2), *((letter, -1.0, 1) for letter in "▁<PRE>")]
    steps = ["▁<", "▁<P", "▁<PR", "▁<PRE", "▁<PRE>"]
    pieces += [(step, -2.0 - place, 1) for place, step in enumerate(steps)]
    assert ["▁<PRE", ">"] in merged_pieces(pieces, ())["merges"]
    merges = merged_pieces(pieces, {"▁<PRE>"})["merges"]
    assert ["▁<PR", "E"] in merges
    assert all("".join(merge) != "▁<PRE>" for merge in merges)


def _texts() -> list[str]:
    return [*TEXTS, *(file.read_text(encoding="utf-8") for file in SOURCES)]


def _heard(tokens: Tokens, text: str) -> list[int]:
    """Encode a text of which the vocabulary may lack ▁, a character of its own."""
    if "▁" not in text:
        return tokens.encode(text)
    with pytest.warns(RefactEdgeWarning, match=r"no token for the characters U\+2581"):
        return tokens.encode(text)


def test_ids_are_those_of_sentencepiece_itself(model: Path) -> None:
    tokens, before, specials = _converted(model)
    own = sentencepiece.SentencePieceProcessor(model_file=str(model))
    assert before == " "
    for text in _texts():
        if any(special in text for special in SPECIALS):
            continue  # which the library takes for the symbols themselves
        ids = _heard(tokens, before + text) if text else []
        assert ids == own.encode(text)
        assert not set(ids) & set(specials)


def test_text_comes_back_as_it_was(model: Path) -> None:
    tokens, *_ = _converted(model)
    for text in _texts():
        if "▁" not in text:
            assert tokens.decode(tokens.encode(text)) == text
            stream = Utf8Stream(tokens)
            assert "".join(map(stream.push, tokens.encode(text))) == text


def test_no_text_spells_a_special_token(model: Path) -> None:
    tokens, _, specials = _converted(model)
    for text in ("<hole>", "a <hole>b", "<s>", "</s>", "<unk>"):
        assert not set(tokens.encode(text)) & set(specials)
        assert tokens.decode(tokens.encode(text)) == text


def test_ids_by_line_are_those_of_the_whole_text(model: Path) -> None:
    tokens, *_ = _converted(model)
    for text in _texts():
        if "▁" not in text:
            assert tokens.encode(text) == tokens._encode(text)


def test_a_broken_word_is_healed_over_its_blank(model: Path) -> None:
    tokens, _, specials = _converted(model)
    *_, last = tokens.encode("    return tok")
    spelling = tokens.to_bytes(last)
    healing = Healing(spelling, tokens, Spellings(tokens, specials))
    allowed = healing.allowed([])
    assert allowed is not None
    assert last in allowed
    starts = {tokens.to_bytes(token) for token in map(int, allowed)}
    assert all(one.startswith(spelling) or spelling.startswith(one) for one in starts)
    assert not set(map(int, allowed)) & set(specials)


_RARE = {"character_coverage": 0.99, "required_chars": "<>/"}


def test_a_vocabulary_in_which_text_spells_special_tokens_is_refused(tmp_path: Path) -> None:
    _train(tmp_path, "unigram", byte_fallback=False, character_coverage=0.98)
    problems: list[str] = []
    check_tokenizer(tmp_path / "tokenizer.json", (PLAIN, CODELLAMA), {}, problems)
    assert "tokenizer.json: <hole> is a special token, and text can spell it" in problems


def test_a_vocabulary_without_bytes_tells_what_it_loses(tmp_path: Path) -> None:
    model = _train(tmp_path, "unigram", byte_fallback=False, **_RARE)
    tokens, *_ = _converted(model)
    with pytest.warns(RefactEdgeWarning, match=r"no token for the characters U\+6F22"):
        assert "漢" not in tokens.decode(tokens.encode("a 漢"))


def test_a_model_without_a_blank_before_texts_has_none(tmp_path: Path) -> None:
    model = _train(tmp_path, "bpe", add_dummy_prefix=False)
    tokens, before, _ = _converted(model)
    own = sentencepiece.SentencePieceProcessor(model_file=str(model))
    assert before == ""
    assert tokens.encode("def add") == own.encode("def add")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda data: b"", "has no pieces; download it again"),
        (lambda data: b"\xff" + data, "is no SentencePiece model"),
        (lambda data: data[:-1], "is no SentencePiece model"),
    ],
)
def test_what_is_no_model_is_refused(
    spoil: Callable[[bytes], bytes], complaint: str, model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tokenizer.model"
    file.write_bytes(spoil(model.read_bytes()))
    with pytest.raises(CheckpointError, match=complaint):
        tokenizer_json(file, (), (), [])


def test_a_table_of_characters_is_left_out_and_told(tmp_path: Path) -> None:
    model = _train(tmp_path, "unigram", normalization_rule_name="nmt_nfkc")
    notes: list[str] = []
    content = tokenizer_json(model, (), (), notes)
    assert notes == ["tokenizer.model: its table of characters is left out: text stays as written"]
    assert "Precompiled" not in json.dumps(content)


def test_pieces_of_which_no_tokenizer_can_be_made_are_refused() -> None:
    pieces = [("<unk>", 0.0, 2), ("x" * 300, -1.0, 1)]
    with pytest.raises(CheckpointError, match="a piece of 300 characters, expected 256"):
        check_pieces(Path("tokenizer.model"), pieces)
    with pytest.raises(CheckpointError, match="no piece for what is unknown"):
        check_pieces(Path("tokenizer.model"), [("a", 0.0, 1)])


def test_a_model_that_takes_blanks_away_is_refused(tmp_path: Path) -> None:
    model = _train(tmp_path, "bpe", remove_extra_whitespaces=True)
    with pytest.raises(CheckpointError, match="removes blanks from text; code needs them all"):
        tokenizer_json(model, (), (), [])


@pytest.mark.parametrize(
    "name", ["tokenizer.model.v1", "mistral_instruct_tokenizer_240216.model.v2"]
)
def test_mistrals_tokenizers_give_the_same_ids(name: str, tmp_path: Path) -> None:
    data = pytest.importorskip("mistral_common", reason="mistral-common is not installed").__path__[
        0
    ]
    published = Path(data) / "data" / name
    if not published.exists():
        pytest.skip(f"this version of mistral-common has no {name}")
    model = tmp_path / "tokenizer.model"
    model.write_bytes(published.read_bytes())
    tokens, before, _ = _converted(model)
    own = sentencepiece.SentencePieceProcessor(model_file=str(model))
    for text in _texts():
        if "▁" not in text and text:
            assert tokens.encode(before + text) == own.encode(text)


def test_the_tokens_of_a_model_type_stand_behind_the_pieces(model: Path) -> None:
    content = tokenizer_json(model, (), ("[gMASK]", "sop"), [])
    ids = {token["content"]: token["id"] for token in content["added_tokens"]}
    assert (ids["[gMASK]"], ids["sop"]) == (700, 701)
    json.dumps(content)
