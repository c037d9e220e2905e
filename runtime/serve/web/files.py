"""A file as an answer. It may have been moved away since the server began."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from starlette.responses import Response

from .errors import FileGoneError

_ahead: dict[Path, bytes] = {}


def read_ahead(files: Iterable[Path]) -> None:
    """Keep what files hold, as they will be out of reach: those are answers of later."""
    _ahead.update((file, file.read_bytes()) for file in files)


async def file_response(
    file: Path,
    media_type: str,
    headers: Mapping[str, str] | None = None,
    sha256: str | None = None,
) -> Response:
    """Return a file's content, which must have a `sha256` where one is given.

    Raises:
        FileGoneError: when it cannot be read, or holds something else.

    """
    try:
        content = _ahead[file] if file in _ahead else await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise _gone(file, error) from error
    # It may be another file by now, or a link to one that is no caller's business.
    if sha256 and (await asyncio.to_thread(hashlib.sha256, content)).hexdigest() != sha256:
        raise FileGoneError(f"{file} was altered: its sha256 is not the manifest's; put it back")
    return Response(content, headers=headers, media_type=media_type)


def written_s(file: Path) -> float:
    """Return when a file was written last, in seconds since 1970.

    Raises:
        FileGoneError: when it is not there.

    """
    try:
        return file.stat().st_mtime
    except OSError as error:
        raise _gone(file, error) from error


def _gone(file: Path, error: OSError) -> FileGoneError:
    return FileGoneError(f"{file} cannot be read: {error.strerror}; put it back")
