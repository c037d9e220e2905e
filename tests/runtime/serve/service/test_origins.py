"""Origins that are named, and patterns: what they take in, and what they never do."""

from __future__ import annotations

import pytest

from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.serve.service.origins import pattern_of


@pytest.mark.parametrize(
    ("named", "matching", "others"),
    [
        ("http://localhost:3000", ["http://localhost:3000"], ["http://localhost:30001"]),
        ("HTTP://LocalHost:3000", ["http://localhost:3000"], ["https://localhost:3000"]),
        ("http://localhost:80", ["http://localhost"], ["http://localhost:80"]),
        ("https://a.example:443", ["https://a.example"], ["https://axexample", "http://a.example"]),
        ("http://[::1]:3000", ["http://[::1]:3000"], ["http://[::1]"]),
        (
            "http://localhost:*",
            ["http://localhost", "http://localhost:1", "http://localhost:5173"],
            [
                *("https://localhost:1", "http://localhost.evil.example:1", "http://localhost:"),
                *("http://localhost:1@evil.example", "http://localhost:1/", "http://xlocalhost:1"),
            ],
        ),
        (
            "vscode-webview://*",
            ["vscode-webview://1p0k2c8bq", "vscode-webview://6C3f-00_1"],
            ["vscode-webview://", "vscode-webview://a/b", "http://vscode-webview", "null"],
        ),
        (
            "chrome-extension://*",
            ["chrome-extension://gighmmpiobklfepjocnamgkkbiglidom"],
            ["moz-extension://gighmmpiobklfepjocnamgkkbiglidom", "chrome-extension://a@b"],
        ),
        ("moz-extension://*", ["moz-extension://a5a5e1ab-6bbd-4c1d-9c62"], ["https://a5a5e1ab"]),
        (
            "https://*.example.com",
            ["https://a.example.com", "https://a.b.example.com"],
            [
                *("https://example.com", "https://evil-example.com", "https://.example.com"),
                *("https://a.example.com.evil.org", "https://evil.org#.example.com"),
                *("https://evil.org/.example.com", "https://user@a.example.com"),
                *("https://a:b@c.example.com", "http://a.example.com", "https://a.example.com:1"),
                *("https://a.examplexcom", "https://a..example.com", "https://a.example.com\n"),
            ],
        ),
        ("http://*.localhost:*", ["http://a.localhost:1"], ["http://localhost:1"]),
        ("app://obsidian.md", ["app://obsidian.md"], ["app://obsidianxmd", "app://other"]),
        ("null", ["null"], ["", "NULL", "file://", "https://null"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_named_origin_takes_in_no_other(
    named: str, matching: list[str], others: list[str]
) -> None:
    pattern = pattern_of([named])
    assert [origin for origin in (*matching, *others) if pattern.fullmatch(origin)] == matching


def test_several_are_taken_in_and_none_takes_in_nothing() -> None:
    named = pattern_of(["http://a.example", "null"])
    assert named.fullmatch("null")
    assert named.fullmatch("http://a.example")
    assert not named.fullmatch("http://a.examplenull")
    assert not pattern_of([]).fullmatch("")


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("*", r"origin '\*': that is every web page there is; expected yours"),
        ("file://", "expected 'null', which browsers send for files and sandboxed"),
        ("file:///home/me/page.html", "expected 'null'"),
        ("http://localhost:3000/", "and no path, such as http://localhost:3000"),
        ("localhost:3000", "expected scheme://host"),
        ("http://*", r"expected a host; it may be '\*' with vscode-webview, chrome-extension"),
        ("https://*:443", "expected a host"),
        ("app://*", "expected a host"),
        ("*://localhost", "expected scheme://host"),
        ("https://*.com", r"two names or more behind '\*\.'"),
        ("https://a.*.example", "expected scheme://host"),
        ("https://*example.com", "expected scheme://host"),
        ("https://user@example.com", "expected scheme://host"),
        ("http://localhost:3*", "expected scheme://host"),
        ("http://localhost:70000", r"expected a port from 1 to 65535, or '\*'"),
        ("", "expected scheme://host"),
        ("Null", "expected scheme://host"),
    ],
)
def test_what_is_no_origin_is_told_what_was_expected(named: str, problem: str) -> None:
    with pytest.raises(OptionError, match=problem) as caught:
        pattern_of([named])
    assert "\n" not in str(caught.value)
