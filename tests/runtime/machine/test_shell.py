"""Command lines for sh and for PowerShell."""

from __future__ import annotations

import sys
from pathlib import Path, PureWindowsPath

import pytest

from refact_edge.runtime.console import ask as cli
from refact_edge.runtime.machine import shell
from refact_edge.runtime.serve.process.greeting import Greeting, key_in_shell


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (r"C:\bundles\one-2", r"C:\bundles\one-2"),
        (r"C:\Users\A B", r"'C:\Users\A B'"),
        ("it's", "'it''s'"),
        ("$home", "'$home'"),
        ("@x", "'@x'"),
        ("-x", "'-x'"),
        ("", "''"),
    ],
)
def test_powershell_takes_a_quoted_word_as_it_is(text: str, quoted: str) -> None:
    assert shell.quoted(text) == quoted


def _lines(key: str = "") -> list[str]:
    greeting = Greeting("demo", "int4", "cpu", key)
    return greeting.text("http://127.0.0.1:8012", None).splitlines()


@pytest.mark.usefixtures("windows")
def test_windows_users_get_a_line_for_powershell() -> None:
    body = '{"prompt": "import os, ", "suffix": "\\n", "max_tokens": 16, "temperature": 0}'
    start = "try: Invoke-RestMethod http://127.0.0.1:8012/v1/completions -Method Post"
    assert _lines()[-2] == f"{start} -ContentType application/json -Body '{body}'"
    file = Path(PureWindowsPath("key file"))
    header = "-Headers @{Authorization = \"Bearer $(Get-Content 'key file')\"}"
    assert header in _lines(key_in_shell(file, "KEY"))[-2]
    assert '"Bearer $env:KEY"' in _lines(key_in_shell(None, "KEY"))[-2]


def test_others_get_one_for_sh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert _lines()[-2].startswith("try: curl http://127.0.0.1:8012/v1/completions -d '{")
    assert "-H \"Authorization: Bearer $(cat 'a b')\"" in _lines(key_in_shell(Path("a b"), "K"))[-2]
    assert '-H "Authorization: Bearer $K"' in _lines(key_in_shell(None, "K"))[-2]


@pytest.mark.parametrize(("system", "key"), [("linux", "Ctrl-D"), ("win32", "Ctrl-Z, Enter")])
def test_a_talk_says_how_it_is_ended(
    system: str, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    monkeypatch.setattr(sys, "platform", system)
    cli._talk(lambda _text: None)
    assert f"{key} the conversation" in capsys.readouterr().err
