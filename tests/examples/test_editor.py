"""The editor's window, without a screen: what its user sees and does."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("PySide6", reason="make test-clients installs it", exc_type=ImportError)

from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

LIMIT_S, BLOCKED_MS = 30, 50


@pytest.fixture(scope="module")
def application() -> QApplication:
    return QApplication.instance() or QApplication([])


@pytest.fixture
def window(
    application: QApplication, demo_bundle: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(root / "examples" / "editor"))
    from edit import Window

    own = Window(str(demo_bundle))
    own.show()
    yield own
    own.close()


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end
        QTest.qWait(5)


def test_grey_text_is_taken_by_tab_and_by_words_and_dropped(
    application: QApplication, window: Any
) -> None:
    code = window.code
    _until(lambda: "native" in window.statusBar().currentMessage())
    QTest.qWait(500)  # most models have written something by then
    if folder := os.environ.get("SCREENSHOTS"):
        window.grab().save(str(Path(folder) / "editor.png"))
    before, whole = code.toPlainText(), "width * height"
    code.suggestion = whole  # as no model writes the same everywhere
    QTest.keyClick(code, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    taken = code.toPlainText().removeprefix(before)
    assert taken
    assert whole.startswith(taken)
    assert code.suggestion == whole.removeprefix(taken)
    QTest.keyClick(code, Qt.Key.Key_Tab)
    assert code.toPlainText().startswith(before + whole)
    assert "\t" not in code.toPlainText()
    code.suggestion = "something else"
    QTest.keyClick(code, Qt.Key.Key_Escape)
    assert code.suggestion == ""
    QTest.keyClicks(code, "xy")
    assert code.toPlainText().endswith("xy")


def test_a_question_is_answered_and_doctor_has_its_page(
    application: QApplication, window: Any
) -> None:
    _until(lambda: "native" in window.statusBar().currentMessage())
    window.question.setText("Write __len__.")
    QTest.keyClick(window.question, Qt.Key.Key_Return)
    _until(lambda: "def " in window.chat.toPlainText())
    _until(lambda: "native kernels" in window.doctor.toPlainText())


def test_typing_never_waits_for_a_text(application: QApplication, window: Any) -> None:
    _until(lambda: "native" in window.statusBar().currentMessage())
    longest, last = 0.0, time.perf_counter()

    def beat() -> None:
        nonlocal longest, last
        now = time.perf_counter()
        longest, last = max(longest, now - last), now

    timer = QTimer()
    timer.timeout.connect(beat)
    timer.start(1)
    for sign in "for name in names:\n    print(name)\n" * 3:
        if sign == "\n":
            QTest.keyClick(window.code, Qt.Key.Key_Return)
        else:
            QTest.keyClicks(window.code, sign)
        QTest.qWait(30)
    timer.stop()
    assert 1000 * longest < BLOCKED_MS


def test_a_bundle_that_is_none_is_told_in_the_window(
    application: QApplication, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root / "examples" / "editor"))
    from edit import Window

    window = Window(str(tmp_path))
    _until(lambda: str(tmp_path) in window.statusBar().currentMessage())
    window.close()
    assert "edit" in sys.modules
