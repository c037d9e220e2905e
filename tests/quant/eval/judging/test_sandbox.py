"""Programs that mean harm: each fails or times out, soon, and leaves nothing behind.

A program here is right about `answer()` unless it does harm, so that a harm that goes unnoticed
shows as a passed test.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sysconfig
import time
import uuid
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refact_edge.quant.eval.judging import sandbox
from refact_edge.quant.eval.judging.sandbox import FAILED, PASSED, TIMED_OUT, Sandbox, Task, Verdict
from refact_edge.quant.eval.judging.seccomp import ARCHITECTURES, build_filter
from refact_edge.runtime.errors import OptionError, SandboxError

TIMEOUT_S = 8.0
BRIEF_S = 1.0
SLACK_S = 4.0  # the machine may be busy

MARK = f"sandbox-test-{uuid.uuid4()}"
TEST = "def check(candidate):\n    assert candidate() == 42\n    assert candidate() != 43\n"
RIGHT = "def answer():\n    return 42\n"


def _task(program: str, test: str = TEST) -> Task:
    return Task(program, "", ("answer",), test, "answer")


@pytest.fixture(scope="module")
def bwrap() -> Sandbox:
    try:
        return Sandbox(TIMEOUT_S)
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def unsafe() -> Sandbox:
    return Sandbox(TIMEOUT_S, unsafe=True)


@pytest.fixture(params=["bwrap", "unsafe"])
def either(request: pytest.FixtureRequest) -> Sandbox:
    """Return each sandbox in turn, for programs that do no harm to the machine even unsafely."""
    chosen: Sandbox = request.getfixturevalue(request.param)
    return chosen


def _judge(box: Sandbox, program: str, test: str = TEST) -> Verdict:
    """Judge, and see that it took no longer than the timeout and left no process behind."""
    before = time.monotonic()
    verdict = box.judge(_task(program, test))
    assert time.monotonic() - before < TIMEOUT_S + SLACK_S
    _assert_none_left()
    return verdict


@pytest.fixture(autouse=True)
def _marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process of these sandboxes, and what it forks, be known by its command line."""
    monkeypatch.setattr(sandbox, "_START", f"{sandbox._START}  # {MARK}")


def _assert_none_left() -> None:
    left = _running()
    for _ in range(50):
        if not left:
            return
        time.sleep(0.1)
        left = _running()
    raise AssertionError(f"still running: {left}")


def _running() -> list[bytes]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            command = (folder / "cmdline").read_bytes()
            found += [command] * (MARK.encode() in command)
    return found


def test_what_runs_is_seen(either: Sandbox) -> None:
    with ThreadPoolExecutor(1) as pool:
        judging = pool.submit(either.judge, _task("import time\ntime.sleep(1)\n" + RIGHT))
        deadline = time.monotonic() + TIMEOUT_S
        while len(_running()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        seen = len(_running())
        assert judging.result().passed
    assert seen >= 2
    _assert_none_left()


def test_a_right_program_passes_and_a_wrong_one_fails(either: Sandbox) -> None:
    assert _judge(either, RIGHT) == Verdict(PASSED)
    wrong = _judge(either, "def answer():\n    return 41\n")
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
    verdict = _judge(either, program)
    assert verdict.outcome == FAILED
    assert detail in verdict.detail


CHEATS = {
    "exit 0 while loading": "import sys\nsys.exit(0)\n",
    "exit 0 when called": "def answer():\n    raise SystemExit(0)\n",
    "os._exit while loading": "import os\nos._exit(0)\n",
    "os._exit when called": "def answer():\n    import os\n    os._exit(0)\n",
    "print the verdict": 'print(\'{"passed": true, "detail": ""}\', flush=True)\nanswer = None\n',
    "print the verdict to stderr, then end": (
        "import os, sys\n"
        'print(\'{"passed": true, "detail": ""}\', file=sys.stderr, flush=True)\nos._exit(0)\n'
    ),
    "write the verdict to every file descriptor": (
        "import os\n"
        "for fd in range(64):\n"
        "    try:\n"
        '        os.write(fd, b\'{"passed": true, "detail": ""}\\n\' * 9)\n'
        "    except OSError:\n"
        "        pass\n"
        "def answer():\n    return 41\n"
    ),
    "an object equal to everything": (
        "class Any:\n"
        "    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return True\n"
        "def answer():\n    return Any()\n"
    ),
    "an int equal to everything": (
        "class Any(int):\n"
        "    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return True\n"
        "    __hash__ = int.__hash__\n"
        "def answer():\n    return Any(7)\n"
    ),
    "a dict that lies": (
        "class Any(dict):\n"
        "    def __eq__(self, other): return True\n"
        "    def items(self): return []\n"
        "def answer():\n    return Any(a=1)\n"
    ),
    "patched builtins": (
        "import builtins, json\n"
        "builtins.AssertionError = ValueError\n"
        "builtins.exec = builtins.compile = lambda *a, **k: None\n"
        'json.dumps = lambda *a, **k: \'{"passed": true, "detail": ""}\'\n'
        "def answer():\n    return 41\n"
    ),
    "a patched checker": (
        "import sys\n"
        "for module in list(sys.modules.values()):\n"
        "    if hasattr(module, '_failure'): module._failure = lambda *a: ''\n"
        "import inside.checker\n"
        "inside.checker._failure = lambda *a: ''\n"
        "def answer():\n    return 41\n"
    ),
    "a test of its own": "def check(candidate):\n    pass\ndef answer():\n    return 41\n",
    "the answer read from the checker's job": (
        "import glob\n"
        "def answer():\n"
        "    for name in glob.glob('/box/*') + glob.glob('/tmp/refact-eval-*/checker.json'):\n"
        "        if 'candidate' + '() == 42' in open(name).read(): return 42\n"
    ),
    "an end of the loop": "def answer():\n    raise StopIteration\n",
    "a reply that never ends": (
        "import os\n"
        "def answer():\n"
        "    while True:\n"
        "        for fd in range(3, 32):\n"
        "            try: os.write(fd, b'[' * 65536)\n"
        "            except OSError: pass\n"
    ),
    "a reply as deep as a well": (
        "import os\n"
        "def answer():\n"
        "    for fd in range(3, 32):\n"
        "        try: os.write(fd, b'{\"value\": ' + b'[' * 999999 + b'\\n')\n"
        "        except OSError: pass\n"
    ),
    "reply with an unknown tag": (
        "import os\n"
        "def answer():\n"
        "    for fd in range(3, 32):\n"
        '        try: os.write(fd, b\'{"value": {"eval": "42"}}\\n\')\n'
        "        except OSError: pass\n"
    ),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_success_cannot_be_faked(cheat: str, bwrap: Sandbox) -> None:
    assert _judge(bwrap, CHEATS[cheat]).outcome in (FAILED, TIMED_OUT)


@pytest.mark.parametrize(
    "cheat", sorted(CHEATS.keys() - {"the answer read from the checker's job"})
)
def test_nor_without_bubblewrap(cheat: str, unsafe: Sandbox) -> None:
    # Here a program may read the test beside it: its own user's files are open to it.
    assert _judge(unsafe, CHEATS[cheat]).outcome in (FAILED, TIMED_OUT)


def test_a_test_that_catches_everything_does_not_hide_that_the_program_is_gone(
    either: Sandbox,
) -> None:
    test = "def check(candidate):\n    try: candidate()\n    except BaseException: pass\n"
    assert _judge(either, "def answer(): raise ValueError", test).outcome == PASSED
    gone = _judge(either, "import os\ndef answer(): os._exit(0)", test)
    assert gone == Verdict(FAILED, "the program ended")


def test_cases_that_are_mapped_are_all_judged(either: Sandbox) -> None:
    test = "def check(candidate):\n    assert all(map(lambda _: candidate() == 42, [1, 2]))\n"
    assert _judge(either, CHEATS["an end of the loop"], test).outcome == FAILED


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
    assert _judge(either, program).outcome == outcome


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
    verdict = _judge(bwrap, _attempt(harm))
    assert verdict.outcome == FAILED
    assert (
        "Resource temporarily unavailable" in verdict.detail or "start new thread" in verdict.detail
    )


def test_a_daemon_does_not_outlive_its_program(bwrap: Sandbox, tmp_path: Path) -> None:
    harm = (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        import time\n"
        f"        time.sleep(2)\n        open({str(tmp_path / 'alive')!r}, 'w').close()\n"
    )
    assert _judge(bwrap, _attempt(harm)).outcome == FAILED
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
    assert _judge(bwrap, _attempt(harm) + "answer()\nwhile True: pass\n").outcome == TIMED_OUT


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
        assert _judge(bwrap, _attempt(harm)).outcome == FAILED, harm
    deletes = "import shutil\nshutil.rmtree(os.path.expanduser('~'), ignore_errors=True)\n"
    _judge(bwrap, _attempt(deletes + f"shutil.rmtree({str(tmp_path)!r}, ignore_errors=True)"))
    assert secret.read_text() == "42"


@pytest.mark.parametrize("place", ["/", "/box", "/usr/lib", "/dev", "/var/tmp", "/run"])
def test_nothing_can_be_written_outside_the_temporary_folder(place: str, bwrap: Sandbox) -> None:
    verdict = _judge(bwrap, _attempt(f"open({place + '/harm'!r}, 'w')"))
    assert verdict.outcome == FAILED
    assert "Read-only file system" in verdict.detail or "No such file" in verdict.detail
    assert not Path(place, "harm").exists()


def test_the_temporary_folder_is_writable_and_its_own(bwrap: Sandbox) -> None:
    leaves = "with open('left', 'x') as file: file.write('42')\n" + RIGHT
    assert _judge(bwrap, leaves).outcome == PASSED
    assert _judge(bwrap, leaves).outcome == PASSED  # nothing was left there


def test_files_are_bounded_one_by_one_and_together(either: Sandbox) -> None:
    huge = "f = open('huge', 'wb', 0)\nwhile True: f.write(b'x' * (1 << 20)) or 1 / 0"
    assert _judge(either, _attempt(huge)).outcome == FAILED


def test_many_files_do_not_fill_the_memory(bwrap: Sandbox) -> None:
    many = "for i in range(99):\n    open(str(i), 'wb').write(b'x' * (8 << 20))"
    verdict = _judge(bwrap, _attempt(many))
    assert "No space left" in verdict.detail


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_VSOCK"])
def test_no_socket_opens(family: str, bwrap: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        harm = f"import socket\nsocket.socket(socket.{family}).connect(('127.0.0.1', {port}))"
        verdict = _judge(bwrap, _attempt(harm))
    assert verdict.outcome == FAILED
    assert "not permitted" in verdict.detail


@pytest.mark.parametrize("victim", ["os.getppid()", "1", "-1", "0", str(os.getpid())])
def test_no_process_outside_can_be_killed(victim: str, bwrap: Sandbox) -> None:
    sleeper = "import signal\nos.kill(os.getpid(), 0)\n"
    harm = f"{sleeper}os.kill({victim}, signal.SIGKILL)\n"
    verdict = _judge(bwrap, _attempt(harm))  # this process still lives to see it
    # pid 1 of the namespace is shielded from its children; killing oneself is one's own loss.
    assert verdict.outcome in (FAILED, PASSED)
    assert _judge(bwrap, RIGHT).outcome == PASSED


def test_without_bubblewrap_it_refuses_and_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        SandboxError, match=r"which is missing; install it .*apt install bubblewrap"
    ):
        Sandbox(TIMEOUT_S)
    assert Sandbox(TIMEOUT_S, unsafe=True).judge(_task(RIGHT)).outcome == PASSED


def test_a_bubblewrap_that_cannot_run_is_found_out_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(SandboxError, match="No permissions to create new namespace; let it make"):
        Sandbox(TIMEOUT_S)


def test_an_environment_under_an_odd_path_is_no_hindrance(bwrap: Sandbox, tmp_path: Path) -> None:
    assert bwrap.judge(_task(RIGHT)).passed
    folder = tmp_path / "it's an \u00e9nv"
    venv.create(folder, with_pip=False, symlinks=True)
    script = (
        "import site, sys; site.addsitedir(sys.argv[1])\n"
        "from refact_edge.quant.eval.judging.sandbox import _TRIAL, Sandbox\n"
        "print(Sandbox(20).judge(_TRIAL).outcome)\n"
    )
    done = subprocess.run(
        [folder / "bin" / "python", "-c", script, sysconfig.get_path("purelib")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("passed\n", "")


def test_a_sandbox_that_fails_in_the_middle_is_no_failed_program(
    bwrap: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bwrap"  # as when the system has run out of something, for the worker alone
    fake.write_text(
        "#!/bin/sh\n"
        'case "$*" in *inside.worker*) echo "bwrap: Out of namespaces" >&2; exit 1;; esac\n'
        f'exec {bwrap._bwrap} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(bwrap, "_bwrap", str(fake))
    with pytest.raises(SandboxError, match="bwrap: Out of namespaces"):
        bwrap.judge(_task(RIGHT))


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), 1e9])
def test_a_timeout_that_makes_no_sense_is_refused(timeout_s: float) -> None:
    with pytest.raises(OptionError, match="expected over 0 and at most 3600 seconds"):
        Sandbox(timeout_s)


def test_the_filter_is_whole_instructions_for_each_known_machine() -> None:
    for machine in ARCHITECTURES:
        assert len(build_filter(machine)) % 8 == 0
    with pytest.raises(KeyError):
        build_filter("abacus")


def test_bubblewrap_is_looked_for_by_name() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    assert Sandbox(TIMEOUT_S)._bwrap == shutil.which("bwrap")


def test_systems_without_posix_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        with pytest.raises(SandboxError, match="cannot be run on this system; use Linux"):
            Sandbox(TIMEOUT_S, unsafe=True)
