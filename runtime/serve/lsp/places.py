"""Where in a document an editor asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from lsprotocol import types as lsp
from pygls.workspace import TextDocument


@dataclass(frozen=True)
class Place:
    """Where an editor asks: the text around, what is replaced, and what must come first."""

    prefix: str
    suffix: str
    range: lsp.Range
    chosen: str = ""  # of the editor's own list; the completion goes on from it

    @property
    def one_line(self) -> bool:
        """Whether text follows on the cursor's line."""
        return bool(self.suffix.partition("\n")[0].strip())


def place_of(document: TextDocument, params: lsp.InlineCompletionParams) -> Place:
    """Return the place of a request in its document.

    Where something is chosen in the editor's own list, the completion goes on from that.
    """
    source = document.source
    info = params.context.selected_completion_info
    if info is None:
        at = document.offset_at_position(_copy(params.position))
        here = lsp.Range(start=params.position, end=params.position)
        return Place(source[:at], source[at:], here)
    start = document.offset_at_position(_copy(info.range.start))
    end = document.offset_at_position(_copy(info.range.end))
    return Place(source[:start] + info.text, source[end:], info.range, info.text)


def _copy(position: lsp.Position) -> lsp.Position:
    """Return a copy: pygls moves positions behind a line's end in place."""
    return lsp.Position(line=position.line, character=position.character)


def name_of(uri: str) -> str:
    """Return the name of a document's file."""
    return PurePosixPath(unquote(urlsplit(uri).path)).name
