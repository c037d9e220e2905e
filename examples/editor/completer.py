"""What the editor asks of the model, in other threads; signals bring it back to the window's."""

from __future__ import annotations

import contextlib
import threading

from PySide6.QtCore import QObject, Signal

import refact_edge

PAUSE_MS = 80  # without a keystroke, before a text is asked for


class Completer(QObject):
    """A model behind a window. The newest request ends the one before."""

    ready = Signal(str)
    failed = Signal(str)
    suggested = Signal(int, str)  # for which request, and the text so far
    answered = Signal(str)  # a piece of an answer
    finished = Signal()  # the answer

    def __init__(self, bundle: str | None) -> None:
        super().__init__()
        self._bundle = bundle
        self._model: refact_edge.Model | None = None
        self._stream: refact_edge.Stream | None = None
        self._answer: refact_edge.Stream | None = None
        self._number = 0

    def start(self) -> None:
        """Load the model; by now somebody listens to what comes of it."""
        threading.Thread(target=self._load, daemon=True).start()

    def _load(self) -> None:
        try:
            self._model = refact_edge.load(self._bundle)
        except refact_edge.RefactEdgeError as error:
            self.failed.emit(str(error))
        else:
            info = self._model.info()
            self.ready.emit(f"{info.name}: {info.variant} by {info.engine}")

    def suggest(self, prefix: str, suffix: str) -> int:
        """Ask for what belongs at the cursor; return the number of the request."""
        self.stop()
        if self._model is None:
            return self._number
        number = self._number
        stream = self._stream = self._model.complete(prefix, suffix, max_tokens=48, total_ms=3000)
        stream.start(lambda _: self.suggested.emit(number, stream.text))
        return number

    def stop(self) -> None:
        """End what was asked for."""
        self._number += 1
        if self._stream is not None:
            self._stream.close()

    def prepare(self, prefix: str, suffix: str) -> None:
        """Evaluate the next prompt, while a suggestion is on screen."""
        model = self._model
        if model is not None:
            threading.Thread(target=_warm, args=(model, prefix, suffix), daemon=True).start()

    def ask(self, question: str) -> None:
        """Answer a question, piece by piece."""
        if self._model is None:
            return
        self._answer = self._model.chat([{"role": "user", "content": question}], max_tokens=256)
        self._answer.start(self.answered.emit).add_done_callback(lambda _: self.finished.emit())

    def close(self) -> None:
        """Give the model's memory back."""
        self.stop()
        if self._model is not None:
            self._model.close()


def _warm(model: refact_edge.Model, prefix: str, suffix: str) -> None:
    with contextlib.suppress(refact_edge.RefactEdgeError):  # the next request tells of it
        model.warm(prefix, suffix)
