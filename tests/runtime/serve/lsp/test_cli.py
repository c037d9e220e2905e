"""The command lsp: how it begins and ends, by hand and by an editor."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from systems import needs_shell, needs_signals, needs_terminal

COMMAND = [sys.executable, "-m", "refact_edge.runtime", "lsp"]


def _message(method: str, number: int | None = None, **params: object) -> bytes:
    body: dict[str, object] = {"jsonrpc": "2.0", "method": method, "params": params or None}
    if number is not None:
        body["id"] = number
    if params == {} and method in ("shutdown", "exit"):
        del body["params"]
    content = json.dumps(body).encode()
    return b"Content-Length: %d\r\n\r\n" % len(content) + content


BEGIN = _message("initialize", 1, capabilities={}, processId=None, rootUri=None)
START = _message("initialized", None, _=None)
END = _message("shutdown", 2) + _message("exit")


def _editor(bundle: Path) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, str(bundle)], stdin=pipe, stdout=pipe, stderr=pipe)


def _answer(process: subprocess.Popen[bytes]) -> None:
    """Wait for the first answer."""
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"Content-Length")


def test_an_editor_ends_it_without_a_word(tiny_bundle: Path) -> None:
    with _editor(tiny_bundle) as process:
        out, err = process.communicate(BEGIN + START + END, timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert b"inlineCompletionProvider" in out


def test_an_editor_that_is_gone_ends_it_too(tiny_bundle: Path) -> None:
    with _editor(tiny_bundle) as process:
        _, err = process.communicate(BEGIN, timeout=30)
    assert process.returncode == 1  # as the protocol wants without a shutdown
    assert b"Traceback" not in err


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_while_it_waits_for_its_editor(
    tiny_bundle: Path, number: signal.Signals
) -> None:
    with _editor(tiny_bundle) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(BEGIN + START)
        process.stdin.flush()
        _answer(process)
        process.send_signal(number)
        process.wait(timeout=10)
        assert b"Traceback" not in process.stderr.read()


@needs_terminal
def test_by_hand_it_says_what_it_is_and_ctrl_c_ends_it(tiny_bundle: Path) -> None:
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], str(tiny_bundle)], timeout=20)
    child.expect("speaks LSP on its standard input")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert b"Traceback" not in child.before


@needs_terminal
def test_by_hand_a_wrong_bundle_is_told_at_once(tmp_path: Path) -> None:
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], str(tmp_path / "nowhere")], timeout=20)
    child.expect("error: .*nowhere")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1


@needs_shell
def test_closed_input_is_one_line(tiny_bundle: Path) -> None:
    command = " ".join([*COMMAND, str(tiny_bundle), "<&-"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: standard input is closed; an editor talks through it\n"


def test_the_option_that_some_clients_add_is_taken(tiny_bundle: Path) -> None:
    command = [*COMMAND, str(tiny_bundle), "--stdio"]
    done = subprocess.run(command, input=BEGIN + START + END, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_over_tcp_there_is_one_editor_and_it_may_just_leave(tiny_bundle: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*COMMAND, str(tiny_bundle), "--tcp", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"waiting for one editor at 127.0.0.1:{port}")
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "name another with --tcp" in second.stderr
        with socket.create_connection(("127.0.0.1", port)) as editor:
            editor.sendall(BEGIN)
            assert editor.recv(16).startswith(b"Content-Length")
            with pytest.raises(OSError):  # noqa: PT011 # refused or reset, as it comes
                _second(port)
            editor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""


def _second(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as other:
        other.sendall(BEGIN)
        if not other.recv(16):
            raise ConnectionResetError
