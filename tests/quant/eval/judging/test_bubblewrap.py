"""Bubblewrap: where it is, whether it can run, and what it says when it cannot."""

import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
from verdicts import RIGHT, TIMEOUT_S, task

from refact_edge.quant.eval.judging.sandbox import PASSED, Sandbox
from refact_edge.runtime.errors import SandboxError


def test_without_bubblewrap_it_refuses_and_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        SandboxError, match=r"which is missing; install it .*apt install bubblewrap"
    ):
        Sandbox(TIMEOUT_S)
    assert Sandbox(TIMEOUT_S, unsafe=True).judge(task(RIGHT)).outcome == PASSED


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
    assert bwrap.judge(task(RIGHT)).passed
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
        bwrap.judge(task(RIGHT))


def test_bubblewrap_is_looked_for_by_name() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    assert Sandbox(TIMEOUT_S)._bwrap == shutil.which("bwrap")
