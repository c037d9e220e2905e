"""What a server cannot do any more in its sandbox, and that it answers as before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from served import descriptors, ready

from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.machine.seccomp import why_no_filter
from refact_edge.runtime.serve.process.sandbox import check_sandbox

pytestmark = pytest.mark.skipif(bool(why_no_filter()), reason=f"no sandbox: {why_no_filter()}")

TRY = """
import json, os, socket, subprocess, sys, threading
from pathlib import Path
import refact_edge.runtime.serve.app
from refact_edge.runtime.serve.process.sandbox import enter_sandbox

folder = Path(sys.argv[1])
earlier = threading.Event(), []
def late():
    earlier[0].wait()
    try: open(folder / "by a thread of before", "w")
    except OSError as error: earlier[1].append(error.errno)
thread = threading.Thread(target=late); thread.start()
enter_sandbox(unlinks=False)
earlier[0].set(); thread.join()
tries = {
    "read": lambda: open(folder / "there").read(),
    "write": lambda: open(folder / "new", "w"),
    "rename": lambda: os.rename(folder / "there", folder / "elsewhere"),
    "unlink": lambda: os.unlink(folder / "there"),
    "make a folder": lambda: os.mkdir(folder / "more"),
    "change rights": lambda: os.chmod(folder / "there", 0o777),
    "list": lambda: os.listdir(folder),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "look up": lambda: socket.getaddrinfo("example.org", 80),
    "run": lambda: subprocess.run(["true"]),
    "fork": os.fork,
    "end another": lambda: os.kill(os.getppid(), 0),
}
came = {"a thread of before": earlier[1]}
for name, act in tries.items():
    try: came[name] = repr(act())
    except OSError as error: came[name] = "refused"
done = []
new = threading.Thread(target=lambda: done.append(1)); new.start(); new.join()
came["a new thread"] = done
print(json.dumps(came))
"""


def test_files_sockets_and_programs_are_out_of_reach_and_threads_are_not(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")
    command = [sys.executable, "-c", TRY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    came = json.loads(done.stdout)
    assert came.pop("a new thread") == [1]
    assert came.pop("a thread of before") == [1]  # EPERM
    assert came == dict.fromkeys(came, "refused")
    assert [file.name for file in tmp_path.iterdir()] == ["there"]


POSTS = [
    ("/v1/completions", {"prompt": "x = 1\n", "max_tokens": 4}),
    ("/v1/completions", {"prompt": "x", "suffix": "\n", "max_tokens": 4, "stream": True}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "é"}], "max_tokens": 4}),
    ("/infill", {"input_prefix": "a", "input_suffix": "b", "n_predict": 4}),
    ("/tokenize", {"content": "x = 1"}),
    ("/api/generate", {"model": "tiny", "prompt": "x", "options": {"num_predict": 4}}),
    ("/api/show", {"model": "tiny"}),
]


def test_a_server_in_its_sandbox_answers_everything(tiny_bundle: Path) -> None:
    with ready(tiny_bundle, "--sandbox", "--name", "tiny") as (process, first):
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "\nSeccomp:\t2\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        open_before = descriptors(process.pid)
        with httpx.Client(base_url=f"http://127.0.0.1:{first['port']}", timeout=60) as http:
            document = http.get("/openapi.json").json()
            pages = [path for path, of in document["paths"].items() if "get" in of]
            answers = {path: http.get(path).status_code for path in pages if "{" not in path}
            assert answers == dict.fromkeys(answers, 200)
            assert "<title>" in http.get("/", headers={"accept": "text/html"}).text
            assert http.get("/page/style.css").status_code == 200
            for path, body in POSTS:
                answer = http.post(path, json=body)
                assert answer.status_code == 200, (path, answer.text)
            assert http.get("/nowhere").status_code == 404
            assert http.post("/v1/completions", content=b"{").status_code == 400
        assert descriptors(process.pid) <= open_before + 1  # the connection
        process.terminate()
        assert process.wait(20) in (0, -15)


def test_a_socket_at_a_path_is_removed_in_the_end(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with ready(tiny_bundle, "--sandbox", "--unix-socket", path) as (process, _):
        assert path.exists()
        os.kill(process.pid, 2)
        process.wait(20)
    assert not path.exists()


def test_what_needs_files_later_is_refused() -> None:
    with pytest.raises(OptionError, match=r"--sandbox goes without --caches, which opens files"):
        check_sandbox(device="auto", **{"--caches": Path(), "--idle-seconds": None})
    with pytest.raises(OptionError, match=r"--sandbox goes without --device cuda"):
        check_sandbox(device="cuda")
