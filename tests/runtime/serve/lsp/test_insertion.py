"""Where an editor's positions are in a document, and how lines end in what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as lsp
from pygls.workspace import PositionCodec, TextDocument
from raw_editor import Message, RawEditor, editing, message

from refact_edge.runtime.serve.lsp.insertion import Insertion, insertion_at
from refact_edge.runtime.serve.lsp.lines import count_as_the_protocol_does, joined

INLINE = "textDocument/inlineCompletion"
TEXT = "x = [1]\n\U0001f600ab\nlast"
CODE = ["class Point:", "    def __init__(self, x, y):", "        "]
LINE_ENDS = {"unix": "\n\n", "windows": "\r\n\r\n", "old mac": "\r\r", "mixed": "\r\n\n"}


def _at(line: int, character: int) -> lsp.Position:
    return lsp.Position(line=line, character=character)


def _place(
    text: str,
    position: lsp.Position,
    chosen: lsp.SelectedCompletionInfo | None = None,
    encoding: lsp.PositionEncodingKind = lsp.PositionEncodingKind.Utf16,
) -> Insertion | None:
    count_as_the_protocol_does()
    document = TextDocument("file:///a.py", text, position_codec=PositionCodec(encoding))
    kind = lsp.InlineCompletionTriggerKind.Invoked
    context = lsp.InlineCompletionContext(trigger_kind=kind, selected_completion_info=chosen)
    name = lsp.TextDocumentIdentifier(uri="file:///a.py")
    return insertion_at(document, lsp.InlineCompletionParams(context, name, position))


@pytest.mark.parametrize(
    ("position", "clamped", "prefix"),
    [
        (_at(0, 7), _at(0, 7), "x = [1]"),
        (_at(0, 8), _at(0, 7), "x = [1]"),
        (_at(0, 2**31 - 1), _at(0, 7), "x = [1]"),
        (_at(1, 4), _at(1, 4), "x = [1]\n\U0001f600ab"),
        (_at(1, 5), _at(1, 4), "x = [1]\n\U0001f600ab"),
        (_at(2, 4), _at(2, 4), TEXT),
        (_at(2, 9), _at(2, 4), TEXT),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_position_behind_a_lines_end_is_taken_for_it(
    position: lsp.Position, clamped: lsp.Position, prefix: str, line_end: str
) -> None:
    place = _place(TEXT.replace("\n", line_end), position)
    assert place is not None
    assert place.range == lsp.Range(start=clamped, end=clamped)
    assert (place.prefix, place.prefix + place.suffix) == (prefix, TEXT)


@pytest.mark.parametrize("encoding", list(lsp.PositionEncodingKind))
def test_it_is_told_in_the_units_agreed_on(encoding: lsp.PositionEncodingKind) -> None:
    units = {"utf-8": 6, "utf-16": 4, "utf-32": 3}[encoding.value]
    place = _place(TEXT, _at(1, 100), encoding=encoding)
    assert place is not None
    assert place.range.start == _at(1, units)


@pytest.mark.parametrize(
    ("text", "line"), [("", 0), ("a\n", 1), ("a\r\n", 1), ("a\r", 1), ("\n\n", 2)]
)
def test_the_empty_line_at_the_end_is_one(text: str, line: int) -> None:
    place = _place(text, _at(line, 3))
    assert place is not None
    assert place.range.start == _at(line, 0)
    assert place.suffix == ""
    assert _place(text, _at(line + 1, 0)) is None


@pytest.mark.parametrize("position", [_at(3, 0), _at(100, 3)])
def test_behind_the_document_there_is_no_place(position: lsp.Position) -> None:
    assert _place(TEXT, position) is None


def test_what_is_chosen_is_put_inside_of_the_document_too() -> None:
    def chosen(start: lsp.Position, end: lsp.Position) -> lsp.SelectedCompletionInfo:
        return lsp.SelectedCompletionInfo(range=lsp.Range(start, end), text="path\r\n")

    place = _place(TEXT, _at(0, 4), chosen(_at(0, 4), _at(0, 99)))
    assert place is not None
    assert place.range == lsp.Range(_at(0, 4), _at(0, 7))
    assert (place.prefix, place.suffix) == ("x = path\n", TEXT[7:])
    assert _place(TEXT, _at(0, 4), chosen(_at(0, 4), _at(7, 0))) is None
    assert _place(TEXT, _at(0, 4), chosen(_at(1, 0), _at(0, 4))) is None


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (_at(0, 6), _at(0, 99), TEXT.replace("1]", "1new")),
        (_at(0, 99), _at(0, 99), TEXT.replace("1]", "1]new")),
        (_at(2, 9), _at(2, 9), TEXT + "new"),
        (_at(0, 0), _at(99, 0), "new"),
        (_at(99, 0), _at(99, 9), TEXT + "new"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_change_behind_a_lines_end_is_made_at_it(
    start: lsp.Position, end: lsp.Position, expected: str, line_end: str
) -> None:
    count_as_the_protocol_does()
    document = TextDocument("file:///a.py", TEXT.replace("\n", line_end))
    part = lsp.TextDocumentContentChangePartial(range=lsp.Range(start, end), text="new")
    document.apply_change(part)
    assert document.source == expected.replace("\n", line_end)


@pytest.mark.parametrize("text", ["a\nb\n\nc", "a\r\nb\r\n\r\nc", "a\rb\r\rc", "a\r\nb\r\nc"])
def test_all_line_ends_are_joined_to_one_kind(text: str) -> None:
    assert joined(text).replace("\n\n", "\n") == "a\nb\nc"


def _open(editor: RawEditor, text: str) -> None:
    document = {"uri": "file:///a.py", "languageId": "python", "version": 1, "text": text}
    editor.send(message("textDocument/didOpen", params={"textDocument": document}))


def _ask(editor: RawEditor, number: int, line: int, character: int) -> list[Message]:
    params = {
        "textDocument": {"uri": "file:///a.py"},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 1},
    }
    editor.send(message(INLINE, number, params=params))
    items: list[Message] = editor.answer(20)["result"]["items"]
    return items


def test_whatever_ends_the_lines_an_editor_is_told_the_same(demo_bundle: Path) -> None:
    """Clients split at \\n and join as the document has it; some leave a \\r in front of it."""
    messages = []
    with editing(demo_bundle) as editor:
        more = {"refactEdge": {"maxTokens": 40, "lines": "many"}}
        editor.send(message("workspace/didChangeConfiguration", params={"settings": more}))
        for number, (first, second) in enumerate(map(_two, LINE_ENDS.values()), 1):
            _open(editor, CODE[0] + first + CODE[1] + second + CODE[2])
            messages += _ask(editor, number, 2, 8)
    texts = [item["insertText"] for item in messages]
    assert len(texts) == len(LINE_ENDS)
    assert "\n" in texts[0]
    assert "\r" not in texts[0]
    assert set(texts) == {texts[0]}


def _two(line_ends: str) -> tuple[str, str]:
    half = -(-len(line_ends) // 2)
    return line_ends[:half], line_ends[half:]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_one_line_is_completed_where_text_follows_and_never_what_follows(
    demo_bundle: Path, line_end: str
) -> None:
    text = line_end.join(["def f(a):", "    x = (a, )", "    return x", ""])
    with editing(demo_bundle) as editor:
        _open(editor, text)
        items = _ask(editor, 1, 1, 12)
        assert items == [] or not set("\r\n") & set(items[0]["insertText"])
        assert _ask(editor, 2, 9, 0) == []
