"""Lines and positions as the protocol counts them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from lsprotocol import types as lsp
from pygls.workspace import PositionCodec, TextDocument
from pygls.workspace.position_codec import ServerTextPosition

_CACHE = "_refact_edge_lines"  # an attribute of documents


def count_as_the_protocol_does() -> None:
    r"""Have pygls end lines at \n, \r\n and \r alone, and put what is behind a line's end at it.

    It takes Python's `str.splitlines`, which also ends them at form feeds and at U+2028, and then
    every change further down in such a file lands in the wrong place. Of a position behind a line's
    end it makes one on the next line, or before the last sign.
    """
    TextDocument.lines = property(_lines)  # type: ignore[assignment, method-assign]
    PositionCodec.position_from_client_units = _position  # type: ignore[assignment, method-assign]


def cut(source: str) -> tuple[str, ...]:
    """Return the lines of a text with their ends."""
    return tuple(io.StringIO(source, newline=""))


def joined(text: str) -> str:
    r"""Return a text with \n for every line end, which editors take for that of the document."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def within(document: TextDocument, position: lsp.Position) -> lsp.Position | None:
    """Return a position as it is inside of a document: at its line's end where it is behind that.

    None where the document has no such line.
    """
    lines = document.lines
    if position.line < len(lines):
        return document.position_to_client_units(document.position_from_client_units(position))
    ends = not lines or lines[-1] != _content(lines[-1])
    if position.line == len(lines) and ends:  # the empty line behind the last line end
        return lsp.Position(line=position.line, character=0)
    return None


def _content(line: str) -> str:
    return line.rstrip("\r\n")


def _position(
    codec: PositionCodec, lines: Sequence[str], position: lsp.Position
) -> ServerTextPosition:
    """Return where a position is; behind the last line it is the document's end."""
    if position.line >= len(lines):
        return ServerTextPosition(max(0, len(lines) - 1), len(lines[-1]) if lines else 0)
    content, units = _content(lines[position.line]), 0
    for index, sign in enumerate(content):
        if units >= position.character:
            return ServerTextPosition(position.line, index)
        units += codec.impl.code_units_for_char(sign)
    return ServerTextPosition(position.line, len(content))


def _lines(document: TextDocument) -> tuple[str, ...]:
    source = document.source
    cached: tuple[str, tuple[str, ...]] | None = getattr(document, _CACHE, None)
    if cached is None or cached[0] is not source:
        cached = source, cut(source)
        setattr(document, _CACHE, cached)
    return cached[1]
