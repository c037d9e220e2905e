"""Every command is silent: no network, no file outside the folders that are named, no program.

By strace, in a namespace without a network and with a home that nobody may write to.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest
from keys_made import pair
from silence import MISSING, deeds_in, walled

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

INSTALLED = os.environ.get("REFACT_EDGE_INSTALLED", "")  # from a kit, by make kits-check
PYTHON = f"{INSTALLED}/bin/python" if INSTALLED else sys.executable
PROGRAM = [f"{INSTALLED}/bin/refact-edge"] if INSTALLED else [PYTHON, "-m", "refact_edge.runtime"]
OWN = (PYTHON,)  # a kit's script runs it
COMMANDS = [
    ["info", "BUNDLE"],
    ["info", "BUNDLE", "--digest"],
    ["doctor", "BUNDLE"],
    ["complete", "--bundle", "BUNDLE", "--prefix", "def a(", "--suffix", "", "--max-tokens", "4"],
    ["complete", "--bundle", "BUNDLE", "--engine", "onnxruntime", "--prefix", "x"],
    ["chat", "hello", "--bundle", "BUNDLE", "--max-tokens", "4", "--variant", "int8"],
    ["bench", "BUNDLE", "--rounds", "1", "--longest", "64"],
    ["warm", "--clear"],
]


REQUESTS = [
    ("/v1/completions", {"prompt": "x = 1\n", "max_tokens": 4}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "é"}], "max_tokens": 4}),
    ("/infill", {"input_prefix": "a", "input_suffix": "b", "n_predict": 4}),
]


def _silent(
    command: list[str], tmp_path: Path, named: list[Path], bundle: Path | None = None
) -> str:
    """Run a command, see that it did nothing to the world, and return what it printed."""
    log = tmp_path / "log"
    words = [str(bundle) if word == "BUNDLE" else word for word in command]
    with walled([*words], log, named) as process:
        printed, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    assert not deeds_in(log, [tmp_path, *named], own=OWN).all
    return printed + complaints


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_a_command_is_silent(command: list[str], tiny_bundle: Path, tmp_path: Path) -> None:
    assert _silent([*PROGRAM, *command], tmp_path, [], tiny_bundle)


def test_an_export_writes_where_it_is_told_to_alone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    options = ["--variants", "int4", "--no-report", "--effort", "least"]
    command = [*PROGRAM, "export", str(tiny_checkpoint), str(made / "bundle"), *options]
    _silent(command, tmp_path, [made])
    assert (made / "bundle" / "refact_edge.json").exists()


def test_signing_writes_one_file_alone(bundle_copy: Path, tmp_path: Path) -> None:
    keys = pair(bundle_copy.parent, "own")
    _silent([*PROGRAM, "sign", "BUNDLE", "--key", str(keys.private)], tmp_path, [], bundle_copy)
    assert (bundle_copy / "model.sig").exists()
    trusted = ["--trust", str(keys.public)]
    _silent([*PROGRAM, "verify-signature", "BUNDLE", *trusted], tmp_path, [], bundle_copy)
    _silent([*PROGRAM, "doctor", "BUNDLE", *trusted, "--json"], tmp_path, [], bundle_copy)


def test_a_checkpoint_is_made_up_where_it_is_named_alone(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    shape = ["--shape", "refact-1.6b", "--layers", "1"]
    _silent([*PROGRAM, "fabricate", str(made / "checkpoint"), *shape], tmp_path, [made])
    assert (made / "checkpoint" / "config.json").exists()


def test_a_server_is_silent_while_it_answers(tiny_bundle: Path, tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "socket"
    command = [*PROGRAM, "serve", tiny_bundle, "--unix-socket", path, "--ready-json"]
    with walled(command, log, []) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as http:
            for place, body in REQUESTS:
                assert http.post(place, json=body).status_code == 200
            for place in ("/", "/metrics", "/openapi.json", "/v1/models"):
                assert http.get(place).status_code == 200
    assert not deeds_in(log, [tmp_path], own=OWN).all


def test_a_server_listens_on_loopback_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [*PROGRAM, "serve", tiny_bundle, "--port", "0", "--ready-json"]
    with walled(command, log, []) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
    assert not deeds_in(log, [tmp_path], own=OWN).all
    assert "bind(" in log.read_text()


def test_a_language_server_is_silent(tiny_bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    options: dict[str, object] = {"processId": None, "rootUri": None, "capabilities": {}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": options}
    body = json.dumps(request)
    with walled([*PROGRAM, "lsp", tiny_bundle, "--stdio"], log, []) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"Content-Length: {len(body)}\r\n\r\n{body}")
        process.stdin.flush()
        assert process.stdout.readline().startswith("Content-Length: ")
    assert not deeds_in(log, [tmp_path], own=OWN).all


def test_a_program_that_is_not_silent_is_noticed(tmp_path: Path) -> None:
    loud = textwrap.dedent("""
        import contextlib, socket, subprocess
        for act in (
            lambda: open("/var/tmp/note", "w"),
            lambda: socket.create_connection(("192.0.2.1", 80), 1),
            lambda: subprocess.run(["true"]),
        ):
            with contextlib.suppress(OSError): act()
    """)
    log = tmp_path / "log"
    with walled([sys.executable, "-c", loud], log, []) as process:
        process.communicate(timeout=60)
    deeds = deeds_in(log, [tmp_path], own=OWN)
    assert (len(deeds.written), len(deeds.sockets)) == (1, 1)
    assert deeds.programs


EMBEDDED = """
import warnings
import onnxruntime
import refact_edge
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    for _ in range(2): refact_edge.load("BUNDLE")
print(*(str(one.message) for one in heard), sep="\\n")
"""


def test_a_host_that_imported_onnxruntime_first_is_told_in_one_line(tiny_bundle: Path) -> None:
    program = EMBEDDED.replace("BUNDLE", str(tiny_bundle))
    done = subprocess.run(
        [PYTHON, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"HOME": str(tiny_bundle.parent), "PATH": "/usr/bin:/bin"},
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("onnxruntime was imported before refact-edge opened a model")
    assert "set ORT_DISABLE_TELEMETRY=1 before that import" in line
