"""Where in a document a completion is inserted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from lsprotocol import types as lsp
from pygls.workspace import TextDocument

from .lines import joined, within


@dataclass(frozen=True)
class Insertion:
    r"""Where a completion goes: the text around it, and the range that it replaces.

    Lines of all texts end with `\n`.
    """

    prefix: str
    suffix: str
    range: lsp.Range
    chosen: str = ""  # in the editor's own list: the completion goes on from it

    @property
    def one_line(self) -> bool:
        """Whether text follows on the cursor's line."""
        return bool(self.suffix.partition("\n")[0].strip())


def insertion_at(document: TextDocument, params: lsp.InlineCompletionParams) -> Insertion | None:
    """Return where a request's completion goes; None where the document has no such position.

    There the editor has a longer document than we do, and an edit would land somewhere else.

    Where something is chosen in the editor's own list, the completion goes on from that.
    """
    info = params.context.selected_completion_info
    here = params.position
    selection = lsp.Range(start=here, end=here) if info is None else info.range
    start, end = within(document, selection.start), within(document, selection.end)
    if start is None or end is None or start > end:
        return None
    before = document.source[: document.offset_at_position(start)]
    after = document.source[document.offset_at_position(end) :]
    chosen = joined(info.text) if info is not None else ""
    return Insertion(
        joined(before) + chosen, joined(after), lsp.Range(start=start, end=end), chosen
    )


def name_of(uri: str) -> str:
    """Return the name of a document's file."""
    return PurePosixPath(unquote(urlsplit(uri).path)).name
