"""Whether a Mach-O library has the ad-hoc signature without which macOS on ARM loads none.

The layout is of Apple's `cs_blobs.h`: a SuperBlob of blobs, one of which is the CodeDirectory with
a hash of each page of the file before the signature. Numbers are big-endian. No library that we
know of recomputes the hashes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256

_SUPER_BLOB, _CODE_DIRECTORY, _SHA256, _AD_HOC = 0xFADE0CC0, 0xFADE0C02, 2, 0x2


@dataclass(frozen=True)
class _Directory:
    """What a CodeDirectory says of the file that it signs."""

    flags: int
    hashes: list[bytes]
    limit: int  # bytes that are signed
    page: int  # bytes of a page
    kind: int  # of the hashes


def why_not_signed(file: bytes, offset: int) -> str:
    """Return what is wrong with the signature at `offset` of `file`; nothing when it holds."""
    magic, _, count = struct.unpack_from(">3I", file, offset)
    if magic != _SUPER_BLOB:
        return f"no signature at {offset}: {magic:#x}, expected {_SUPER_BLOB:#x}"
    blobs = [offset + struct.unpack_from(">2I", file, offset + 12 + 8 * i)[1] for i in range(count)]
    at = [blob for blob in blobs if struct.unpack_from(">I", file, blob)[0] == _CODE_DIRECTORY]
    if len(at) != 1:
        return f"{len(at)} code directories, expected 1"
    says = _read_directory(file, at[0])
    if not says.flags & _AD_HOC or says.kind != _SHA256:
        return f"flags {says.flags:#x}, hashes of kind {says.kind}; expected ad hoc, SHA-256"
    if says.limit != offset:
        return f"{says.limit} bytes are signed, expected all {offset} before the signature"
    ends = [*range(says.page, says.limit, says.page), says.limit]
    hashes = [sha256(file[(end - 1) // says.page * says.page : end]).digest() for end in ends]
    if hashes != says.hashes:
        return f"the hashes of {len(ends)} pages are not those of the signature"
    return ""


def _read_directory(file: bytes, at: int) -> _Directory:
    _, _, _, flags, hashes, _, _, count, limit = struct.unpack_from(">9I", file, at)
    size, kind, _, page = struct.unpack_from(">4B", file, at + 36)
    slots = [file[at + hashes + size * i :][:size] for i in range(count)]
    return _Directory(flags, slots, limit, 1 << page, kind)
