"""An editor that talks to the language server through the protocol's own client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from language_server import language_server
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

URI = "file:///project/calc.py"
TEXT = "import os\n\n\ndef add(a, b):\n    return \n"
CURSOR = lsp.Position(line=4, character=11)
Reports = list[tuple[Any, Any]]  # of progress: tokens and values


class Editor(LanguageClient):
    """A client that remembers the messages and progress that a server sends."""

    def __init__(self) -> None:
        super().__init__("test-editor", "1")
        self.messages: list[str] = []
        self.reports: Reports = []
        self.settings: object = None

        features: dict[str, Callable[[Any], object]] = {
            lsp.WINDOW_SHOW_MESSAGE: lambda params: self.messages.append(params.message),
            lsp.PROGRESS: lambda params: self.reports.append((params.token, params.value)),
            lsp.WINDOW_WORK_DONE_PROGRESS_CREATE: lambda _: None,
            lsp.WORKSPACE_CONFIGURATION: lambda _: [self.settings],
        }
        for method, answer in features.items():
            self.feature(method)(answer)

    async def complete(
        self, position: lsp.Position = CURSOR, uri: str = URI, **more: Any
    ) -> list[lsp.InlineCompletionItem]:
        """Return what the server would write at a position of a document."""
        kind = lsp.InlineCompletionTriggerKind.Automatic
        result = await self.text_document_inline_completion_async(
            lsp.InlineCompletionParams(
                text_document=lsp.TextDocumentIdentifier(uri=uri),
                position=position,
                context=lsp.InlineCompletionContext(trigger_kind=kind, **more),
            )
        )
        assert isinstance(result, lsp.InlineCompletionList)
        return list(result.items)

    def open(self, text: str = TEXT, uri: str = URI) -> None:
        """Open a document of Python in the editor."""
        item = lsp.TextDocumentItem(uri=uri, language_id="python", version=1, text=text)
        self.text_document_did_open(lsp.DidOpenTextDocumentParams(text_document=item))

    def change(self, start: lsp.Position, end: lsp.Position, text: str, uri: str = URI) -> None:
        """Put `text` in the place of what stands from `start` to `end`."""
        part = lsp.TextDocumentContentChangePartial(
            range=lsp.Range(start=start, end=end), text=text
        )
        name = lsp.VersionedTextDocumentIdentifier(uri=uri, version=2)
        self.text_document_did_change(
            lsp.DidChangeTextDocumentParams(text_document=name, content_changes=[part])
        )


async def begin(
    editor: Editor, settings: object = None, encodings: list[str] | None = None
) -> lsp.InitializeResult:
    """Shake hands as an editor that shows progress; return what the server announces."""
    general = lsp.GeneralClientCapabilities(position_encodings=encodings)
    window = lsp.WindowClientCapabilities(work_done_progress=True)
    workspace = lsp.WorkspaceClientCapabilities(configuration=True)
    result = await editor.initialize_async(
        lsp.InitializeParams(
            capabilities=lsp.ClientCapabilities(
                general=general, window=window, workspace=workspace
            ),
            initialization_options=settings,
        )
    )
    editor.initialized(lsp.InitializedParams())
    return result


async def end(editor: Editor) -> None:
    """Have the server shut down and leave, within 10 seconds."""
    await editor.shutdown_async(None)
    editor.exit(None)
    stopped = editor.stop()  # type: ignore[no-untyped-call] # pygls leaves it untyped
    await asyncio.wait_for(stopped, 10)


@asynccontextmanager
async def editing(
    bundle: Path,
    settings: object = None,
    encodings: list[str] | None = None,
    variant: str = "fp32",
) -> AsyncIterator[tuple[Editor, lsp.InitializeResult]]:
    """Yield a client of a server in this process, and what the server has announced."""
    editor = Editor()
    with language_server(bundle, variant) as port:
        await editor.start_tcp("127.0.0.1", port)
        result = await begin(editor, settings, encodings)
        yield editor, result
        await end(editor)


@asynccontextmanager
async def editing_apart(bundle: Path) -> AsyncIterator[tuple[Editor, lsp.InitializeResult]]:
    """Yield a client of a process that talks through pipes, and what it has announced."""
    editor = Editor()
    command = ["-m", "refact_edge.runtime", "lsp", str(bundle), "--variant", "fp32"]
    await editor.start_io(sys.executable, *command)
    result = await begin(editor)
    yield editor, result
    await end(editor)
