"""The cursor: what stands before and after it, as a value and as found in a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..annotated import check_fields
from ..errors import OptionError, PromptError

OpenFile = tuple[str, str]  # file name and text


@dataclass(frozen=True)
class Cursor:
    """A cursor in a file, and what else is open in the editor.

    Args:
        prefix: the file up to the cursor.
        suffix: the file from the cursor on.
        extra: other open files as (name, text), the most important first.
        filename: name of the file itself, used only beside `extra`.
        order: spm (suffix first) or psm; None takes the model's default.
        multiline: False completes the cursor's line only: the model does not see what follows the
            cursor on it, and the text ends before the next line.

    Raises:
        OptionError: when a value is of another type.

    """

    prefix: str
    suffix: str = ""
    extra: Sequence[OpenFile] = ()
    filename: str = ""
    order: str | None = None
    multiline: bool = True

    def __post_init__(self) -> None:
        check_fields(self)


def decode_text(data: bytes, name: str) -> str:
    """Return UTF-8 bytes as text, without a byte order mark; line ends stay as they are.

    Raises:
        PromptError: when `data` is not UTF-8; says where.

    """
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise PromptError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}; "
            "convert it first"
        ) from error


def split_at(text: str, line: int, column: int, name: str) -> tuple[str, str]:
    """Return the text before and after a cursor; line and column count from 1, in characters.

    Raises:
        PromptError: when the text has no such line or column.

    """
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        raise PromptError(f"line {line} is outside {name}; expected 1 to {len(lines)}")
    content = lines[line - 1].removesuffix("\r")
    if not 1 <= column <= len(content) + 1:
        raise PromptError(
            f"column {column} is outside line {line} of {name}; expected 1 to {len(content) + 1}"
        )
    at = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
    return text[:at], text[at:]


def split_marker(text: str, marker: str, name: str) -> tuple[str, str]:
    """Return the text before and after the marker that stands for the cursor.

    Raises:
        OptionError: when the marker is empty.
        PromptError: when it does not occur exactly once.

    """
    if not marker:
        raise OptionError("the cursor marker is empty; expected some text")
    count = text.count(marker)
    if count != 1:
        raise PromptError(
            f"{name} holds {marker} {count} times; expected it once, at the "
            "cursor (or name a FILE with --line and --column)"
        )
    before, _, after = text.partition(marker)
    return before, after
