"""The socket that is listened at, on Windows."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.serve.process.listening import listening


@pytest.mark.parametrize(("system", "option"), [("linux", socket.SO_REUSEADDR), ("win32", -5)])
def test_windows_port_is_this_process_alone(
    system: str, option: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: list[tuple[int, int, int]] = []

    class Recorded(socket.socket):
        def setsockopt(self, level: int, name: int, value: Any, _: object = None, /) -> None:
            options.append((level, name, value))

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    monkeypatch.setattr(socket, "socket", Recorded)
    with listening(0, None):
        assert options == [(socket.SOL_SOCKET, option, 1)]


def test_a_socket_where_python_has_none_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    with (
        pytest.raises(OptionError, match="Python has none on this system; use --port"),
        listening(0, tmp_path / "edge.sock"),
    ):
        pass
