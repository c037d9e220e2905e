"""From a body's bytes to a request's shape."""

from __future__ import annotations

import re

from pydantic import ValidationError

from .errors import HttpError
from .framing import Shape
from .mistakes import what_is_wrong

# JavaScript's strings may hold half of a character beyond U+FFFF, where an editor cut it, and are
# sent with it as an escape. Escapes are read one after the other, as a \\ may stand before a u.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."
)
_REPLACED = rb"\ufffd"


def shaped(shape: type[Shape], body: bytes | bytearray, name: str) -> Shape:
    """Return the shape of a request to the model of that name; no body is an empty object.

    Raises:
        HttpError: when it is no such object; tells what is wrong with it.

    """
    content = whole_characters(body) or b"{}"
    try:
        return shape.model_validate_json(content)
    except ValidationError as error:
        raise HttpError(400, what_is_wrong(error, content, name)) from error


def whole_characters(content: bytes | bytearray) -> bytes | bytearray:
    """Return JSON in which U+FFFD stands for each half of a character that lacks the other."""
    if _HALF.search(content) is None:
        return content
    return _ESCAPE.sub(lambda match: _REPLACED if match[1] else match[0], content)
