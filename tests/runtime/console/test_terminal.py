"""What somebody else may have named steers no terminal, wherever it is printed."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from refact_edge.runtime import __main__ as command_line
from refact_edge.runtime.bundle.contract import MANIFEST
from refact_edge.runtime.errors import RefactEdgeWarning, one_line, printable
from refact_edge.runtime.serve.process import output
from refact_edge.runtime.serve.process.logs import JsonFormatter, TextFormatter

COMMAND = [sys.executable, "-m", "refact_edge.runtime"]
# An escape sequence, the same by a single sign, "to the left from here", a line's start.
HOSTILE = "a\x1b[2J\x9b2J\u202eb\rc\x07\x7f"
SHOWN = "a?[2J?2J?b c??"


def _steers(text: str) -> bool:
    return not all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, SHOWN),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("caf\u00e9 \u65e5\u672c \U0001f600", "caf\u00e9 \u65e5\u672c \U0001f600"),
        ("\u2066\u200f\u061c\u2028\x85\ud800\x00", "???  ??"),
        (Path("a"), "a"),
    ],
)
def test_signs_that_steer_a_terminal_are_shown_as_question_marks(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_in_one_line_the_same_signs_are_harmless() -> None:
    assert not _steers(one_line(HOSTILE + "\n" + HOSTILE))


@pytest.mark.parametrize("folder", ["runtime", "export", "quant"])
def test_commands_print_through_one_function(root: Path, folder: str) -> None:
    """The model's own text, while it is written, has a function of its own in `complete`."""
    found = {
        (str(file.relative_to(root)), line.strip())
        for file in (root / folder).rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.search(r"\bclick\.s?echo\(|(?<![\w.])print\(", line)
    }
    assert (
        found
        - {
            ("runtime/console/terminal.py", "click.echo(printable(text), err=err)"),
            ("runtime/console/ask.py", "click.echo(_visible(piece), nl=False)"),
        }
        == set()
    )


def _said(*words: object) -> str:
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode in (0, 1, 2)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("command", [["info"], ["info", "--json"], ["doctor"]])
def test_names_in_a_manifest_and_of_a_folder_are_harmless(
    bundle_copy: Path, command: list[str]
) -> None:
    file = bundle_copy / MANIFEST
    manifest = json.loads(file.read_text())
    manifest["files"][HOSTILE + "\nok bundle"] = {"bytes": 1, "sha256": "0" * 64}
    file.write_text(json.dumps(manifest))
    bundle = bundle_copy.rename(bundle_copy.parent / HOSTILE)
    said = _said(*command, bundle)
    assert "\nok bundle is missing" not in said
    assert not _steers(said)
    assert SHOWN in said or "a\\u001b[2J" in said


@pytest.mark.parametrize(
    "words",
    [
        ["info", HOSTILE],
        ["info", "bundle", HOSTILE],
        ["complete", "--bundle", HOSTILE, "--prefix", "x"],
        ["export", HOSTILE, "there"],
        ["serve", HOSTILE],
        ["lsp", HOSTILE, "--tcp", "0"],
        ["bench", HOSTILE],
        ["eval", "compare", HOSTILE, HOSTILE],
    ],
)
def test_errors_are_harmless(words: list[str]) -> None:
    said = _said(*words)
    assert "?2J?b c??" in said or "x9b" in said
    assert not _steers(said)


def test_warnings_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    command_line._show_warning(RefactEdgeWarning(HOSTILE), RefactEdgeWarning)
    assert capsys.readouterr().err == f"warning: {SHOWN}\n"


def test_what_servers_say_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    output.say(HOSTILE)
    output.note(HOSTILE)
    assert capsys.readouterr() == (f"{SHOWN}\n", f"{SHOWN}\n")


def test_logs_are_harmless_and_json_stays_what_it_was() -> None:
    record = logging.LogRecord("name", logging.ERROR, "", 0, "%s", (HOSTILE,), None)
    record.fields = {"request": HOSTILE + "\u00e9"}
    line = JsonFormatter().format(record)
    assert line.isprintable()
    assert json.loads(line)["event"] == HOSTILE
    assert json.loads(line)["request"] == HOSTILE + "\u00e9"
    assert "\u00e9" in line
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter("%(name)s: %(message)s"))
    handler.emit(record)
    assert stream.getvalue() == f"name: {SHOWN}\n"
