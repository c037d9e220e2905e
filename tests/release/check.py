"""Checks the wheels of all systems: looks into each, and runs what can run here.

    python -m release.check dist/all

Ends with a table of what ran, and of what did not and why; exits with 1 where something failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from wheel.wheelfile import WheelFile

from refact_edge.runtime.backends.native import layout
from refact_edge.runtime.backends.native.library import opened
from refact_edge.runtime.errors import OptionError

from .contents import problems_of_wheel
from .machines import MACHINES, Machine
from .targets import TARGETS, Target
from .wheels import AT_ONCE, NATIVE
from .zig import ROOT, CompileError, compile_loader, compile_test

WINE_FOLDER = ROOT / "build" / "wine"
TIMEOUT_S = 600
# Made-up products and whole models, from seed 1 on.
TESTS = (("products", "100"), ("steps", "6"))


@dataclass(frozen=True)
class Row:
    """A line of the table: `state` is passed, FAILED or skipped."""

    wheel: str
    machine: str
    check: str
    state: str
    detail: str

    def __str__(self) -> str:
        """Return it in columns."""
        return f"{self.wheel:24}{self.machine:17}{self.check:10}{self.state:9}{self.detail}"


def check_target(target: Target, dist: Path, here: list[str]) -> list[Row]:
    """Return what came of all checks of a target's wheel in `dist`.

    `here` are the ways to compute of this machine's CPU, by a library of its own compiler.
    """
    wheels = list(dist.glob(f"refact_edge-*-{target.platform}.whl"))
    if len(wheels) != 1:
        return [Row(target.name, "", "contents", "FAILED", f"{len(wheels)} wheels, expected 1")]
    problems = "; ".join(problems_of_wheel(wheels[0], target))
    rows = [_row(target, "", "contents", problems, f"{wheels[0].stat().st_size} bytes")]
    machines = [machine for machine in MACHINES if machine.target == target.name]
    if not machines:
        rows.append(Row(target.name, "", "runs", "skipped", "nothing here runs its programs"))
    with TemporaryDirectory() as folder:
        for machine in machines:
            rows += _check_on(machine, target, wheels[0], Path(folder), here)
    return rows


def _check_on(
    machine: Machine, target: Target, wheel: Path, folder: Path, here: list[str]
) -> Iterator[Row]:
    if reason := machine.why_not():
        yield Row(target.name, machine.name, "runs", "skipped", reason)
        return
    kinds = machine.expected_kinds(here)
    yield _check_opening(machine, target, wheel, folder, kinds)
    for name, count in TESTS:
        program = compile_test(target, name, folder)
        if name == "products":
            names = _run(machine, program)
            problem = "" if names.split() == kinds else f"{names!r}, expected {kinds}"
            yield _row(target, machine.name, "kinds", problem, " ".join(kinds))
        answers = {kind: _run(machine, program, kind, "1", count) for kind in kinds}
        wrong = [f"{kind}: {text}" for kind, text in answers.items() if not text.startswith(count)]
        passed = f"{count} by each of {', '.join(kinds)}"
        yield _row(target, machine.name, name, "; ".join(wrong), passed)


def _check_opening(
    machine: Machine, target: Target, wheel: Path, folder: Path, kinds: list[str]
) -> Row:
    """Open the wheel's own library as Python does."""
    if reason := machine.why_not_opening():
        return Row(target.name, machine.name, "opens", "skipped", reason)
    program = compile_loader(target, folder)
    library = folder / f"_edge{target.system.library_suffix}"
    with WheelFile(wheel) as file:
        library.write_bytes(file.read(f"{NATIVE}/{library.name}"))
    answer = _run(machine, program, f"./{library.name}")
    fields = [f"{name} {offset} {size}" for name, offset, size in layout.fields()]
    expected = [*sorted(fields), " ".join(kinds)]
    *theirs, able = answer.split("\n")[:-1] or [""]
    unlike = [line for line in expected if line not in (*theirs, able)]
    problem = "" if [*sorted(theirs), able] == expected else f"{answer!r:.200}, lacks {unlike[:3]}"
    return _row(target, machine.name, "opens", problem, f"{len(fields)} fields, {expected[-1]}")


def _run(machine: Machine, program: Path, *arguments: str) -> str:
    """Return what a program prints; its exit status and errors, where it fails."""
    environment = os.environ | {"WINEPREFIX": str(WINE_FOLDER), "WINEDEBUG": "-all"}
    environment.pop("DISPLAY", None)
    try:
        done = subprocess.run(
            [*machine.command, f"./{program.name}", *arguments],
            cwd=program.parent, env=environment, timeout=TIMEOUT_S,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end after {TIMEOUT_S} s"
    return f"exit {done.returncode}: {done.stdout}{done.stderr}" if done.returncode else done.stdout


def _row(target: Target, machine: str, check: str, problem: str, detail: str) -> Row:
    return Row(target.name, machine, check, "FAILED" if problem else "passed", problem or detail)


def main() -> None:
    """Check the wheels in the folder that is named, and print the table."""
    WINE_FOLDER.parent.mkdir(exist_ok=True)
    try:
        check = partial(check_target, dist=Path(sys.argv[1]), here=opened().able)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            rows = [row for part in pool.map(check, TARGETS) for row in part]
    except (CompileError, OptionError) as error:
        sys.exit(str(error))
    print("\n".join(map(str, rows)))
    states = [row.state for row in rows]
    print(", ".join(f"{states.count(state)} {state}" for state in ("passed", "FAILED", "skipped")))
    sys.exit("FAILED" in states)


if __name__ == "__main__":
    main()
