"""The language server, asked by a real client through pipes and over TCP."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from editor import CURSOR, TEXT, Editor, begin, editing, editing_apart, end
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.workspace import TextDocument

import refact_edge
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.serve.lsp.lines import count_as_the_protocol_does, cut, joined


def _expected(bundle: Path, text: str = TEXT, at: int | None = None, **more: Any) -> str:
    model = refact_edge.load(bundle, variant="fp32")
    at = text.index("return ") + len("return ") if at is None else at
    stream = model.complete(
        text[:at], text[at:], filename="calc.py", max_tokens=48, sampling=GREEDY, **more
    )
    return "".join(stream)


async def _until(holds: Callable[[], object]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def _run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))


def test_a_completion_is_the_librarys_and_announced(demo_bundle: Path) -> None:
    async def work() -> None:
        async with editing_apart(demo_bundle) as (editor, result):
            assert result.capabilities.inline_completion_provider
            sync = result.capabilities.text_document_sync
            assert isinstance(sync, lsp.TextDocumentSyncOptions)
            assert sync.change == lsp.TextDocumentSyncKind.Incremental
            editor.open()
            (item,) = await editor.complete()
            assert item.insert_text == _expected(demo_bundle)
            assert item.range == lsp.Range(start=CURSOR, end=CURSOR)
            assert editor.messages == []
            assert [value["kind"] for _, value in editor.reports] == ["begin", "end"]
            assert editor.reports[-1][1]["message"] == "fp32 on cpu"

    _run(work)


def test_changes_and_several_documents_are_followed(demo_bundle: Path) -> None:
    async def work() -> None:
        async with editing(demo_bundle) as (editor, _):
            editor.open()
            editor.open("x = 1\n", "file:///other.py")
            editor.change(
                lsp.Position(line=3, character=4), lsp.Position(line=3, character=7), "sub"
            )
            (item,) = await editor.complete()
            assert item.insert_text == _expected(demo_bundle, TEXT.replace("add", "sub"))
            name = lsp.TextDocumentIdentifier(uri="file:///other.py")
            editor.text_document_did_close(lsp.DidCloseTextDocumentParams(text_document=name))
            assert await editor.complete() != []

    _run(work)


@pytest.mark.parametrize(("encoding", "unit"), [("utf-16", 2), ("utf-8", 4), ("utf-32", 1)])
def test_positions_count_in_the_units_agreed_on(
    demo_bundle: Path, encoding: str, unit: int
) -> None:
    text = "names = '\U0001f600\U0001f600'; value = \n"
    at = text.index("\n")

    async def work() -> None:
        async with editing(demo_bundle, encodings=[encoding]) as (editor, result):
            assert result.capabilities.position_encoding == encoding
            editor.open(text)
            position = lsp.Position(line=0, character=at - 2 + 2 * unit)
            (item,) = await editor.complete(position)
            assert item.insert_text == _expected(demo_bundle, text, at)

    _run(work)


def test_lines_end_where_the_protocol_says(demo_bundle: Path) -> None:
    """Form feeds and U+2028 stay inside of lines, of which pygls would make two."""
    text = "a = 1\x0cb = 2\u2028\r\nc = 3\rd = \n"
    at = text.rindex("\n")
    assert cut(text) == ("a = 1\x0cb = 2\u2028\r\n", "c = 3\r", "d = \n")

    async def work() -> None:
        async with editing(demo_bundle) as (editor, _):
            editor.open(text)
            editor.change(lsp.Position(line=2, character=0), lsp.Position(line=2, character=1), "e")
            changed = joined(text[: at - 4] + "e" + text[at - 3 :])
            (item,) = await editor.complete(lsp.Position(line=2, character=4))
            assert item.insert_text == _expected(demo_bundle, changed, changed.rindex("\n"))

    _run(work)


def test_a_large_document_is_cut_into_lines_once() -> None:
    count_as_the_protocol_does()
    document = TextDocument("file:///a.py", "x = 1\n" * 10)
    assert document.lines is document.lines
    assert len(document.lines) == 10


def test_a_chosen_entry_of_the_editors_list_is_gone_on_from(demo_bundle: Path) -> None:
    text = "import os\n\nprint(os.pa)\n"
    start = lsp.Position(line=2, character=9)

    async def work() -> None:
        async with editing(demo_bundle) as (editor, _):
            editor.open(text)
            chosen = lsp.SelectedCompletionInfo(
                range=lsp.Range(start=start, end=lsp.Position(line=2, character=11)), text="path"
            )
            items = await editor.complete(
                lsp.Position(line=2, character=11), selected_completion_info=chosen
            )
            for item in items:
                assert str(item.insert_text).startswith("path")
                assert item.range == chosen.range

    _run(work)


def test_only_the_line_is_completed_where_text_follows_on_it(demo_bundle: Path) -> None:
    text = "def f(a):\n    x = (a, )\n    return x\n"
    position = lsp.Position(line=1, character=12)

    async def work() -> None:
        async with editing(demo_bundle, {"maxTokens": 48}) as (editor, _):
            editor.open(text)
            for item in await editor.complete(position):
                assert "\n" not in str(item.insert_text)

    _run(work)


def test_a_cancelled_request_ends_and_the_next_is_answered(demo_bundle: Path) -> None:
    async def work() -> None:
        async with editing(demo_bundle, {"maxTokens": 400, "lines": "many"}) as (editor, _):
            editor.open(TEXT + "x = 1\n" * 200)
            await editor.complete()
            slow = asyncio.ensure_future(editor.complete(lsp.Position(line=100, character=0)))
            await asyncio.sleep(0.02)
            number = next(iter(editor.protocol._request_futures))
            editor.cancel_request(lsp.CancelParams(id=number))
            with pytest.raises(JsonRpcException, match="cancel"):
                await slow
            assert isinstance(await editor.complete(), list)

    _run(work)


def test_a_newer_request_ends_an_older_one_of_its_document(demo_bundle: Path) -> None:
    async def work() -> None:
        async with editing(demo_bundle) as (editor, _):
            editor.open()
            await editor.complete()
            both = await asyncio.gather(*(editor.complete() for _ in range(4)))
            assert both[-1][0].insert_text == _expected(demo_bundle)

    _run(work)


def test_what_becomes_of_completions_is_counted(demo_bundle: Path) -> None:
    async def work() -> None:
        async with editing(demo_bundle) as (editor, _):
            editor.open()
            (item,) = await editor.complete()
            assert item.command is not None
            await editor.workspace_execute_command_async(
                lsp.ExecuteCommandParams(command=item.command.command, arguments=[])
            )
            editor.protocol.notify("refactEdge/acceptance", {"accepted": True})
            editor.protocol.notify("refactEdge/acceptance", {"accepted": False})
            result = await editor.protocol.send_request_async("refactEdge/statistics", {})
            counts = result if isinstance(result, dict) else result._asdict()
            assert (counts["asked"], counts["shown"]) == (1, 1)
            assert (counts["accepted"], counts["rejected"]) == (2, 1)
            assert counts["new_tokens"] > 0

    _run(work)


def test_settings_change_while_it_runs_and_wrong_ones_are_told(demo_bundle: Path) -> None:
    async def work() -> None:
        async with editing(demo_bundle, {"maxTokens": 0}) as (editor, _):
            await _until(lambda: editor.messages)
            assert "maxTokens 0, expected a whole number from 1 to 2048" in editor.messages[0]
            editor.open()
            push = {"refactEdge": {"enabled": False}}
            editor.workspace_did_change_configuration(
                lsp.DidChangeConfigurationParams(settings=push)
            )
            assert await editor.complete() == []
            editor.settings = {"enabled": True, "maxTokens": 2}
            editor.workspace_did_change_configuration(
                lsp.DidChangeConfigurationParams(settings=None)
            )
            await asyncio.sleep(0.3)
            (item,) = await editor.complete()
            assert len(str(item.insert_text)) < len(_expected(demo_bundle))

    _run(work)


def test_it_is_reached_over_tcp_too(demo_bundle: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def work() -> None:
        command = ["lsp", str(demo_bundle), "--variant", "fp32", "--tcp", str(port)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "refact_edge.runtime", *command, stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        assert str(port).encode() in await process.stderr.readline()
        editor = Editor()
        for _ in range(100):
            try:
                await editor.start_tcp("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.05)
        await begin(editor)
        editor.open()
        (item,) = await editor.complete()
        assert item.insert_text == _expected(demo_bundle)
        await end(editor)
        assert await asyncio.wait_for(process.wait(), 10) == 0

    _run(work)


def test_a_bundle_that_is_none_is_told_to_the_editor(tmp_path: Path) -> None:
    async def work() -> None:
        async with editing(tmp_path / "nowhere") as (editor, _):
            await _until(lambda: editor.messages)
            assert "nowhere" in editor.messages[0]

    _run(work)


def test_a_document_that_is_not_open_is_not_read_from_disk(
    demo_bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "calc.py"
    file.write_text(TEXT)

    async def work() -> None:
        async with editing(demo_bundle) as (editor, _):
            assert await editor.complete(uri=file.as_uri()) == []

    _run(work)
