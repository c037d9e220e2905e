"""The playground, used in a real browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Serve, Served, serving

from refact_edge.runtime.serve.web.pages import PAGE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SHOTS = os.environ.get("REFACT_EDGE_SCREENSHOTS")


@pytest.fixture(scope="module")
def demo_server(demo_bundle: Path) -> Iterator[Served]:
    with serving(demo_bundle, "int8", name="demo") as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="make test-clients installs it")
    browser_file = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser_file is None:
        pytest.skip("no browser: make test-clients installs one")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, demo_server: Served) -> Iterator[Any]:
    """Open the playground; every request and every complaint of the browser is remembered."""
    opened = browser.new_page(viewport={"width": 1000, "height": 700})
    opened.asked, opened.complaints = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.goto(demo_server.url)
    yield opened
    opened.close()


def _shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def _until(page: Any, holds: Callable[[], object]) -> None:
    """Wait; the page's own rules let no test run code in it."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(25)
    raise AssertionError("it did not come to that")


def _ghost(page: Any) -> str:
    _until(page, lambda: page.text_content(".ghost"))
    page.wait_for_timeout(400)  # until the whole text is there
    return str(page.text_content(".ghost"))


def test_grey_text_comes_at_the_cursor_and_tab_takes_it(page: Any) -> None:
    page.click("#text")
    page.keyboard.press("Control+End")
    page.keyboard.type("if not pa")
    ghost = _ghost(page)
    _shot(page, "ghost")
    before = page.input_value("#text")
    page.keyboard.press("Tab")
    assert page.input_value("#text") == before + ghost
    assert page.text_content("#first").endswith(" ms")
    assert re.fullmatch(r"\d+%", page.text_content("#reused"))
    _until(page, lambda: page.text_content("#requests") in ("1", "2", "3", "4", "5"))
    assert page.complaints == []


def test_typing_what_is_shown_keeps_the_rest_and_escape_drops_it(page: Any) -> None:
    page.click("#text")
    page.keyboard.press("Control+End")
    page.keyboard.type("return ")
    ghost = _ghost(page)
    page.keyboard.type(ghost[0])
    assert page.text_content(".ghost") == ghost[1:]
    page.keyboard.press("Control+ArrowRight")
    typed = page.input_value("#text")
    assert typed.endswith(ghost[: len(ghost) - len(page.text_content(".ghost") or "")])
    page.keyboard.press("Escape")
    assert page.text_content(".ghost") == ""
    assert page.input_value("#text") == typed


def test_grey_text_in_the_middle_pushes_what_follows_aside(page: Any) -> None:
    page.fill("#text", "def add(a, b):\n    \n\n\nprint(add(1, 2))\n")
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.type("r")
    ghost = _ghost(page)
    text = page.text_content("#mirror")
    assert text.startswith(f"def add(a, b):\n    r{ghost}\n")
    assert "print(add(1, 2))" in text
    _shot(page, "middle")


def test_a_chat_answers_and_can_be_stopped(page: Any) -> None:
    page.click("#tab-chat")
    page.fill("#question", "What is a heap?")
    page.keyboard.press("Enter")
    _until(page, lambda: page.query_selector(".assistant") and page.is_disabled("#stop"))
    assert page.text_content(".assistant")
    assert page.text_content(".user") == "What is a heap?"
    _shot(page, "chat")
    page.click("#clear")
    assert page.query_selector(".turn") is None
    page.fill("#question", "Write a long story.")
    page.click("#send")
    _until(page, lambda: page.is_enabled("#stop"))
    page.click("#stop")
    _until(page, lambda: page.is_disabled("#stop"))
    assert page.is_hidden("#problem")
    assert page.complaints == []


def test_nothing_is_asked_of_anybody_else(page: Any, demo_server: Served) -> None:
    page.click("#text")
    page.keyboard.type("x = ")
    _ghost(page)
    own = (demo_server.url + "/", "data:")
    assert page.asked
    assert [url for url in page.asked if not url.startswith(own)] == []


def test_it_asks_for_the_key_and_uses_it(browser: Any, serve: Serve) -> None:
    with serve(api_key="sesame") as served:
        page = browser.new_page()
        page.goto(served.url)
        page.wait_for_selector("#unlock:not([hidden])")
        _shot(page, "key")
        page.fill("#key", "sesame")
        page.click("#unlock button")
        _until(page, lambda: "fp32" in page.text_content("#model"))
        assert page.is_hidden("#problem")
        page.close()


def test_a_server_that_is_gone_is_told(browser: Any, serve: Serve) -> None:
    with serve() as served:
        page = browser.new_page()
        page.goto(served.url)
        _until(page, lambda: page.text_content("#model"))
    page.click("#text")
    page.keyboard.type("x")
    page.wait_for_selector("#problem:not([hidden])")
    assert "is the server running?" in page.text_content("#problem")
    page.close()


def test_what_the_page_needs_is_in_the_package_and_served(server: Served) -> None:
    html = server.http.get("/", headers={"accept": "text/html"})
    assert html.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in html.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="(page/[^"]+)"', html.text)
    imported = [
        f"page/{name}"
        for file in PAGE.glob("*.js")
        for name in re.findall(r'from "\./([^"]+)"', file.read_text())
    ]
    for path in {*named, *imported}:
        assert server.http.get(f"/{path}").status_code == 200, path
    for file in PAGE.iterdir():
        assert not re.search(r"https?://", file.read_text()), f"{file.name} names another place"
