"""A tokenizer.model of SentencePiece as a tokenizer.json.

The file is read as the data that it is, a protocol buffer; see `sentencepiece_model.proto` there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runtime.errors import CheckpointError, MissingExtraError, one_line
from ..runtime.text.pieces import BLANK
from .pieces import added_token, pieces_pipeline

NAMES = ("tokenizer.model", "spiece.model")
# Special tokens that a model's own code puts behind the pieces, by its type.
MORE_TOKENS: Mapping[str, tuple[str, ...]] = {
    "chatglm": ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"),
}
_UNIGRAM, _BPE = 1, 2  # of TrainerSpec.ModelType
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # of SentencePiece.Type
_LONGEST = 256  # characters of a piece; published ones have 16, and runs of blanks some more
# Of pieces that text must not spell, where pieces are chosen by their scores: no text is worth it.
_NEVER = -1e4


def model_file(folder: Path) -> Path | None:
    """Return the tokenizer.model of a checkpoint that has no tokenizer.json."""
    if (folder / "tokenizer.json").exists():
        return None
    return next((folder / name for name in NAMES if (folder / name).exists()), None)


def tokenizer_json(
    file: Path, specials: Collection[str], more: Collection[str], notes: list[str]
) -> dict[str, Any]:
    """Return the tokenizer.json of a tokenizer.model.

    `specials` are pieces that are special tokens whatever the file calls them; `more` are special
    tokens behind the pieces. What is left out is appended to `notes`.

    Raises:
        CheckpointError: when the file is none, or of another kind than BPE or Unigram.
        MissingExtraError: when sentencepiece is not installed.

    """
    model = _read(file)
    kind, rules = model.trainer_spec.model_type, model.normalizer_spec
    if kind not in (_UNIGRAM, _BPE):
        raise CheckpointError(f"{file} is of kind {kind}, expected 1 (Unigram) or 2 (BPE)")
    if rules.remove_extra_whitespaces:
        raise CheckpointError(f"{file} removes blanks from text; code needs them all")
    if rules.precompiled_charsmap:
        notes.append(f"{file.name}: its table of characters is left out: text stays as written")
    pieces = [(piece.piece, piece.score, piece.type) for piece in model.pieces]
    check_pieces(file, pieces)
    fallback = bool(model.trainer_spec.byte_fallback)
    added = added_pieces(pieces, specials, fallback=fallback)
    added += [added_token(len(pieces) + i, text, special=True) for i, text in enumerate(more)]
    never = {token["content"] for token in added if token["special"]}
    build = merged_pieces if kind == _BPE else _unigram
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        **pieces_pipeline(prepends=rules.add_dummy_prefix),
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": BLANK}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": build(pieces, never, fallback=fallback),
    }


def _read(file: Path) -> Any:
    try:
        from google.protobuf.message import DecodeError
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        raise MissingExtraError(f"{file.name} is read by sentencepiece, which", "export") from error
    model = sentencepiece_model_pb2.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise CheckpointError(
            f"{file} is no SentencePiece model ({one_line(error)}); download it again"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    if not model.pieces:
        raise CheckpointError(f"{file} has no pieces; download it again")
    return model


Piece = tuple[str, float, int]  # its text, its score and its type


def check_pieces(file: Path, pieces: Sequence[Piece]) -> None:
    """Refuse pieces of which no tokenizer can be made.

    Raises:
        CheckpointError: when one is too long, or none is for what is unknown.

    """
    longest = max(len(text) for text, _, _ in pieces)
    if longest > _LONGEST:
        raise CheckpointError(f"{file} has a piece of {longest} characters, expected {_LONGEST}")
    if all(of != UNKNOWN for _, _, of in pieces):
        raise CheckpointError(f"{file} has no piece for what is unknown; download it again")


def added_pieces(
    pieces: Sequence[Piece], specials: Collection[str], *, fallback: bool
) -> list[dict[str, Any]]:
    """Return the pieces that are found in text before others: special ones, and users' symbols.

    Without `fallback` to bytes, the piece of what is unknown is what any text may have.
    """
    never = (CONTROL, UNKNOWN) if fallback else (CONTROL,)
    return [
        added_token(i, text, special=of in never or text in specials)
        for i, (text, _, of) in enumerate(pieces)
        if of in (*never, USER_DEFINED) or text in specials
    ]


def merged_pieces(
    pieces: Sequence[Piece], never: Collection[str], *, fallback: bool = True
) -> dict[str, Any]:
    """Return a BPE whose merges yield the pieces in the order of their scores, but those `never`.

    SentencePiece merges any two neighbours that are a piece together, the one of the best score
    first; so each way to cut a piece in two is a merge, of the piece's rank.
    """
    ids = {text: i for i, (text, _, _) in enumerate(pieces)}
    normal = {text: score for text, score, of in pieces if of == NORMAL and text not in never}
    merges: list[list[str]] = []
    for text in sorted(normal, key=lambda text: (-normal[text], ids[text])):
        cuts = [(text[:i], text[i:]) for i in range(1, len(text))]
        pairs = [pair for pair in cuts if pair[0] in normal and pair[1] in normal]
        merges += [list(pair) for pair in sorted(pairs, key=lambda pair: ids[pair[0]])]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": next(text for text, _, of in pieces if of == UNKNOWN),
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": fallback,
        "ignore_merges": False,
        "vocab": ids,
        "merges": merges,
    }


def _unigram(pieces: Sequence[Piece], never: Collection[str], *, fallback: bool) -> dict[str, Any]:
    scored = [
        [text, _NEVER if of in (BYTE, UNUSED, UNKNOWN) or text in never else score]
        for text, score, of in pieces
    ]
    unknown = next(i for i, (_, _, of) in enumerate(pieces) if of == UNKNOWN)
    return {"type": "Unigram", "unk_id": unknown, "vocab": scored, "byte_fallback": fallback}
