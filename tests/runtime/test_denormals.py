"""Numbers next to zero are zeros within a step, in its thread alone, and never outside of it."""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refact_edge
from refact_edge.runtime import denormals

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="for x86-64 Linux only"
)


def _halved() -> float:
    """Half of the smallest normal number, which is next to zero."""
    smallest = np.full(8, np.finfo(np.float32).tiny)
    return float((smallest * np.float32(0.5))[0])


@pytest.fixture
def nothing_flushed() -> None:
    assert _halved() > 0


@pytest.mark.usefixtures("nothing_flushed")
def test_they_are_zeros_inside_and_come_back_behind_it() -> None:
    with denormals.as_zeros():
        assert _halved() == 0
    assert _halved() > 0
    with pytest.raises(ZeroDivisionError), denormals.as_zeros():
        raise ZeroDivisionError
    assert _halved() > 0


@pytest.mark.usefixtures("nothing_flushed")
def test_a_thread_that_was_there_before_does_not_see_it() -> None:
    found: list[float] = []
    inside = threading.Event()

    def look() -> None:
        inside.wait()
        found.append(_halved())

    other = threading.Thread(target=look)
    other.start()
    with denormals.as_zeros():
        inside.set()
        other.join()
    assert found[0] > 0


@pytest.mark.usefixtures("nothing_flushed")
def test_opening_and_stepping_leave_the_hosts_numbers_alone(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle, variant="int8", engine="onnxruntime")
    assert _halved() > 0
    "".join(model.generate("a", max_tokens=2))
    assert _halved() > 0


def test_where_the_state_is_not_known_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    denormals._flusher.cache_clear()
    with denormals.as_zeros():
        assert _halved() > 0
    denormals._flusher.cache_clear()


class Windows:
    """A state of Windows' C library, as its _controlfp_s reads and changes it."""

    def __init__(self, state: int) -> None:
        self.state = state

    def _controlfp_s(self, now: Any, wanted: int, which: int) -> int:
        self.state = self.state & ~which | wanted & which
        now._obj.value = self.state
        return 0


def test_windows_state_is_set_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Windows(0x0009001F)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    denormals._flusher.cache_clear()
    with denormals.as_zeros():
        assert library.state == 0x0109001F
    assert library.state == 0x0009001F
    denormals._flusher.cache_clear()
