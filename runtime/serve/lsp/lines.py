"""Lines as the protocol counts them."""

from __future__ import annotations

import io

from pygls.workspace import TextDocument

_KEPT = "_refact_edge_lines"


def count_lines_as_the_protocol_does() -> None:
    r"""Have pygls end lines at \n, \r\n and \r alone.

    It takes Python's `str.splitlines`, which also ends them at form feeds and at U+2028, and then
    every change further down in such a file lands in the wrong place.
    """
    TextDocument.lines = property(_lines)  # type: ignore[assignment, method-assign]


def cut(source: str) -> tuple[str, ...]:
    """Return the lines of a text with their ends."""
    return tuple(io.StringIO(source, newline=""))


def _lines(document: TextDocument) -> tuple[str, ...]:
    source = document.source
    kept: tuple[str, tuple[str, ...]] | None = getattr(document, _KEPT, None)
    if kept is None or kept[0] is not source:
        kept = source, cut(source)
        setattr(document, _KEPT, kept)
    return kept[1]
