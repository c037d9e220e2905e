"""Text to ids and back."""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from ..annotated import checked
from ..bundle.limits import SPECIAL_TOKENS
from ..errors import BundleError, OptionError, RefactEdgeWarning, one_line
from .alphabet import alphabet_of
from .lines import Lines
from .pipelines import line_cut, pipeline_problems, read_tokenizer


class Tokens:
    """The tokenizer of a bundle.

    `encode` never yields a special token, whatever the text says; `encode_special` parses them.
    The tokenizers library keeps that choice as state of the object, hence two objects.
    """

    def __init__(self, file: Path, content: bytes | None = None) -> None:
        """Read tokenizer.json, or what it is to hold.

        Raises:
            BundleError: when it cannot be read, or is no pipeline that the runtime reads.

        """
        try:
            # Kept for the second object: the file may be gone, or another one, when it is made.
            self._file, self._content = file, content or file.read_bytes()
        except OSError as error:
            raise BundleError(f"{file} cannot be read: {error.strerror}") from error
        self._plain = self._read()
        self._plain.encode_special_tokens = True
        self._alphabet = alphabet_of(self._plain)
        # Special tokens are written as they are, and not by the alphabet.
        self._added: dict[int, bytes] = {
            token_id: content.encode() if special else self._alphabet.added(content)
            for token_id, content, special in (
                (token_id, added.content, added.special)
                for token_id, added in self._plain.get_added_tokens_decoder().items()
            )
        }
        cut = line_cut(self._plain)
        self._by_line = Lines(self._encode, cut).encode if cut else self._encode

    @cached_property
    def size(self) -> int:
        """Number of ids, special ones included."""
        return int(self._plain.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Return the ids of user text; specials in it stay text.

        Warns where the vocabulary cannot hold the text: the model reads less than there is.
        """
        return self._by_line(_whole(text))

    @checked
    def count(self, text: str) -> int:
        """Return how many tokens a text has, as user text: specials in it stay text."""
        return len(self.encode(text))

    def encode_special(self, text: str) -> list[int]:
        """Return the ids of `text` with special tokens in it parsed."""
        return list(self._special.encode(_whole(text), add_special_tokens=False).ids)

    def _encode(self, text: str) -> list[int]:
        ids = self._ids(text)
        if lost := self._alphabet.lost(text, lambda: b"".join(map(self.to_bytes, ids))):
            warnings.warn(
                f"the model's vocabulary has no token for {lost}: it reads the text otherwise",
                RefactEdgeWarning,
                stacklevel=2,
            )
        return ids

    def _ids(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    @cached_property
    def _special(self) -> Tokenizer:
        """A second object, which takes as long to make as the first and is seldom needed."""
        return self._read()

    def _read(self) -> Tokenizer:
        try:
            # By its bytes, as the library takes no file names but those of UTF-8.
            tokenizer = read_tokenizer(self._content)
        except ValueError as error:
            raise BundleError(
                f"{self._file} is not a readable tokenizer ({one_line(error)})"
            ) from error
        if problems := pipeline_problems(tokenizer):
            raise BundleError(
                f"{self._file} is no tokenizer that this runtime reads: "
                f"{one_line('; '.join(problems), 400)}; export the model again",
                problems=problems,
            )
        return tokenizer

    def check_specials(self, ids: Collection[int]) -> None:
        """Make sure that no text can spell one of these special tokens.

        Raises:
            BundleError: when one is not there, or text with its name encodes to it, or they are
                too many to check.

        """
        if len(ids) > SPECIAL_TOKENS:
            raise BundleError(
                f"the manifest names {len(ids)} special tokens, expected {SPECIAL_TOKENS} at most; "
                "export the model again"
            )
        for special in ids:
            name = self._plain.id_to_token(special) if 0 <= special < self.size else None
            if name is None or special in self._ids(name):
                raise BundleError(
                    f"tokenizer.json: token {special} ({one_line(name)}) is not a special token "
                    "that text cannot spell; export the model again"
                )

    def check_ids(self, ids: Iterable[int]) -> None:
        """Make sure that these are ids.

        Raises:
            OptionError: when one is not.

        """
        for token in ids:
            if not 0 <= token < self.size:
                raise OptionError(f"token {token}; expected ids from 0 to {self.size - 1}")

    def id_of(self, token: str) -> int | None:
        """Return the id of one token, or None."""
        token_id = self._plain.token_to_id(token)
        return None if token_id is None else int(token_id)

    def to_bytes(self, token_id: int) -> bytes:
        """Return the bytes of one token; a token outside the byte alphabet counts as text."""
        if (added := self._added.get(token_id)) is not None:
            return added
        return self._alphabet.spelling(self._plain.id_to_token(token_id) or "")

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, never cleaned up; broken UTF-8 becomes U+FFFD."""
        return b"".join(map(self.to_bytes, ids)).decode("utf-8", "replace")


def _whole(text: str) -> str:
    """Replace lone surrogates, which an editor's or a shell's bytes can leave in a str."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Utf8Stream:
    """Decodes tokens one by one and holds back the bytes of an unfinished character."""

    def __init__(self, tokens: Tokens, skip: int = 0) -> None:
        """Leave out the first `skip` bytes."""
        self._tokens, self._skip = tokens, skip
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """Return the characters that this token completes."""
        spelling = self._tokens.to_bytes(token_id)
        rest = spelling[self._skip :]
        self._skip = max(0, self._skip - len(spelling))
        return self._decoder.decode(rest)
