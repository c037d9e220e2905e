"""A server whose standard output or error is closed, full, or read by nobody goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from served import COMMAND, answers, free_port, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the streams")


@contextmanager
def _shell(*command: object, redirected: str) -> Iterator[subprocess.Popen[bytes]]:
    shell = ["sh", "-c", f'exec "$@" {redirected}', "sh", *COMMAND, *map(str, command)]
    with subprocess.Popen(shell, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.parametrize(
    "redirected",
    [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"],
    ids=["no output", "no error", "none at all", "a full disk"],
)
def test_serve_needs_no_standard_streams(tiny_bundle: Path, redirected: str) -> None:
    if "full" in redirected and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    port = free_port()
    with _shell("serve", tiny_bundle, "--port", port, redirected=redirected) as process:
        wait_for(lambda: answers(port))
        assert httpx.get(f"http://127.0.0.1:{port}/nothing").status_code == 404  # which is logged
        assert answers(port)
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_a_closed_descriptor_is_not_what_the_server_listens_at(tiny_bundle: Path) -> None:
    """Libraries write to descriptors 1 and 2, whatever these are."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("descriptors are read from /proc, which this system lacks")
    port = free_port()
    with _shell("serve", tiny_bundle, "--port", port, redirected=">&- 2>&-") as process:
        wait_for(lambda: answers(port))
        for descriptor in (1, 2):
            place = Path(f"/proc/{process.pid}/fd/{descriptor}").readlink()
            assert place == Path(os.devnull)


def test_a_parent_that_reads_one_line_and_leaves_does_not_end_it(tiny_bundle: Path) -> None:
    command = [*COMMAND, "serve", str(tiny_bundle), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        line = b""
        while not line.endswith(b"\n"):
            line += process.stdout.read(1)
        process.stdout.close()
        port = int(line.decode().rpartition(":")[2])
        for _ in range(3):  # lines for the log
            assert httpx.get(f"http://127.0.0.1:{port}/nothing").status_code == 404
        assert answers(port)
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_a_log_that_nobody_reads_holds_up_nothing(tiny_bundle: Path) -> None:
    """A pipe holds 64 KiB, and whoever writes more waits."""
    command = [*COMMAND, "serve", str(tiny_bundle), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
            for _ in range(250):
                assert http.get("/" + "a" * 400).status_code == 404
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("redirected", [">&-", ">&- 2>&-"])
def test_the_language_server_over_tcp_needs_none_either(tiny_bundle: Path, redirected: str) -> None:
    port = free_port()
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}'
    message = b"Content-Length: %d\r\n\r\n" % len(body) + body

    def talks() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as editor:
                editor.sendall(message)
                return editor.recv(16).startswith(b"Content-Length")
        except ConnectionRefusedError:
            return False

    with _shell("lsp", tiny_bundle, "--tcp", port, redirected=redirected) as process:
        wait_for(talks)
        assert process.wait(timeout=20) == 0  # the editor has left


def test_through_pipes_the_language_server_says_that_it_needs_its_output(tiny_bundle: Path) -> None:
    command = " ".join([*COMMAND, "lsp", str(tiny_bundle), ">&-"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: standard output is closed; an editor talks through it\n",
    )
