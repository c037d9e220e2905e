"""What tokens spell: bytes of text, in the characters of byte-level BPE or as pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tokenizers import Tokenizer

from .pieces import has_pieces, piece_bytes


def _byte_alphabet() -> dict[str, int]:
    """Return the bytes that the characters of byte-level BPE tokens stand for.

    Printable Latin-1 characters stand for themselves and the other bytes, in order, for the
    characters from 256 on (Radford et al. 2019).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_ALPHABET = _byte_alphabet()
UNASSIGNED = frozenset({0xF1, 0xF2})  # first bytes of planes of Unicode that have no characters
_IN_NO_TEXT = {0xC0, 0xC1, *range(0xF5, 0x100)}  # bytes that UTF-8 never has


def missing_bytes(tokenizer: Tokenizer) -> frozenset[int]:
    r"""Return the bytes of text for which a vocabulary has no token.

    Tokens are made of them by merging, so the text loses such a byte: SmolLM2 has none for 8 bytes,
    and reads "a\x04b" as "ab".
    """
    return frozenset(
        byte
        for character, byte in BYTE_ALPHABET.items()
        if byte not in _IN_NO_TEXT and tokenizer.token_to_id(character) is None
    )


class Alphabet(Protocol):
    """How a vocabulary writes bytes of text."""

    def spelling(self, token: str) -> bytes:
        """Return the bytes that a token stands for."""

    def added(self, content: str) -> bytes:
        """Return the bytes that an added token stands for, which is no special one."""

    def lost(self, text: str, spelling: Callable[[], bytes]) -> str:
        """Say what the vocabulary cannot hold of a text whose ids have that spelling; "" if all."""


class _ByteLevel:
    """A character a byte."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._missing = missing_bytes(tokenizer)

    def spelling(self, token: str) -> bytes:
        """See `Alphabet`; a token that is outside of the characters is text."""
        try:
            return bytes(BYTE_ALPHABET[character] for character in token)
        except KeyError:
            return token.encode()

    def added(self, content: str) -> bytes:
        """See `Alphabet`; it is found in text before that is cut into words."""
        return content.encode()

    def lost(self, text: str, spelling: Callable[[], bytes]) -> str:
        """See `Alphabet`."""
        del spelling
        content = text.encode() if self._missing else b""
        lost = sorted(byte for byte in self._missing if byte in content)
        return "the bytes " + " ".join(f"{byte:02x}" for byte in lost) if lost else ""


class _Pieces:
    """Pieces of text, or single bytes."""

    def spelling(self, token: str) -> bytes:
        """See `Alphabet`."""
        return piece_bytes(token)

    def added(self, content: str) -> bytes:
        """See `Alphabet`; it is a piece as any."""
        return piece_bytes(content)

    def lost(self, text: str, spelling: Callable[[], bytes]) -> str:
        """See `Alphabet`."""
        content = spelling()
        if text.encode() == content:
            return ""
        read = set(content.decode("utf-8", "replace"))
        signs = " ".join(sorted(f"U+{ord(sign):04X}" for sign in set(text) - read)[:5])
        return f"the characters {signs}" if signs else "some characters"


def alphabet_of(tokenizer: Tokenizer) -> Alphabet:
    """Return how a tokenizer's vocabulary writes bytes."""
    return _Pieces() if has_pieces(tokenizer) else _ByteLevel(tokenizer)
