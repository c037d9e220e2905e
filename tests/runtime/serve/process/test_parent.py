"""Servers that end with the process that started them, and say in JSON where they are."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from raw_editor import begin
from served import COMMAND, answers, lives, ready, wait_for

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="processes are read from /proc"
)

# Starts a server, prints its number, and waits to be killed.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), end="", flush=True)
time.sleep(600)
"""
SERVE = ["--port", "0", "--ready-json", "--exit-with-parent"]


def _parent(*command: object) -> tuple[subprocess.Popen[str], dict[str, object]]:
    """Start a server by a process between; return that, and what the server said."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *COMMAND, *map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    return parent, json.loads(parent.stdout.readline())


def test_the_first_line_says_in_json_where_the_server_is(tiny_bundle: Path) -> None:
    with ready(tiny_bundle, "--variant", "int8", "--name", "mine") as (process, first):
        assert first["pid"] == process.pid
        assert (first["model"], first["variant"]) == ("mine", "int8")
        assert set(first["dialects"]) == {"openai", "llama.cpp", "ollama", "refact"}
        assert first["unix_socket"] is None
        url = f"http://{first['host']}:{first['port']}"
        assert httpx.get(f"{url}/health").status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.read() == ""  # it is the only one


def test_a_socket_is_told_in_json_too(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "edge.sock"
    with ready(tiny_bundle, "--unix-socket", path) as (_, first):
        assert (first["host"], first["port"], first["unix_socket"]) == (None, None, str(path))


@pytest.mark.parametrize("exits", [True, False])
def test_it_ends_with_a_parent_that_is_killed_where_that_is_wanted(
    tiny_bundle: Path, exits: bool
) -> None:
    parent, first = _parent("serve", tiny_bundle, *(SERVE if exits else SERVE[:-1]))
    server = int(str(first["pid"]))
    try:
        parent.kill()
        parent.communicate()
        if exits:
            wait_for(lambda: not lives(server))
        else:
            assert answers(int(str(first["port"])))
    finally:
        if lives(server):
            os.kill(server, signal.SIGKILL)


def test_it_ends_as_sigterm_ends_it(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "edge.sock"
    parent, first = _parent("serve", tiny_bundle, *SERVE, "--unix-socket", path)
    assert path.exists()
    parent.kill()
    parent.communicate()
    wait_for(lambda: not lives(int(str(first["pid"]))))
    assert not path.exists()


def test_it_ends_with_a_parent_that_was_gone_before_it_looked(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = [*COMMAND, "serve", str(tiny_bundle), *SERVE]
    script = f'"$@" 2>{log} & echo $!'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command], stdout=subprocess.PIPE, text=True, check=True
    )
    number, *said = done.stdout.splitlines()  # all that it wrote until it ended
    wait_for(lambda: not lives(int(number)))
    assert said == [], "it served"
    (line,) = log.read_text().splitlines()
    assert line.startswith("error: the process that started this one has ended")


def test_the_language_server_ends_with_its_parent_while_it_waits_for_an_editor(
    tiny_bundle: Path,
) -> None:
    options = ["--tcp", "0", "--ready-json", "--exit-with-parent"]
    parent, first = _parent("lsp", tiny_bundle, *options)
    parent.kill()
    parent.communicate()
    server = int(str(first["pid"]))
    wait_for(lambda: not lives(server))
    assert not lives(server)


@pytest.mark.parametrize("gone", [False, True], ids=["later", "already"])
def test_the_language_server_ends_with_the_editor_that_names_its_process(
    tiny_bundle: Path, gone: bool
) -> None:
    """Its pipe may live on in another process that the editor has started."""
    editor = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if gone:
        editor.kill()
        editor.wait()
    params = {"capabilities": {}, "processId": editor.pid, "rootUri": None}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    body = json.dumps(message).encode()
    pipe = subprocess.PIPE
    command = [*COMMAND, "lsp", str(tiny_bundle)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        server.stdin.flush()
        if not gone:
            assert server.stdout.readline().startswith(b"Content-Length")
            assert server.poll() is None
            editor.kill()
            editor.wait()
        assert server.wait(timeout=20) == 1  # as the protocol wants without a shutdown
        assert b"Traceback" not in server.stderr.read()


@pytest.mark.parametrize("gone", [False, True], ids=["later", "already"])
def test_over_tcp_it_ends_with_the_editor_that_names_its_process_too(
    tiny_bundle: Path, gone: bool
) -> None:
    """Its connection may live on in another process."""
    editor = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if gone:
        editor.kill()
        editor.wait()
    pipe = subprocess.PIPE
    command = [*COMMAND, "lsp", str(tiny_bundle), "--tcp", "0", "--ready-json"]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        port = json.loads(server.stdout.readline())["port"]
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(begin(editor.pid))
            if not gone:
                assert connection.recv(14) == b"Content-Length"
                assert server.poll() is None
                editor.kill()
                editor.wait()
            server.wait(timeout=20)
        assert server.stderr.read() == b""
