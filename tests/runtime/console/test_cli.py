"""The command line as its user meets it: what is printed, and the exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest
from systems import needs_shell, needs_signals, needs_terminal

from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.opening.machine import this_machine
from refact_edge.runtime.opening.plan import Wishes, plan

Done = subprocess.CompletedProcess[str]


def _run(*arguments: object, stdin: str | bytes = "") -> Done:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    command = [sys.executable, "-m", "refact_edge.runtime", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=120)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def _complete(bundle: Path, *arguments: object, stdin: str | bytes = "") -> Done:
    fixed = ("--bundle", bundle, "--max-tokens", 6, "--seed", 1, "--temperature", 1.5)
    return _run("complete", *arguments, *fixed, stdin=stdin)


def test_the_three_ways_of_naming_the_cursor_give_the_same_text(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.py"
    file.write_text("é = 1\ndef f(x):\n    return x\n")
    by_place = _complete(tiny_bundle, file, "--line", 2, "--column", 7)
    marked = file.read_text().replace("f(x)", "f(<CURSOR>x)")
    by_marker = _complete(tiny_bundle, stdin=marked)
    other = _complete(tiny_bundle, "--marker", "|", stdin=marked.replace("<CURSOR>", "|"))
    before, after = marked.split("<CURSOR>")
    by_parts = _complete(tiny_bundle, "--prefix", before, "--suffix", after)
    assert by_place.returncode == 0, by_place.stderr
    assert by_place.stdout == by_marker.stdout == other.stdout == by_parts.stdout
    assert by_place.stderr == ""


def test_json_tells_text_finish_and_usage(tiny_bundle: Path) -> None:
    done = _complete(tiny_bundle, "--prefix", "a", "--json")
    answer = json.loads(done.stdout)
    assert answer.keys() == {"text", "finish", "usage", "variant", "device"}
    assert (answer["variant"], answer["device"]) == ("int4", "cpu")
    assert answer["usage"].keys() == {"prompt", "cached", "new", "drafted", "accepted"}
    plain = _complete(tiny_bundle, "--prefix", "a")
    assert plain.stdout == answer["text"] + "\n"


MISTAKES = [
    (("--line", 9, "--column", 1), "line 9 is outside .*a.py; expected 1 to 3"),
    (("--line", 1, "--column", 99), "column 99 is outside line 1"),
    ((), "needs --line and --column"),
    (("--line", 1, "--column", 1, "--prefix", "x"), "give FILE with --line and --column, or"),
    (("--line", 1, "--column", 1, "--variant", "int9"), "no variant 'int9'; it has: "),
    (("--line", 1, "--column", 1, "--order", "xyz"), "order 'xyz'; expected one of: spm, psm"),
    (("--line", 1, "--column", 1, "--device", "gpu"), "device 'gpu'; expected one of auto"),
    (("--line", 1, "--column", 1, "--top-p", "7"), "top_p 7.0; expected over 0 and at most 1"),
    (("--line", 1, "--column", 1, "--threads", "0"), "threads 0; expected 1 to 1024"),
    (("--line", 1, "--column", 1, "--extra", "nowhere"), "nowhere cannot be read: No such file"),
]


@pytest.mark.parametrize(("arguments", "complaint"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_1(
    arguments: tuple[object, ...], complaint: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("x = 1\ny = 2\n")
    done = _complete(tiny_bundle, tmp_path / "a.py", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert pytest.importorskip("re").search(complaint, line)


def test_missing_files_folders_and_bad_bytes_are_named(tiny_bundle: Path, tmp_path: Path) -> None:
    place = ("--line", 1, "--column", 1)
    missing = _complete(tiny_bundle, tmp_path / "no.py", *place)
    assert "no.py cannot be read: No such file or directory" in missing.stderr
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    latin = _complete(tiny_bundle, tmp_path / "latin.py", *place)
    assert "is not UTF-8: byte 0xe9 at offset 5; convert it first" in latin.stderr
    stdin = _complete(tiny_bundle, stdin=b"\xff<CURSOR>")
    assert "standard input is not UTF-8" in stdin.stderr
    none = _complete(tiny_bundle, stdin="no cursor here")
    assert "holds <CURSOR> 0 times; expected it once" in none.stderr
    bundle = _complete(tmp_path, "--prefix", "a")
    assert "has no refact_edge.json, so it is not a bundle" in bundle.stderr
    for done in (missing, latin, stdin, none, bundle):
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_a_wrong_option_is_exit_code_2(tiny_bundle: Path) -> None:
    done = _complete(tiny_bundle, "--tempreature", "1")
    assert done.returncode == 2
    assert "No such option" in done.stderr


def test_chat_answers_an_argument_or_what_is_piped_in(tiny_bundle: Path) -> None:
    options = ("--bundle", tiny_bundle, "--max-tokens", 5, "--seed", 2, "--temperature", 1)
    one = _run("chat", "hello", *options)
    assert (one.returncode, one.stderr) == (0, "")
    assert _run("chat", *options, stdin="hello\n").stdout == one.stdout
    empty = _run("chat", *options)
    assert empty.stderr.startswith("error: standard input is empty; expected a question there")
    assert "the last message is empty; expected a" in _run("chat", "", *options).stderr


@needs_shell
@pytest.mark.parametrize(
    ("redirection", "complaint"),
    [(">/dev/full", "error: No space left on device"), (">&-", "error: standard output is closed")],
)
def test_output_that_cannot_be_written_is_one_line(
    redirection: str, complaint: str, tiny_bundle: Path
) -> None:
    command = f"{sys.executable} -m refact_edge complete --bundle {tiny_bundle} --prefix a"
    done = subprocess.run(
        f"{command} --no-empty --temperature 1 {redirection}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith(complaint)
    assert "Traceback" not in done.stderr


@needs_signals
def test_ctrl_c_during_json_tells_what_there_is(tiny_bundle: Path, root: Path) -> None:
    script = (
        "import sys, signal, os\n"
        "from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession as Session\n"
        "real, calls = Session.step, []\n"
        "def step(self, *arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 3: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(self, *arguments)\n"
        "Session.step = step\n"
        "from refact_edge.runtime.__main__ import main\n"
        "main()\n"
    )
    options = ["--prefix", "a", "--no-empty", "--json", "--temperature", "0", "--stop", "never"]
    command = [sys.executable, "-c", script, "complete", "--bundle", str(tiny_bundle), *options]
    command += ["--engine", "onnxruntime"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert json.loads(done.stdout)["finish"] == "cancelled"
    assert done.stderr == "\ninterrupted\n"


def test_ctrl_c_during_imports_leaves_no_traceback() -> None:
    script = (
        "import builtins\n"
        "from refact_edge.runtime.__main__ import main\n"
        "real = builtins.__import__\n"
        "def interrupted(name, *rest, **named):\n"
        "    if name == 'click':\n"
        "        raise KeyboardInterrupt\n"
        "    return real(name, *rest, **named)\n"
        "builtins.__import__ = interrupted\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")


@needs_shell
def test_closed_input_and_narrow_output_leave_no_traceback(tiny_bundle: Path) -> None:
    closed = f"{sys.executable} -m refact_edge.runtime complete --bundle {tiny_bundle} <&-"
    done = subprocess.run(closed, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("error: standard input is ")
    command = [sys.executable, "-m", "refact_edge.runtime", "complete", "--bundle"]
    command.append(str(tiny_bundle))
    for seed in range(8):
        options = ["--prefix", "é", "--temperature", "9", "--top-k", "0", "--seed", str(seed)]
        narrow = subprocess.run(
            [*command, *options],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=False,
        )
        assert narrow.returncode == 0, narrow.stderr
        narrow.stdout.decode("utf-8")


def test_without_a_bundle_the_demo_is_used_or_the_command_that_makes_it_is_named() -> None:
    from refact_edge.runtime.opening.demo import find_demo

    done = _run("complete", "--prefix", "def f(", "--max-tokens", 2)
    if find_demo():
        assert done.returncode == 0
        assert done.stderr == "using the demo bundle, a toy model; name another with --bundle\n"
    else:
        assert done.returncode == 1
        assert "there is no demo bundle; name a bundle's folder" in done.stderr


def test_info_and_doctor_describe_a_bundle(bundle_copy: Path) -> None:
    done = _run("info", bundle_copy)
    assert "gpt_refact, 2 layers of width 96" in done.stdout
    assert all(f"\n{name} " in done.stdout for name in ("fp32", "fp16", "int8", "int4"))
    chosen = plan(read_bundle(bundle_copy), Wishes(), this_machine())
    assert f"\nopens here as: {chosen}\n" in done.stdout
    assert all(f"\n  {reason}\n" in done.stdout for reason in chosen.reasons)
    assert json.loads(_run("info", bundle_copy, "--json").stdout)["sizes"]["kv_heads"] == 1
    healthy = _run("doctor", bundle_copy)
    assert f"opens here as        {chosen}: " in healthy.stdout
    assert healthy.returncode == 0, healthy.stdout
    assert "onnxruntime telemetry  off" in healthy.stdout
    (bundle_copy / "onnx" / "model_q4.onnx_data").unlink()
    ill = _run("doctor", bundle_copy)
    assert ill.returncode == 1
    assert "!!   int4" in ill.stdout
    assert "model_q4.onnx_data is missing" in ill.stdout


@pytest.mark.parametrize(
    "command", ["complete", "chat", "export", "info", "verify", "doctor", "fabricate"]
)
def test_every_command_has_examples_in_its_help(command: str) -> None:
    done = _run(command, "--help")
    assert done.returncode == 0
    assert f"    refact-edge {command} " in done.stdout.split("Examples:")[1]


@needs_shell
def test_a_reader_that_goes_away_leaves_no_traceback(tiny_bundle: Path) -> None:
    command = f"{sys.executable} -m refact_edge.runtime info --json {tiny_bundle} | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


@needs_terminal
def test_a_talk_survives_ctrl_c_and_ends_with_ctrl_d(tiny_bundle: Path) -> None:
    arguments = ["-m", "refact_edge.runtime", "chat", "--bundle", str(tiny_bundle)]
    arguments += ["--max-tokens", "600", "--temperature", "5", "--top-k", "0"]
    talk = pexpect.spawn(sys.executable, arguments, timeout=60)
    talk.expect_exact("you> ")
    talk.sendline("word " * 300)
    talk.expect_exact("error: the prompt has")
    talk.expect_exact("you> ")
    for _ in range(3):
        talk.sendline("hello")
        talk.expect_exact("hello\r\n")
        # In the middle of the answer, or at the next prompt when random weights were brief.
        # A signal in the instant before readline waits is seen with the next key: press again.
        for _ in range(10):
            talk.sendintr()
            seen = talk.expect_exact(["(Ctrl-D ends the conversation)", pexpect.TIMEOUT], timeout=3)
            if seen == 0:
                break
        assert seen == 0
        talk.expect_exact("you> ")
    talk.sendeof()
    talk.expect(pexpect.EOF)
    talk.close()
    assert talk.exitstatus == 0


@needs_terminal
def test_sigterm_ends_a_conversation(tiny_bundle: Path) -> None:
    arguments = ["-m", "refact_edge.runtime", "chat", "--bundle", str(tiny_bundle)]
    talk = pexpect.spawn(sys.executable, arguments, timeout=60)
    talk.expect_exact("you> ")
    talk.kill(signal.SIGTERM)
    talk.sendline()  # a signal in the instant before readline waits is seen with the next key
    talk.expect_exact("interrupted")
    talk.expect(pexpect.EOF)
    talk.close()
    assert talk.exitstatus == 130


@needs_signals
def test_ctrl_c_in_a_command_says_interrupted(tiny_bundle: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "refact_edge.runtime",
        "complete",
        "--bundle",
        str(tiny_bundle),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(1.5)  # it waits for standard input
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None
        assert process.stderr.read().decode().strip() == "interrupted"
