"""A tokenizer.model of SentencePiece as a tokenizer.json.

The file is read as the data that it is, a protocol buffer; see `sentencepiece_model.proto` there.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..runtime.errors import CheckpointError, MissingExtraError, one_line
from ..runtime.text.pieces import BLANKS_ONLY

NAMES = ("tokenizer.model", "spiece.model")
# Special tokens that a model's own code puts behind the pieces, by its type.
MORE_TOKENS: Mapping[str, tuple[str, ...]] = {
    "chatglm": ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"),
}
_UNIGRAM, _BPE = 1, 2  # of TrainerSpec.ModelType
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # of SentencePiece.Type
# Of pieces that text must not spell, where pieces are chosen by their scores: no text is worth it.
_NEVER = -1e4


def model_file(folder: Path) -> Path | None:
    """Return the tokenizer.model of a checkpoint that has no tokenizer.json."""
    if (folder / "tokenizer.json").exists():
        return None
    return next((folder / name for name in NAMES if (folder / name).exists()), None)


def tokenizer_json(file: Path, specials: Collection[str], more: Collection[str]) -> dict[str, Any]:
    """Return the tokenizer.json of a tokenizer.model.

    `specials` are pieces that are special tokens whatever the file calls them; `more` are special
    tokens behind the pieces.

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
    pieces = [(piece.piece, piece.score, piece.type) for piece in model.pieces]
    fallback = bool(model.trainer_spec.byte_fallback)
    # Without bytes, the unknown piece is what any text may have.
    never = (CONTROL, UNKNOWN) if fallback else (CONTROL,)
    added = [
        {"id": i, "content": text, "special": of in never or text in specials}
        for i, (text, _, of) in enumerate(pieces)
        if of in (*never, USER_DEFINED) or text in specials
    ]
    added += [
        {"id": len(pieces) + i, "content": text, "special": True} for i, text in enumerate(more)
    ]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    steps = [BLANKS_ONLY]
    if rules.add_dummy_prefix:
        steps.insert(0, {"type": "Prepend", "prepend": "\u2581"})
    if rules.precompiled_charsmap:
        table = base64.b64encode(rules.precompiled_charsmap).decode()
        steps.insert(0, {"type": "Precompiled", "precompiled_charsmap": table})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**token, **flags} for token in added],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": merged_pieces(pieces) if kind == _BPE else _unigram(pieces, added, fallback),
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


def merged_pieces(pieces: list[Piece]) -> dict[str, Any]:
    """Return a BPE whose merges yield the pieces in the order of their scores.

    SentencePiece merges any two neighbours that are a piece together, the one of the best score
    first; so each way to cut a piece in two is a merge, of the piece's rank.
    """
    ids = {text: i for i, (text, _, _) in enumerate(pieces)}
    normal = {text: score for text, score, of in pieces if of == NORMAL}
    merges: list[list[str]] = []
    for text in sorted(normal, key=lambda text: (-normal[text], ids[text])):
        cuts = [(text[:i], text[i:]) for i in range(1, len(text))]
        pairs = [pair for pair in cuts if pair[0] in normal and pair[1] in normal]
        merges += [list(pair) for pair in sorted(pairs, key=lambda pair: ids[pair[0]])]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": _unknown(pieces),
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": True,
        "ignore_merges": False,
        "vocab": ids,
        "merges": merges,
    }


def _unigram(pieces: list[Piece], added: list[dict[str, Any]], fallback: bool) -> dict[str, Any]:
    never = {token["content"] for token in added if token["special"]}
    scored = [
        [text, _NEVER if of in (BYTE, UNUSED, UNKNOWN) or text in never else score]
        for text, score, of in pieces
    ]
    unknown = next(i for i, (_, _, of) in enumerate(pieces) if of == UNKNOWN)
    return {"type": "Unigram", "unk_id": unknown, "vocab": scored, "byte_fallback": fallback}


def _unknown(pieces: list[Piece]) -> str | None:
    return next((text for text, _, of in pieces if of == UNKNOWN), None)
