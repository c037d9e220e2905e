"""Small tokenizers of each pipeline, byte-level and of pieces, for checkpoints that tests make."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refact_edge.runtime.text.alphabet import BYTE_ALPHABET
from refact_edge.runtime.text.pieces import BLANK, BLANKS_ONLY

_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
KINDS = ("llama", "metaspace", "gemma", "unigram")


def byte_level_json(pipeline: Any, specials: Sequence[str]) -> dict[str, Any]:
    """Return a byte-level BPE with special tokens at the end."""
    alphabet = list(BYTE_ALPHABET)
    merges = list(itertools.islice(itertools.product(alphabet[65:], repeat=2), 100))
    words = [*alphabet, *("".join(pair) for pair in merges)]
    steps = [
        {"trim_offsets": True, **step} if step["type"] == "ByteLevel" else step
        for step in pipeline.steps
    ]
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": len(words) + i, "content": token, **_FLAGS, "special": True}
            for i, token in enumerate(specials)
        ],
        "normalizer": {"type": "NFC"} if pipeline.composes else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "vocab": {word: i for i, word in enumerate(words)},
            "merges": [list(pair) for pair in merges],
        },
    }


@dataclass(frozen=True)
class Pieces:
    """SentencePiece's vocabularies, as files of each kind say it."""

    kind: str  # of KINDS

    def tokenizer_json(self, specials: Sequence[str]) -> dict[str, Any]:
        """Return a tokenizer with special tokens at the end."""
        letters = [BLANK, *map(chr, range(0x21, 0x7F))]
        pairs = [(BLANK, letter) for letter in "abcdefghij"] + [("i", "f"), (BLANK, BLANK)]
        joined = ["".join(pair) for pair in [*pairs, (BLANK * 2, BLANK * 2), (BLANK, "if")]]
        first = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
        more = ["\n", "\n\n"] if self.kind in ("gemma", "unigram") else []
        words = [*first, *letters, *more, *joined]
        ids = {word: i for i, word in enumerate([*words, *specials])}
        normal = words[len(first) :]
        # Every way to cut a piece in two is a merge, as SentencePiece joins any two neighbours.
        cuts = [(word[:i], word[i:]) for word in normal for i in range(1, len(word))]
        merges = [pair for pair in cuts if set(pair) <= set(normal)]
        model: dict[str, Any] = {
            "type": "BPE",
            "vocab": ids,
            "merges": [list(pair) for pair in merges],
            "byte_fallback": True,
            "unk_token": "<unk>",
            "fuse_unk": True,
        }
        if self.kind == "unigram":
            never = {*first, *specials}
            scores = {word: -1e4 if word in never else -10.0 + len(word) for word in ids}
            vocabulary = [[word, score] for word, score in scores.items()]
            model = {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": True}
        normalizer, cut = self._pipeline()
        return {
            "version": "1.0",
            "added_tokens": [
                {"id": ids[token], "content": token, **_FLAGS, "special": True}
                for token in ("<unk>", *specials)
            ],
            "normalizer": normalizer,
            "pre_tokenizer": cut,
            "post_processor": None,
            "decoder": None,
            "model": model,
        }

    def _pipeline(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        prepend = {"type": "Prepend", "prepend": BLANK}
        metaspace = {
            "type": "Metaspace", "replacement": BLANK, "prepend_scheme": "first", "split": False,
        }  # fmt: skip
        split = {
            "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
            "invert": False,
        }  # fmt: skip
        pipelines: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]] = {
            "llama": ({"type": "Sequence", "normalizers": [prepend, BLANKS_ONLY]}, None),
            "metaspace": (None, metaspace),
            "gemma": (BLANKS_ONLY, split),
            "unigram": (BLANKS_ONLY, None),
        }
        return pipelines[self.kind]
