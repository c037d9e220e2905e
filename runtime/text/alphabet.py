"""The characters by which byte-level BPE writes bytes."""

from __future__ import annotations

from tokenizers import Tokenizer


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
