"""A signature holds for the bytes that it was made of, and for no others."""

from __future__ import annotations

import struct
from hashlib import sha256

from release.signature import why_not_signed

PAGE = 4096
CONTENT = bytes(range(256)) * 40  # two pages and a half


def _signed(content: bytes, *, flags: int = 0x20002, limit: int | None = None) -> bytes:
    """Return `content` behind which stands an ad-hoc signature of it, as linkers write it."""
    limit = len(content) if limit is None else limit
    hashes = [sha256(content[i : i + PAGE]).digest() for i in range(0, len(content), PAGE)]
    header = struct.pack(
        ">9I4BI", 0xFADE0C02, 44 + 32 * len(hashes), 0x20400, flags, 44, 0, 0, len(hashes), limit,
        32, 2, 0, 12, 0,
    )  # fmt: skip
    directory = header + b"".join(hashes)
    return content + struct.pack(">5I", 0xFADE0CC0, 20 + len(directory), 1, 0, 20) + directory


def test_a_signature_of_all_pages_holds() -> None:
    assert why_not_signed(_signed(CONTENT), len(CONTENT)) == ""


def test_a_byte_that_was_changed_after_signing_is_told() -> None:
    for place in (0, PAGE, len(CONTENT) - 1):
        file = bytearray(_signed(CONTENT))
        file[place] ^= 1
        assert "the hashes of 3 pages" in why_not_signed(bytes(file), len(CONTENT))


def test_bytes_that_are_not_signed_are_told() -> None:
    file = _signed(CONTENT, limit=len(CONTENT) - 1)
    assert "bytes are signed, expected all 10240" in why_not_signed(file, len(CONTENT))


def test_another_kind_of_signature_and_none_are_told() -> None:
    assert "expected ad hoc" in why_not_signed(_signed(CONTENT, flags=0), len(CONTENT))
    assert "no signature at 0" in why_not_signed(_signed(CONTENT), 0)
