"""What the language server does for an editor: completions, prompts ahead, counts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from ...engine.cancel import CancelToken
from ...errors import BusyError, RefactEdgeError, ReplacedError, one_line
from ...model import Model
from ...stream import Stream, Usage
from ...text.cursor import Cursor
from ...text.limits import Limits
from ..process.parent import end_with
from ..service.settings import Settings
from .insertion import Insertion, insertion_at, name_of
from .lines import joined
from .server import EdgeServer, logger

SECTION = "refactEdge"
ACCEPTED = "refactEdge.accepted"  # the command that an accepted completion brings
ACCEPTANCE = "refactEdge/acceptance"  # the notification, for editors that run no commands
STATISTICS = "refactEdge/statistics"


def create_server(open_model: Callable[[], Model], settings: Settings) -> EdgeServer:
    """Return a server with its features."""
    server = EdgeServer(open_model, settings)
    server.feature(lsp.INITIALIZE)(_initialize)
    server.feature(lsp.INITIALIZED)(_initialized)
    server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)(_configured)
    server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)(_opened)
    server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)(_changed)
    server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)(_closed)
    # Without options the capability is not announced, and clients see nothing.
    options = lsp.InlineCompletionOptions()
    server.feature(lsp.TEXT_DOCUMENT_INLINE_COMPLETION, options)(_complete)
    server.feature(lsp.SHUTDOWN)(_shut_down)
    server.feature(ACCEPTANCE)(_judged)
    server.feature(STATISTICS)(_counted)
    server.command(ACCEPTED)(_accepted)
    return server


def _initialize(ls: EdgeServer, params: lsp.InitializeParams) -> None:
    """Take the settings in the first message, and end with the editor from now on."""
    ls.first_settings = params.initialization_options
    if params.process_id is not None:
        end_with(params.process_id)


def _initialized(ls: EdgeServer, _: lsp.InitializedParams) -> None:
    """Open the model; only from now on may the server send messages."""
    ls.prefer(ls.first_settings)
    ls.later(_load(ls))


async def _load(ls: EdgeServer) -> None:
    """Open the model, with a progress where the editor shows one."""
    window = ls.client_capabilities.window
    shows = window is not None and bool(window.work_done_progress)
    token, progress = "refact-edge-load", ls.work_done_progress
    if shows:
        await progress.create_async(token)
        progress.begin(token, lsp.WorkDoneProgressBegin(title="refact-edge: loading the model"))
    message = "failed"
    try:
        model = await ls.service.model()
        message = f"{model.variant} on {model.device}"
    except RefactEdgeError as error:
        ls.tell(str(error))
    finally:
        if shows:
            progress.end(token, lsp.WorkDoneProgressEnd(message=message))


async def _configured(ls: EdgeServer, params: lsp.DidChangeConfigurationParams) -> None:
    """Take settings that were pushed, or ask for them."""
    workspace, settings = ls.client_capabilities.workspace, params.settings
    if isinstance(settings, dict) and SECTION in settings:
        ls.prefer(settings[SECTION])
    elif workspace is not None and workspace.configuration:
        await _ask_for_settings(ls)
    elif settings and not isinstance(settings, dict):
        ls.warn(f"settings {one_line(repr(settings), 40)}; expected an object with {SECTION}")


async def _ask_for_settings(ls: EdgeServer) -> None:
    item = lsp.ConfigurationItem(section=SECTION)
    try:
        settings = await ls.workspace_configuration_async(lsp.ConfigurationParams(items=[item]))
    except JsonRpcException as error:
        ls.warn(f"the editor does not tell its settings: {error}; nothing was changed")
    else:
        ls.prefer(settings[0] if settings else None)


def _opened(ls: EdgeServer, params: lsp.DidOpenTextDocumentParams) -> None:
    """Evaluate a file ahead as if its end were the cursor: that is most of a prompt."""
    ls.used(params.text_document.uri)
    text = joined(params.text_document.text)
    if ls.preferences.enabled and ls.preferences.read_ahead and text.strip():
        ls.later(_read_ahead(ls, params.text_document.uri, text, ""))


def _changed(ls: EdgeServer, params: lsp.DidChangeTextDocumentParams) -> None:
    ls.used(params.text_document.uri)


def _closed(ls: EdgeServer, params: lsp.DidCloseTextDocumentParams) -> None:
    ls.opened.pop(params.text_document.uri, None)


async def _complete(ls: EdgeServer, params: lsp.InlineCompletionParams) -> lsp.InlineCompletionList:
    """Return one completion at the cursor, or none."""
    none = lsp.InlineCompletionList(items=[])
    if not ls.preferences.enabled:
        return none
    uri = params.text_document.uri
    if uri not in ls.opened:  # pygls would read the file
        return none
    ls.statistics.requests += 1
    document = ls.workspace.get_text_document(uri)
    if (insertion := insertion_at(document, params)) is None:
        return none
    try:
        stream = await _completed(ls, uri, insertion)
    except (ReplacedError, BusyError):  # the editor has sent another one, or will
        return none
    except RefactEdgeError as error:
        ls.tell(str(error))
        return none
    ls.statistics.add(stream.usage)
    if not stream.text.strip():
        return none
    text = insertion.chosen + joined(stream.text)  # a model may write any line end
    ls.statistics.suggestions += 1
    if ls.preferences.read_ahead:
        ls.later(_read_ahead(ls, uri, insertion.prefix + stream.text, insertion.suffix))
    command = lsp.Command(title="accepted", command=ACCEPTED, arguments=[])
    return lsp.InlineCompletionList(
        items=[lsp.InlineCompletionItem(insert_text=text, range=insertion.range, command=command)]
    )


async def _completed(ls: EdgeServer, uri: str, insertion: Insertion) -> Stream:
    preferences = ls.preferences
    one_line = preferences.lines == "one" or (preferences.lines == "auto" and insertion.one_line)
    cursor = Cursor(insertion.prefix, insertion.suffix, ls.others(uri), name_of(uri))
    limits = Limits(
        preferences.max_tokens,
        total_ms=preferences.total_ms or None,
        stop=["\n"] if one_line else None,
    )

    def ask(model: Model, cancel: CancelToken) -> Stream:
        return model.complete_at(
            cursor,
            limits,
            sampling=model.sampling_with(temperature=preferences.temperature),
            cancel=cancel,
        )

    async with ls.service.run([ask], client=uri) as run, aclosing(aiter(run)) as pieces:
        async for _ in pieces:
            pass
        return run.streams[0]


async def _read_ahead(ls: EdgeServer, uri: str, prefix: str, suffix: str) -> None:
    cursor = Cursor(prefix, suffix, ls.others(uri), name_of(uri))
    max_tokens = ls.preferences.max_tokens

    def warm(model: Model, cancel: CancelToken) -> Usage:
        return model.warm_at(cursor, max_tokens, cancel=cancel)

    try:
        await ls.service.warm(warm)
    except RefactEdgeError as error:  # a request, or the opening, tells its user
        logger.info("not evaluated ahead: %s", error)


def _judged(ls: EdgeServer, params: Any) -> None:
    """Count what became of a completion: `{"accepted": true}`."""
    accepted = params.get("accepted") if isinstance(params, dict) else None
    if accepted is True:
        ls.statistics.accepted += 1
    elif accepted is False:
        ls.statistics.rejected += 1
    else:
        value = one_line(repr(params), 40)
        ls.tell(f'{ACCEPTANCE}: {value}; expected {{"accepted": true}} or false')


def _accepted(ls: EdgeServer, *_: Any) -> None:
    ls.statistics.accepted += 1


def _counted(ls: EdgeServer, _: Any = None) -> dict[str, int]:
    return ls.statistics.as_json()


def _shut_down(ls: EdgeServer, _: Any = None) -> None:
    ls.end_all()
