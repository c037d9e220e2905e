"""What a language server makes of messages that are wrong: an answer to each, one line, an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from raw_editor import RawEditor, editing, editing_apart, framed, message, reply

INLINE = "textDocument/inlineCompletion"
URI = "file:///a.py"
GOOD: dict[str, Any] = {
    "textDocument": {"uri": URI},
    "position": {"line": 0, "character": 4},
    "context": {"triggerKind": 1},
}
WARNING = 2
PARSE_ERROR, INVALID_REQUEST, NO_METHOD = -32700, -32600, -32601
INVALID_PARAMS, NOT_INITIALIZED = -32602, -32002

BAD_PARAMS: list[tuple[str, object, str]] = [
    (INLINE, {**GOOD, "context": {"triggerKind": 0}}, "$.params.context.triggerKind"),
    (INLINE, {**GOOD, "context": {"triggerKind": "1"}}, "$.params.context.triggerKind"),
    (INLINE, {**GOOD, "context": {}}, "missing @ $.params.context"),
    (INLINE, {**GOOD, "position": {"line": -1, "character": 0}}, "but was -1 @ $.params.position"),
    (INLINE, {**GOOD, "position": {"line": 2**31, "character": 0}}, "but was 2147483648"),
    (INLINE, {**GOOD, "position": {"line": 1.5, "character": 0}}, "1.5; expected a whole number"),
    (INLINE, {**GOOD, "position": {"line": "0", "character": 0}}, "'0'; expected a whole number"),
    (INLINE, {**GOOD, "position": {"line": True, "character": 0}}, "True; expected a whole number"),
    (INLINE, {**GOOD, "position": None}, "@ $.params.position"),
    (INLINE, {**GOOD, "textDocument": {"uri": 5}}, "5; expected a text"),
    (INLINE, {"position": GOOD["position"]}, "$.params"),
    (INLINE, {}, "$.params"),
    (INLINE, [], "$.params"),
    (INLINE, "text", "$.params"),
    (INLINE, 3, "$.params"),
    (INLINE, None, "$.params"),
    ("workspace/executeCommand", {"command": "no"}, "'no' is not defined"),
    ("workspace/executeCommand", {"command": ["x"]}, "$.params.command"),
    ("workspace/executeCommand", {"command": "refactEdge.accepted", "arguments": 3}, "arguments"),
    ("textDocument/completion", {"textDocument": 3}, "$.params"),
    ("textDocument/hover", 3, "$.params"),
]

BAD_BEGINNINGS: list[tuple[dict[str, object], str]] = [
    ({"processId": None, "rootUri": None}, "missing @ $.params.capabilities"),
    ({"capabilities": {}, "processId": "x"}, "$.params.processId"),
    ({"capabilities": {}, "processId": -1}, "processId -1; expected a process's number"),
    ({"capabilities": {}, "processId": 2**40}, "processId 1099511627776; expected"),
    ({"capabilities": 3}, "$.params.capabilities"),
]

NO_REQUESTS: list[tuple[bytes, int | str | None, int]] = [
    (framed(b""), None, PARSE_ERROR),
    (framed(b"{"), None, PARSE_ERROR),
    (framed(b"\xff\xfe"), None, PARSE_ERROR),
    (framed(b"[" * 100_000), None, PARSE_ERROR),
    (framed(b'{"jsonrpc": "2.0", "id": 1, "method": NaN}'), None, PARSE_ERROR),
    (framed(b"[]"), None, INVALID_REQUEST),
    (framed(b"3"), None, INVALID_REQUEST),
    (framed(b"null"), None, INVALID_REQUEST),
    (framed(b'{"id": 1, "method": "shutdown"}'), 1, INVALID_REQUEST),
    (message(INLINE, 1, jsonrpc="1.0", params=GOOD), 1, INVALID_REQUEST),
    (message(5, 1, params=GOOD), 1, INVALID_REQUEST),
    (message([INLINE], "a", params=GOOD), "a", INVALID_REQUEST),
    (message(INLINE, {}, params=GOOD), None, INVALID_REQUEST),
    (message(INLINE, 1.5, params=GOOD), None, INVALID_REQUEST),
    (message(INLINE, id=None, params=GOOD), None, INVALID_REQUEST),
    (message("textDocument/didOpen", 1, params={}), 1, INVALID_REQUEST),
    (message("no/such", 1, params=[3]), 1, NO_METHOD),
    (message("no/such", 1), 1, NO_METHOD),
]


def _opened(editor: RawEditor, text: object = "x = ") -> None:
    document = {"uri": URI, "languageId": "python", "version": 1, "text": text}
    editor.send(message("textDocument/didOpen", params={"textDocument": document}))


def test_every_request_whose_params_do_not_parse_is_answered(tiny_bundle: Path) -> None:
    with editing_apart(tiny_bundle) as (editor, process):
        _opened(editor)
        for number, (method, params, text) in enumerate(BAD_PARAMS, 1):
            result = editor.ask(method, number, params=params)
            assert (result["id"], result["error"]["code"]) == (number, INVALID_PARAMS), params
            assert text in result["error"]["message"], result
            assert result["error"]["message"].isprintable()
        assert editor.ask(INLINE, 99, params=GOOD)["id"] == 99
        editor.ask("shutdown", 100)
        editor.send(message("exit"))
        _, logged = process.communicate(timeout=10)
        assert logged == b""


def test_an_editor_that_begins_wrong_may_try_again_but_not_begin_twice(tiny_bundle: Path) -> None:
    with editing(tiny_bundle, begins=False) as editor:
        for number, (params, message) in enumerate(BAD_BEGINNINGS, 1):
            result = editor.ask("initialize", number, params=params)
            assert (result["id"], result["error"]["code"]) == (number, INVALID_PARAMS), params
            assert message in result["error"]["message"], result
        assert "result" in editor.ask("initialize", 8, params={"capabilities": {}})
        again = editor.ask("initialize", 9, params={"capabilities": {}})
        assert again["error"]["code"] == INVALID_REQUEST


def test_whatever_is_no_request_is_answered_too(tiny_bundle: Path) -> None:
    with editing(tiny_bundle) as editor:
        for content, number, code in NO_REQUESTS:
            editor.send(content)
            result = editor.answer()
            assert (result["id"], result["error"]["code"]) == (number, code), content[:80]
        assert editor.ask("refactEdge/statistics", 1.0)["result"]["asked"] == 0


def test_answers_are_never_answered(tiny_bundle: Path) -> None:
    with editing(tiny_bundle) as editor:
        numbers: tuple[object, ...] = (None, "unknown", {})
        for number in numbers:
            editor.send(reply(number, error={"code": INVALID_REQUEST, "message": "no"}))
            editor.send(reply(number, result=3))
        assert editor.ask("refactEdge/statistics", 7)["id"] == 7


def test_a_request_after_shutdown_is_refused(tiny_bundle: Path) -> None:
    with editing_apart(tiny_bundle) as (editor, process):
        assert editor.ask("shutdown")["result"] is None
        assert editor.ask(INLINE, 2, params=GOOD)["error"]["code"] == INVALID_REQUEST
        editor.send(message("exit"))
        assert process.wait(10) == 0


def test_before_initialize_requests_are_refused_and_notifications_dropped(
    tiny_bundle: Path,
) -> None:
    with editing(tiny_bundle, begins=False) as editor:
        editor.send(message("workspace/didChangeConfiguration", params={"settings": {}}))
        assert editor.ask(INLINE, 1, params=GOOD)["error"]["code"] == NOT_INITIALIZED
        assert editor.ask("initialize", 2, params={"capabilities": {}})["result"]


def test_empty_lists_are_taken_for_empty_objects(tiny_bundle: Path) -> None:
    with editing(tiny_bundle, begins=False) as editor:
        result = editor.ask("initialize", params={"capabilities": [], "initializationOptions": []})
        assert "capabilities" in result["result"]
        editor.send(message("initialized", params=[]))
        editor.send(message("refactEdge/statistics", 2, params=[]))
        assert editor.next()["result"]["asked"] == 0  # and no message to the user before it
        assert editor.ask("shutdown", params=[])["result"] is None


def test_a_notification_that_is_wrong_is_told_to_the_user_and_changes_nothing(
    tiny_bundle: Path,
) -> None:
    with editing(tiny_bundle) as editor:
        _opened(editor, None)
        text = editor.said("window/showMessage")["params"]["message"]
        assert text.startswith(
            "textDocument/didOpen: None; expected a text @ $.params.textDocument"
        )
        editor.send(message("$/cancelRequest", params={"id": []}))
        assert "$/cancelRequest" in editor.said("window/showMessage")["params"]["message"]
        editor.send(message("refactEdge/acceptance", params={"accepted": "no"}))
        assert "refactEdge/acceptance" in editor.said("window/showMessage")["params"]["message"]
        assert editor.ask("refactEdge/statistics")["result"]["rejected"] == 0
        assert editor.ask(INLINE, 2, params=GOOD)["result"] == {"items": []}


@pytest.mark.parametrize(
    "answer", [{"result": 3}, {"result": "on"}, {"error": "none"}, {"result": [3]}]
)
def test_an_answer_of_another_kind_is_told_and_changes_no_settings(
    tiny_bundle: Path, answer: dict[str, object]
) -> None:
    with editing(tiny_bundle, begins=False) as editor:
        capabilities = {"workspace": {"configuration": True}}
        options = {"enabled": False}
        begun = {"capabilities": capabilities, "initializationOptions": options}
        editor.ask("initialize", params=begun)
        editor.send(message("initialized", params={}))
        _opened(editor)
        editor.send(message("workspace/didChangeConfiguration", params={"settings": []}))
        request = editor.said("workspace/configuration")
        editor.send(reply(request["id"], **answer))
        text = editor.said("window/showMessage")["params"]
        assert text["message"].endswith("nothing was changed")
        assert text["type"] == WARNING
        assert editor.ask(INLINE, params=GOOD)["result"] == {"items": []}
        assert editor.ask("refactEdge/statistics")["result"]["asked"] == 0  # it is not enabled


def test_one_bad_setting_drops_no_other(tiny_bundle: Path) -> None:
    with editing(tiny_bundle) as editor:
        _opened(editor)
        value = {"refactEdge": {"enabled": False, "maxTokens": "many", "tokens": 3}}
        editor.send(message("workspace/didChangeConfiguration", params={"settings": value}))
        text = editor.said("window/showMessage")["params"]
        assert text["type"] == WARNING
        assert "maxTokens 'many', expected a whole number from 1 to 2048" in text["message"]
        assert "unknown 'tokens', expected one of enabled" in text["message"]
        assert text["message"].endswith("; ignored, all others apply")
        editor.ask(INLINE, params=GOOD)
        assert editor.ask("refactEdge/statistics")["result"]["asked"] == 0


@pytest.mark.parametrize("settings", [[], {"refactEdge": []}, {"refactEdge": {}}, None])
def test_no_settings_are_no_mistake(tiny_bundle: Path, settings: object) -> None:
    with editing(tiny_bundle) as editor:
        editor.send(message("workspace/didChangeConfiguration", params={"settings": settings}))
        editor.send(message("refactEdge/statistics", 1))
        assert editor.next()["id"] == 1
