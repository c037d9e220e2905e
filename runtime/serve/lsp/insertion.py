"""Where in a document an editor asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from lsprotocol import types as lsp
from pygls.workspace import TextDocument

from .lines import joined, within


@dataclass(frozen=True)
class Place:
    r"""Where an editor asks: the text around, what is replaced, and what must come first.

    Lines of all texts end with \n.
    """

    prefix: str
    suffix: str
    range: lsp.Range
    chosen: str = ""  # of the editor's own list; the completion goes on from it

    @property
    def one_line(self) -> bool:
        """Whether text follows on the cursor's line."""
        return bool(self.suffix.partition("\n")[0].strip())


def place_of(document: TextDocument, params: lsp.InlineCompletionParams) -> Place | None:
    """Return the place of a request in its document; None where the document has no such place.

    There the editor has a longer document than we do, and an edit would land somewhere else.

    Where something is chosen in the editor's own list, the completion goes on from that.
    """
    info = params.context.selected_completion_info
    here = params.position
    given = lsp.Range(start=here, end=here) if info is None else info.range
    start, end = within(document, given.start), within(document, given.end)
    if start is None or end is None or start > end:
        return None
    before = document.source[: document.offset_at_position(start)]
    after = document.source[document.offset_at_position(end) :]
    chosen = joined(info.text) if info is not None else ""
    return Place(joined(before) + chosen, joined(after), lsp.Range(start=start, end=end), chosen)


def name_of(uri: str) -> str:
    """Return the name of a document's file."""
    return PurePosixPath(unquote(urlsplit(uri).path)).name
