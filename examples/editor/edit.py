"""An editor of one file with completions: python edit.py [BUNDLE [FILE]].

Grey text stands at the cursor: Tab takes it, Ctrl-Right a word of it, Escape drops it. A chat and
what `refact-edge doctor` says are beside it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from completer import PAUSE_MS, Completer
from PySide6.QtCore import QRect, Qt, QTimer
from PySide6.QtGui import QColor, QFontDatabase, QKeyEvent, QPainter, QPaintEvent, QTextCursor
from PySide6.QtWidgets import (
    QApplication,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)|\s+")
GREY = QColor(140, 140, 140)
START = "def area(width, height):\n    return "


class Code(QPlainTextEdit):
    """Text with a suggestion at the cursor."""

    def __init__(self, completer: Completer) -> None:
        super().__init__()
        self.suggestion = ""
        self._completer, self._wish = completer, -1
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        self.textChanged.connect(self._pause.start)
        self.cursorPositionChanged.connect(self.drop)
        completer.suggested.connect(self._show)
        completer.ready.connect(lambda _: self._pause.start())
        self.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))

    def around(self) -> tuple[str, str]:
        """Return the text before and after the cursor."""
        text, at = self.toPlainText(), self.textCursor().position()
        return text[:at], text[at:]

    def drop(self) -> None:
        """Show no suggestion."""
        self.suggestion = ""
        self._completer.stop()
        self.viewport().update()

    def take(self, text: str) -> None:
        """Insert some of the suggestion, and keep the rest of it."""
        rest = self.suggestion[len(text) :]
        self.insertPlainText(text)
        self.suggestion = rest
        if rest:
            self._pause.stop()
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt's name)
        """Take the suggestion, or a word of it, or drop it; else type."""
        control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if self.suggestion and event.key() == Qt.Key.Key_Tab:
            self.take(self.suggestion)
        elif self.suggestion and control and event.key() == Qt.Key.Key_Right:
            match = WORD.match(self.suggestion)
            self.take(match[0] if match else self.suggestion)
        elif self.suggestion and event.key() == Qt.Key.Key_Escape:
            self.drop()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Paint the text, and the suggestion in grey where it would stand."""
        super().paintEvent(event)
        if not self.suggestion:
            return
        painter = QPainter(self.viewport())
        painter.setPen(GREY)
        painter.setFont(self.font())
        at, height = self.cursorRect(), self.fontMetrics().lineSpacing()
        start = self.cursorRect(QTextCursor(self.document().firstBlock())).left()
        for number, line in enumerate(self.suggestion.split("\n")):
            left = at.left() if number == 0 else start
            place = QRect(left, at.top() + number * height, self.viewport().width(), height)
            painter.drawText(place, Qt.AlignmentFlag.AlignLeft, line)

    def _ask(self) -> None:
        self._wish = self._completer.suggest(*self.around())

    def _show(self, number: int, text: str) -> None:
        if number == self._wish and text.strip():
            self.suggestion = text
            prefix, suffix = self.around()
            self._completer.prepare(prefix + text, suffix)
            self.viewport().update()


class Window(QMainWindow):
    """The editor, the chat, and what doctor says."""

    def __init__(self, bundle: str | None, file: Path | None = None) -> None:
        super().__init__()
        self.completer = Completer(bundle)
        self.code = Code(self.completer)
        self.chat, self.question = QPlainTextEdit(readOnly=True), QLineEdit()
        self.doctor = QPlainTextEdit(readOnly=True)
        self.question.setPlaceholderText("Ask something, and press Enter")
        self.question.returnPressed.connect(self._ask)
        self.completer.answered.connect(self._answered)
        self.completer.ready.connect(self.statusBar().showMessage)
        self.completer.failed.connect(self.statusBar().showMessage)
        self.statusBar().showMessage("loading the model ...")
        self.setCentralWidget(self._parts())
        self.setWindowTitle("refact-edge")
        self.resize(1000, 560)
        self.code.setPlainText(file.read_text(encoding="utf-8") if file else START)
        self.code.moveCursor(QTextCursor.MoveOperation.End)
        self._examine(bundle)
        self.completer.start()

    def closeEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Give the model's memory back."""
        self.completer.close()

    def _parts(self) -> QSplitter:
        talk = QWidget()
        column = QVBoxLayout(talk)
        column.addWidget(self.chat)
        column.addWidget(self.question)
        tabs = QTabWidget()
        tabs.addTab(talk, "Chat")
        tabs.addTab(self.doctor, "Doctor")
        parts = QSplitter()
        parts.addWidget(self.code)
        parts.addWidget(tabs)
        parts.setSizes([640, 360])
        return parts

    def _ask(self) -> None:
        question = self.question.text().strip()
        if question:
            self.question.clear()
            self.chat.appendPlainText(f"> {question}\n")
            self.completer.ask(question)

    def _answered(self, piece: str) -> None:
        self.chat.moveCursor(QTextCursor.MoveOperation.End)
        self.chat.insertPlainText(piece)

    def _examine(self, bundle: str | None) -> None:
        command = [sys.executable, "-m", "refact_edge.runtime", "doctor"]
        process = subprocess.Popen(
            [*command, *([bundle] if bundle else [])], stdout=subprocess.PIPE, text=True
        )
        timer = QTimer(self, interval=100)

        def look() -> None:
            if process.poll() is not None and process.stdout is not None:
                timer.stop()
                self.doctor.setPlainText(process.stdout.read())

        timer.timeout.connect(look)
        timer.start()


def main() -> None:
    """Open the window."""
    arguments = sys.argv[1:]
    application = QApplication(sys.argv[:1])
    file = Path(arguments[1]) if len(arguments) > 1 else None
    window = Window(arguments[0] if arguments else None, file)
    window.show()
    sys.exit(application.exec())


if __name__ == "__main__":
    main()
