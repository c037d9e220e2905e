"""A file as an answer. It may have been moved away since the server began."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response

from .errors import FileGoneError


async def file_response(
    file: Path, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a file's content.

    Raises:
        FileGoneError: when it cannot be read.

    """
    try:
        content = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise _gone(file, error) from error
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
