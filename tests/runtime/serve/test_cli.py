"""The command serve: what it prints, how it ends, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from served import events
from systems import needs_shell, needs_signals, needs_unix_sockets

from refact_edge.runtime.errors import RefactEdgeError
from refact_edge.runtime.serve.cli import serve
from refact_edge.runtime.serve.process.listening import listening


@contextmanager
def _serve(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command, and kill it when the test has not ended it."""
    command = [sys.executable, "-m", "refact_edge.runtime", "serve", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _greeting(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith("Ctrl-C"):
            break
    return lines


def _url(lines: list[str]) -> str:
    return lines[0].split()[-1]


def _refusal(*arguments: object, **environment: str) -> str:
    """Run a command that must fail; return the one line that it prints."""
    with _serve(*arguments, **environment) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert out == ""
    assert "Traceback" not in err
    (line,) = err.splitlines()
    return line


@needs_shell
def test_it_prints_its_addresses_and_a_line_that_works(tiny_bundle: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with _serve(tiny_bundle, "--port", 0, "--variant", "int8") as process:
        lines = _greeting(process)
        assert re.fullmatch(r"tiny, int8 on cpu, at http://127\.0\.0\.1:\d+", lines[0])
        (line,) = [line for line in lines if line.startswith("try: ")]
        command = shlex.split(line.removeprefix("try: "))
        done = subprocess.run([*command, "-s"], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["choices"][0]["finish_reason"] in ("stop", "length")


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_while_it_streams(demo_bundle: Path, number: signal.Signals) -> None:
    with _serve(demo_bundle, "--port", 0, "--variant", "fp32") as process:
        url = _url(_greeting(process))
        body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 500, "stream": True}
        body |= {"temperature": 1.5}
        text = ""
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=30) as reply:
            for part in reply.iter_text():
                if not text:
                    process.send_signal(number)
                text += part
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "ended"
    assert "the server ends" in json.loads(events(text)[-1])["error"]["message"]


@needs_signals
def test_a_request_that_is_cut_off_gets_to_know_it(demo_bundle: Path) -> None:
    with _serve(demo_bundle, "--port", 0, "--variant", "fp32", "--slots", 1) as process:
        url = _url(_greeting(process))
        body = {"prompt": ["import os\n"] * 60, "max_tokens": 200, "temperature": 1.5}
        results: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: results.append(
                httpx.post(f"{url}/v1/completions", json=body, timeout=60)
            )
        )
        thread.start()
        while not httpx.get(f"{url}/health").json()["running"]:
            assert thread.is_alive()
        process.send_signal(signal.SIGTERM)
        thread.join()
        _, err = process.communicate(timeout=20)
    assert (results[0].status_code, process.returncode) == (503, 0)
    assert "the server ends" in results[0].json()["error"]["message"]
    assert "Traceback" not in err


@needs_signals
def test_it_ends_cleanly_at_rest(tiny_bundle: Path) -> None:
    with _serve(tiny_bundle, "--port", 0) as process:
        _greeting(process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "ended\n")


@needs_unix_sockets
def test_a_socket_is_served_and_removed(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "edge.sock"
    for _ in range(2):  # a dead one is taken over
        with _serve(tiny_bundle, "--unix-socket", path) as process:
            lines = _greeting(process)
            assert str(path) in lines[0]
            assert path.stat().st_mode & 0o077 == 0
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost"
            ) as http:
                assert http.get("/health").json()["status"] == "ok"
    with _serve(tiny_bundle, "--unix-socket", path) as process:
        _greeting(process)
        assert "Address already in use" in _refusal(tiny_bundle, "--unix-socket", path)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert not path.exists()


def test_a_taken_port_is_told(tiny_bundle: Path) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        message = _refusal(tiny_bundle, "--port", port)
    assert message.startswith(f"error: port {port} cannot be bound")
    assert "--port" in message


def test_pieces_are_sent_at_once() -> None:
    """Without TCP_NODELAY each would wait up to 40 ms for the last one's acknowledgement."""

    async def nodelay() -> int:
        with listening(0, None) as (listener, address):
            accepted = asyncio.get_running_loop().create_future()
            server = await asyncio.start_server(
                lambda _, writer: accepted.set_result(writer), sock=listener
            )
            port = int(address.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            peer = (await accepted).get_extra_info("socket")
            result = int(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            for one in (writer, await accepted, server):
                one.close()
            return result

    assert asyncio.run(nodelay()) == 1


def _problem(*arguments: object) -> str:
    """Run the command in this process, where it must fail; return what a process would print."""
    with pytest.raises(RefactEdgeError) as caught:
        serve.main(list(map(str, arguments)), standalone_mode=False)
    (line,) = str(caught.value).splitlines()
    return line


def test_mistakes_are_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    assert "nowhere" in _refusal(tmp_path / "nowhere")
    assert "slots 0" in _problem(tiny_bundle, "--slots", 0)
    assert "--port 99999" in _problem(tiny_bundle, "--port", 99999)
    assert "int3" in _problem(tiny_bundle, "--variant", "int3", "--port", 0)
    empty = tmp_path / "key"
    empty.write_text("\n")
    assert "expected one word" in _problem(tiny_bundle, "--api-key", empty)
    assert "cannot be read" in _problem(tiny_bundle, "--api-key", tmp_path / "none")


@needs_signals
@pytest.mark.parametrize("place", ["file", "environment"])
def test_a_key_is_taken_and_never_shown(tiny_bundle: Path, tmp_path: Path, place: str) -> None:
    file = tmp_path / "key"
    file.write_text("open-sesame\n")
    more = ["--api-key", file] if place == "file" else []
    environment = {} if place == "file" else {"REFACT_EDGE_API_KEY": "open-sesame\n"}
    with _serve(tiny_bundle, "--port", 0, *more, **environment) as process:
        lines = _greeting(process)
        url = _url(lines)
        text = f"$(cat {file})" if place == "file" else "$REFACT_EDGE_API_KEY"
        assert f"Bearer {text}" in "\n".join(lines)
        assert httpx.get(f"{url}/v1/models").status_code == 401
        right = {"authorization": "Bearer open-sesame"}
        assert httpx.get(f"{url}/v1/models", headers=right).status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert "open-sesame" not in "\n".join([*lines, out, err])


@needs_signals
def test_the_log_is_json_without_text_unless_asked_for(tiny_bundle: Path) -> None:
    secret = "my_secret_name = 1"
    logs = {}
    for more in ([], ["--log-text"], ["--quiet"]):
        with _serve(tiny_bundle, "--port", 0, *more) as process:
            url = _url(_greeting(process))
            body = {"prompt": secret, "max_tokens": 2, "temperature": 0}
            assert httpx.get(f"{url}/health").status_code == 200  # which is not worth a line
            new = httpx.post(f"{url}/v1/completions", json=body).json()["usage"]
            process.send_signal(signal.SIGINT)
            _, logs[" ".join(more)] = process.communicate(timeout=20)
    (line,) = logs[""].splitlines()[:-1]
    message = json.loads(line)
    assert (message["path"], message["status"], message["new"]) == (
        "/v1/completions",
        200,
        new["completion_tokens"],
    )
    assert message["ms"] >= message["first_ms"] > 0
    assert secret not in logs[""]
    assert secret in logs["--log-text"]
    assert logs["--quiet"] == "ended\n"


def test_without_the_extra_it_says_what_to_install(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name in ('uvicorn', 'pygls') "
        "else find(name, *more)\n"
    )
    message = _refusal(tiny_bundle, PYTHONPATH=str(tmp_path))
    assert message == (
        "error: uvicorn is not installed; install it with: pip install 'refact-edge[serve]'"
    )


@needs_signals
def test_serving_writes_nothing_and_calls_nobody(tiny_bundle: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with _serve(tiny_bundle, "--port", 0, HOME=str(home)) as process:
        url = _url(_greeting(process))
        body = {"prompt": "a", "suffix": "b", "max_tokens": 4}
        assert httpx.post(f"{url}/v1/completions", json=body).status_code == 200
        if Path("/proc/net/tcp").exists():
            assert _connections(process.pid) <= {"0100007F"}  # loopback
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert list(home.rglob("*")) == []


def _connections(pid: int) -> set[str]:
    """Return the far addresses of a process's TCP sockets, as the kernel writes them."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
        except FileNotFoundError:
            continue
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    result = {row[2].split(":")[0] for row in rows if row[9] in inodes}
    return result - {"00000000"}
