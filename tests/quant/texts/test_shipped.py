"""The shipped sets: fixed, told apart, and read the same from every place."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from refact_edge.quant.texts.shipped import (
    CALIBRATION,
    CONVERSATIONS,
    REPORT,
    SourceSet,
    described,
    fingerprint,
)
from refact_edge.quant.texts.sources import find_sources
from refact_edge.runtime.errors import EvalError

ALL = [CALIBRATION, CONVERSATIONS, REPORT]
SETS = pytest.mark.parametrize("shipped", ALL, ids=lambda shipped: shipped.name)
OF_CODE = pytest.mark.parametrize("shipped", [CALIBRATION, REPORT], ids=lambda one: one.name)
FINGERPRINTS = """
from refact_edge.export.quality import default_data
from refact_edge.quant.texts.calibration import default_sources
from refact_edge.quant.texts.shipped import fingerprint
print(fingerprint(default_sources()), fingerprint(default_data()))
"""


@SETS
def test_a_sets_hash_is_that_of_its_files(shipped: SourceSet) -> None:
    # After a change to the files they need a new version, and the hash that the error names.
    assert fingerprint(shipped.read()) == shipped.sha256


@SETS
def test_files_of_another_version_are_refused(shipped: SourceSet) -> None:
    with pytest.raises(EvalError, match=r"expected those of version 2, 0+; install"):
        replace(shipped, version=2, sha256="0" * 64).read()


@OF_CODE
def test_every_shipped_file_is_fit_for_holes(shipped: SourceSet, tmp_path: Path) -> None:
    for source in shipped.read():
        (tmp_path / source.name).write_text(source.text, encoding="utf-8")
    files = find_sources(tmp_path)
    assert list(files.files) == shipped.read()
    assert not files.skipped


def test_the_calibration_set_speaks_many_languages() -> None:
    assert len({Path(file.name).suffix for file in CALIBRATION.read()}) >= 10


def test_what_is_measured_on_is_not_calibrated_on() -> None:
    calibrated = {file.text for file in CALIBRATION.read()}
    assert not calibrated & {file.text for file in REPORT.read()}


def test_a_manifest_tells_a_shipped_set_from_the_users_files() -> None:
    assert described(CALIBRATION.read()) == {
        "name": "calibration-set", "version": CALIBRATION.version, "sha256": CALIBRATION.sha256,
    }  # fmt: skip
    own = described(CALIBRATION.read()[:3])
    assert (own["name"], own["files"]) == ("the user's own files", 3)
    assert own["sha256"] != CALIBRATION.sha256


def test_an_installed_copy_with_edited_code_and_other_line_ends_reads_the_same_files(
    root: Path, tmp_path: Path
) -> None:
    package = tmp_path / "refact_edge"
    absent = shutil.ignore_patterns("__pycache__", "*.so", "default_bundle")
    for folder in ("export", "quant", "runtime"):
        shutil.copytree(root / folder, package / folder, ignore=absent)
    shutil.copyfile(root / "__init__.py", package / "__init__.py")
    for file in (*package.glob("*/*.py"), *package.glob("quant/*-set/*")):
        text = file.read_text(encoding="utf-8") + "# edited\n" * (file.suffix == ".py")
        file.write_text(text, encoding="utf-8", newline="\r\n")
    command = [sys.executable, "-c", FINGERPRINTS]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, env={"PYTHONPATH": "."}
    )
    assert done.stdout.split() == [CALIBRATION.sha256, REPORT.sha256]
