"""Programs that mean harm: each fails or times out, soon, and leaves nothing behind.

A program here is right about `answer()` unless it does harm, so that a harm that goes unnoticed
shows as a passed test.
"""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from verdicts import BRIEF_S, RIGHT, TIMEOUT_S, assert_none_left, judge, running, task

from refact_edge.quant.eval.judging.sandbox import FAILED, PASSED, TIMED_OUT, Sandbox, Verdict
from refact_edge.runtime.errors import OptionError, SandboxError


def test_what_runs_is_seen(either: Sandbox) -> None:
    with ThreadPoolExecutor(1) as pool:
        judging = pool.submit(either.judge, task("import time\ntime.sleep(3)\n" + RIGHT))
        seen = 0
        while seen < 2 and not judging.done():
            seen = len(running())
            time.sleep(0.01)
        assert judging.result().passed
    assert seen >= 2
    assert_none_left()


def test_a_right_program_passes_and_a_wrong_one_fails(either: Sandbox) -> None:
    assert judge(either, RIGHT) == Verdict(PASSED)
    wrong = judge(either, "def answer():\n    return 41\n")
    assert (wrong.outcome, wrong.detail) == (FAILED, "AssertionError()")


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("def answer(:", "SyntaxError"),
        ("def other(): return 42", "AttributeError"),
        ("def answer(): return 1 / 0", "ZeroDivisionError"),
        ("def answer(): return object()", "a value of type object is not plain"),
        ("import numpy\n" + RIGHT, "ModuleNotFoundError"),
        ("input()\n" + RIGHT, "EOFError"),
    ],
)
def test_what_went_wrong_is_told(program: str, detail: str, either: Sandbox) -> None:
    verdict = judge(either, program)
    assert verdict.outcome == FAILED
    assert detail in verdict.detail


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("while True: pass", TIMED_OUT),
        ("def answer():\n    while True: pass", TIMED_OUT),
        ("import time\ntime.sleep(600)\n" + RIGHT, TIMED_OUT),
        ("while True: print('x' * 4096)", TIMED_OUT),
        ("a = bytearray(10 << 30)\n" + RIGHT, FAILED),
        ("a = [0]\nwhile True: a *= 2", FAILED),
        ("def answer():\n    return 'x' * (200 << 20)", FAILED),
        ("def answer():\n    return answer()", FAILED),
        ("import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
         "    except (OSError, ValueError): pass\nwhile True: pass", TIMED_OUT),
    ],
)  # fmt: skip
def test_time_and_memory_are_bounded(
    program: str, outcome: str, either: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    if outcome == TIMED_OUT:
        monkeypatch.setattr(either, "timeout_s", BRIEF_S)
    assert judge(either, program).outcome == outcome


def _attempt(harm: str) -> str:
    """Return a program that is right only when `harm` raises no error."""
    indented = "\n".join(f"    {line}" for line in harm.splitlines())
    return f"import os\ndef answer():\n{indented}\n    return 42\n"


@pytest.mark.parametrize(
    "harm",
    [
        "while True: os.fork()",
        "import subprocess; subprocess.run(['/bin/true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "import threading; [threading.Thread(target=print).start() for _ in range(9)]",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
    ],
)
def test_no_process_can_be_started_by_root_either(harm: str, bwrap: Sandbox) -> None:
    verdict = judge(bwrap, _attempt(harm))
    assert verdict.outcome == FAILED
    assert (
        "Resource temporarily unavailable" in verdict.detail or "start new thread" in verdict.detail
    )


def test_a_daemon_does_not_outlive_its_program(bwrap: Sandbox, tmp_path: Path) -> None:
    harm = (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        import time\n"
        f"        time.sleep(2)\n        open({str(tmp_path / 'alive')!r}, 'w').close()\n"
    )
    assert judge(bwrap, _attempt(harm)).outcome == FAILED
    time.sleep(3)
    assert not (tmp_path / "alive").exists()


def test_even_processes_that_the_filter_would_let_start_die_with_the_program(
    bwrap: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a processor without a table of calls: the namespace alone has to hold.
    monkeypatch.setattr(bwrap, "_filter", b"")
    monkeypatch.setattr(bwrap, "timeout_s", BRIEF_S)
    monkeypatch.setitem(bwrap._limits, "processes", 20)
    harm = "for _ in range(9):\n    if os.fork() == 0:\n        os.setsid()\n        while True: 1"
    assert judge(bwrap, _attempt(harm) + "answer()\nwhile True: pass\n").outcome == TIMED_OUT


def test_the_home_folder_cannot_be_seen_written_or_deleted(
    bwrap: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("42")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SECRET", "42")
    for harm in (
        f"open({str(secret)!r}).read()",
        f"open({str(secret)!r}, 'w').write('gone')",
        f"os.listdir({str(Path.home())!r})",
        "os.environ['SECRET']",
        "open('/etc/passwd').read()",
        "open('/proc/1/environ').read()",
    ):
        assert judge(bwrap, _attempt(harm)).outcome == FAILED, harm
    deletes = "import shutil\nshutil.rmtree(os.path.expanduser('~'), ignore_errors=True)\n"
    judge(bwrap, _attempt(deletes + f"shutil.rmtree({str(tmp_path)!r}, ignore_errors=True)"))
    assert secret.read_text() == "42"


@pytest.mark.parametrize("place", ["/", "/box", "/usr/lib", "/dev", "/var/tmp", "/run"])
def test_nothing_can_be_written_outside_the_temporary_folder(place: str, bwrap: Sandbox) -> None:
    verdict = judge(bwrap, _attempt(f"open({place + '/harm'!r}, 'w')"))
    assert verdict.outcome == FAILED
    assert "Read-only file system" in verdict.detail or "No such file" in verdict.detail
    assert not Path(place, "harm").exists()


def test_the_temporary_folder_is_writable_and_its_own(bwrap: Sandbox) -> None:
    leaves = "with open('left', 'x') as file: file.write('42')\n" + RIGHT
    assert judge(bwrap, leaves).outcome == PASSED
    assert judge(bwrap, leaves).outcome == PASSED  # nothing was left there


def test_files_are_bounded_one_by_one_and_together(either: Sandbox) -> None:
    huge = "f = open('huge', 'wb', 0)\nwhile True: f.write(b'x' * (1 << 20)) or 1 / 0"
    assert judge(either, _attempt(huge)).outcome == FAILED


def test_many_files_do_not_fill_the_memory(bwrap: Sandbox) -> None:
    many = "for i in range(99):\n    open(str(i), 'wb').write(b'x' * (8 << 20))"
    verdict = judge(bwrap, _attempt(many))
    assert "No space left" in verdict.detail


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_VSOCK"])
def test_no_socket_opens(family: str, bwrap: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        harm = f"import socket\nsocket.socket(socket.{family}).connect(('127.0.0.1', {port}))"
        verdict = judge(bwrap, _attempt(harm))
    assert verdict.outcome == FAILED
    assert "not permitted" in verdict.detail


@pytest.mark.parametrize(
    "victim", ["os.getppid()", "1", "-1", "0", pytest.param(str(os.getpid()), id="this process")]
)
def test_no_process_outside_can_be_killed(victim: str, bwrap: Sandbox) -> None:
    sleeper = "import signal\nos.kill(os.getpid(), 0)\n"
    harm = f"{sleeper}os.kill({victim}, signal.SIGKILL)\n"
    verdict = judge(bwrap, _attempt(harm))  # this process still lives to see it
    # pid 1 of the namespace is shielded from its children; killing oneself is one's own loss.
    assert verdict.outcome in (FAILED, PASSED)
    assert judge(bwrap, RIGHT).outcome == PASSED


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), 1e9])
def test_a_timeout_that_makes_no_sense_is_refused(timeout_s: float) -> None:
    with pytest.raises(OptionError, match="expected over 0 and at most 3600 seconds"):
        Sandbox(timeout_s)


def test_systems_without_posix_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        with pytest.raises(SandboxError, match="cannot be run on this system; use Linux"):
            Sandbox(TIMEOUT_S, unsafe=True)
