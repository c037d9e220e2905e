"""Numbers next to zero are zeros within a step, in its thread alone, and never outside of it."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refact_edge
from refact_edge.runtime.backends import denormals
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.machine.library import machine_library

pytestmark = pytest.mark.skipif(
    denormals._control() is None, reason="nothing sets the state here without the library"
)


def _halved() -> float:
    """Half of the smallest normal number, which is next to zero."""
    smallest = np.full(8, np.finfo(np.float32).tiny)
    return float((smallest * np.float32(0.5))[0])


@pytest.fixture
def nothing_flushed() -> None:
    assert _halved() > 0


@pytest.fixture
def looked_up_anew() -> Iterator[None]:
    denormals._control.cache_clear()
    yield
    denormals._control.cache_clear()


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch, looked_up_anew: None) -> None:
    def refused() -> None:
        raise OptionError("there is none")

    monkeypatch.setattr(denormals, "machine_library", refused)


@pytest.mark.usefixtures("looked_up_anew", "nothing_flushed")
def test_the_library_is_what_sets_the_state_where_there_is_one() -> None:
    try:
        machine_library()
    except OptionError as error:
        pytest.skip(str(error))
    assert isinstance(denormals._control(), denormals._Library)


@pytest.mark.skipif(
    sys.platform not in ("linux", "win32") or platform.machine().lower() not in denormals._X86,
    reason="the C library's functions are known for x86-64 Linux and Windows only",
)
@pytest.mark.usefixtures("without_library")
def test_the_systems_own_functions_set_it_without_the_library() -> None:
    test_they_are_zeros_inside_and_come_back_behind_it()
    assert not isinstance(denormals._control(), denormals._Library)


@pytest.mark.usefixtures("without_library")
def test_arm_without_the_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with denormals.as_zeros():
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
    halves: list[float] = []
    inside = threading.Event()

    def look() -> None:
        inside.wait()
        halves.append(_halved())

    other = threading.Thread(target=look)
    other.start()
    with denormals.as_zeros():
        inside.set()
        other.join()
    assert halves[0] > 0


@pytest.mark.usefixtures("nothing_flushed")
def test_they_are_zeros_while_onnxruntime_computes_a_step(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = refact_edge.load(tiny_bundle, variant="fp32", device="cpu")
    assert isinstance(model.session, OnnxruntimeSession)
    session = model.session._session
    halves: list[float] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(session, name)

        def run_with_iobinding(self, *arguments: Any) -> None:
            halves.append(_halved())
            session.run_with_iobinding(*arguments)

    monkeypatch.setattr(model.session, "_session", Watched())
    "".join(model.generate("a", max_tokens=2))
    assert halves
    assert set(halves) == {0}
    assert _halved() > 0


@pytest.mark.parametrize("flushed", [True, False])
def test_a_host_keeps_the_state_that_it_chose(tiny_bundle: Path, flushed: bool) -> None:
    """In a process of its own: the first session of one sets the state of its thread."""
    code = f"""
import numpy as np, refact_edge
from refact_edge.runtime.backends import denormals
control = denormals._control()
if {flushed}:
    control.flush()
model = refact_edge.load({str(tiny_bundle)!r}, variant="fp32", device="cpu")
"".join(model.generate("a", max_tokens=2))
smallest = np.array([0x00800000], np.uint32).view(np.float32)
print((smallest * np.float32(0.5))[0] == 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(flushed)


@pytest.mark.usefixtures("looked_up_anew", "nothing_flushed")
def test_where_the_state_is_not_known_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with denormals.as_zeros():
        assert _halved() > 0


class WindowsLibrary:
    """A state of Windows' C library, as its _controlfp_s reads and changes it."""

    def __init__(self, state: int) -> None:
        self.state = state

    def _controlfp_s(self, now: Any, bits: int, mask: int) -> int:
        self.state = self.state & ~mask | bits & mask
        now._obj.value = self.state
        return 0


@pytest.mark.usefixtures("without_library")
def test_windows_state_is_set_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    library = WindowsLibrary(0x0009001F)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    with denormals.as_zeros():
        assert library.state == 0x0109001F
    assert library.state == 0x0009001F
