"""The wheel: the same bytes wherever and whenever it is built, and the same bundles from it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

LIBRARY = Path("runtime/native/_edge.so")
EVERY = pytest.mark.skipif(
    "REFACT_EDGE_WHEEL" not in os.environ,
    reason="builds wheels for two minutes, with a network; run it by `make wheel-check`",
)


def test_the_library_names_no_build_and_no_folder(root: Path) -> None:
    if not (root / LIBRARY).is_file():
        pytest.skip("the native kernels were not built")
    content = (root / LIBRARY).read_bytes()
    assert b".note.gnu.build-id" not in content
    for folder in (root, sys.prefix, sys.base_prefix):
        assert str(folder).encode() not in content
    assert b".debug_info" not in content


def test_building_the_wheel_needs_no_torch(root: Path) -> None:
    rules = (root / "Makefile").read_text(encoding="utf-8")
    (needs,) = re.findall(r"^wheel:(.*?)##", rules, re.MULTILINE)
    assert needs.split() == ["$(LIGHT)", "$(DEMO)/refact_edge.json"]


def test_the_demos_bundle_is_made_anew_after_a_change_to_what_makes_it(root: Path) -> None:
    rules = (root / "Makefile").read_text(encoding="utf-8")
    (needs,) = re.findall(r"^\$\(DEMO\)/refact_edge\.json:.*\$\(wildcard (.*)\)$", rules, re.M)
    files = {path for pattern in needs.split() for path in root.glob(pattern)}
    code = [*root.glob("export/**/*.py"), *root.glob("quant/*.py"), *root.glob("quant/eval/*.py")]
    assert {*code, *root.glob("quant/*-set/*")} <= files


@pytest.fixture(scope="module")
def wheels(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return wheels built in two folders, at two times of two zones, with two umasks."""
    folder, built = tmp_path_factory.mktemp("wheels"), []
    hidden = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "demo"
    )
    for name, umask, zone in (("a", 0o022, "UTC"), ("another/folder", 0o077, "Asia/Tokyo")):
        copy, out = folder / name / "tree", folder / name / "out"
        shutil.copytree(root, copy, ignore=hidden)
        for path in copy.rglob("*"):
            if path.is_file():
                path.chmod(0o666 & ~umask)
                os.utime(path, (1e9 + umask, 1e9 + umask))
        options = ["--no-deps", "--quiet", "--disable-pip-version-check", "--wheel-dir", str(out)]
        command = [sys.executable, "-m", "pip", "wheel", *options, str(copy)]
        environment = os.environ | {"TZ": zone} | _constraints(root)
        subprocess.run(command, env=environment, umask=umask, check=True)
        built += out.iterdir()
    return built


def _constraints(root: Path) -> dict[str, str]:
    file = str(root / "constraints-build.txt")
    return {"PIP_CONSTRAINT": file, "PIP_BUILD_CONSTRAINT": file}


@EVERY
def test_two_builds_give_the_same_bytes(wheels: list[Path]) -> None:
    parts = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            parts.append({entry.filename: archive.read(entry) for entry in archive.infolist()})
    one, other = parts
    assert {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)} == set()
    hashes = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    assert len(wheels) == 2
    assert len(hashes) == 1


@EVERY
def test_an_export_from_the_wheel_gives_the_checkouts_bytes(
    wheels: list[Path], root: Path, demo_checkpoint: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(tmp_path / "wheel")
    for name, place in (("wheel", tmp_path / "wheel"), ("checkout", None)):
        environment = os.environ | ({} if place is None else {"PYTHONPATH": str(place)})
        module = [
            "-m",
            "refact_edge.runtime",
            "export",
            str(demo_checkpoint),
            str(tmp_path / name[0]),
        ]
        subprocess.run([sys.executable, *module], cwd=tmp_path, env=environment, check=True)
    bundles = [tmp_path / "w", tmp_path / "c"]
    manifests = [(bundle / "refact_edge.json").read_bytes() for bundle in bundles]
    assert manifests[0] == manifests[1]  # which holds the hashes of all other files
