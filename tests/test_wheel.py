"""The wheels: the same bytes wherever and whenever they are built, and the same bundles in them."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import refact_edge

LIBRARY = Path("runtime/backends/native/_edge.so")
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


def test_the_extra_demo_brings_the_bundle_of_the_same_version(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"]["demo"] == [
        f"refact-edge-demo=={refact_edge.__version__}"
    ]


def test_building_from_source_needs_setuptools_alone(root: Path) -> None:
    system = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    assert system["requires"] == ["setuptools>=77"]


def test_the_demos_bundle_is_made_anew_after_a_change_to_what_makes_it(root: Path) -> None:
    rules = (root / "Makefile").read_text(encoding="utf-8")
    (needs,) = re.findall(r"^\$\(DEMO\)/refact_edge\.json:.*\$\(wildcard (.*)\)$", rules, re.M)
    files = {path for pattern in needs.split() for path in root.glob(pattern)}
    code = [*root.glob("export/**/*.py"), *root.glob("quant/*.py"), *root.glob("quant/texts/*.py")]
    assert {*code, *root.glob("quant/texts/*-set/*")} <= files


HIDDEN = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.so")
CONDITIONS = (("a", 0o022, "UTC"), ("another/folder", 0o077, "Asia/Tokyo"))


@pytest.fixture(scope="module")
def trees(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return copies of the checkout in two folders, with two dates and two modes."""
    folder, copies = tmp_path_factory.mktemp("wheels"), []
    for name, umask, _ in CONDITIONS:
        copies.append(Path(shutil.copytree(root, folder / name / "tree", ignore=HIDDEN)))
        for path in copies[-1].rglob("*"):
            if path.is_file():
                path.chmod(0o666 & ~umask)
                os.utime(path, (1e9 + umask, 1e9 + umask))
    return copies


@pytest.fixture(scope="module")
def wheels(root: Path, trees: list[Path]) -> list[Path]:
    """Return the wheels of this machine and of the demo, built in two time zones."""
    return [
        wheel
        for tree, (_, umask, zone) in zip(trees, CONDITIONS, strict=True)
        for project in (tree, tree / "demo" / "wheel")
        for wheel in _built(project, root, umask, zone)
    ]


def _built(project: Path, root: Path, umask: int, zone: str) -> list[Path]:
    out = project.parent / f"out-{project.name}"
    options = ["--no-deps", "--quiet", "--disable-pip-version-check", "--wheel-dir", str(out)]
    file = str(root / "constraints-build.txt")
    constraints = {"PIP_CONSTRAINT": file, "PIP_BUILD_CONSTRAINT": file}
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(project)],
        env=os.environ | {"TZ": zone} | constraints,
        umask=umask,
        check=True,
    )
    return list(out.iterdir())


def _expect_pairs(wheels: list[Path]) -> None:
    """Compare wheels of one name, file by file and then whole."""
    for name in {wheel.name for wheel in wheels}:
        pair = [wheel for wheel in wheels if wheel.name == name]
        assert len(pair) == 2
        one, other = (_parts(wheel) for wheel in pair)
        names = one.keys() | other.keys()
        assert {part for part in names if one.get(part) != other.get(part)} == set()
        assert len({hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in pair}) == 1


def _parts(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@EVERY
def test_two_builds_give_the_same_bytes(wheels: list[Path]) -> None:
    assert {wheel.name.split("-")[0] for wheel in wheels} == {"refact_edge", "refact_edge_demo"}
    _expect_pairs(wheels)


@EVERY
def test_two_builds_of_all_systems_give_the_same_bytes(trees: list[Path], tmp_path: Path) -> None:
    if find_spec("ziglang") is None or find_spec("wheel") is None:
        pytest.skip("no Zig: `make wheels` installs it")
    for tree, (_, umask, zone) in zip(trees, CONDITIONS, strict=True):
        # A cache of its own, or the second build would be the first one's.
        environment = os.environ | {
            "TZ": zone,
            "ZIG_GLOBAL_CACHE_DIR": str(tree.parent / "zig"),
            "PYTHONPATH": "tests",
        }
        command = [sys.executable, "-m", "release.wheels", str(tmp_path / tree.parent.name)]
        subprocess.run(command, cwd=tree, env=environment, umask=umask, check=True)
    wheels = list(tmp_path.glob("*/*.whl"))
    assert len(wheels) == 16
    _expect_pairs(wheels)


@EVERY
def test_the_wheel_holds_no_bundle_and_the_demo_holds_nothing_else(wheels: list[Path]) -> None:
    for wheel in wheels[:2]:
        names = [name for name in _parts(wheel) if ".dist-info/" not in name]
        demo = wheel.name.startswith("refact_edge_demo")
        assert ("refact_edge_demo/bundle/refact_edge.json" in names) == demo
        assert any(name.endswith(".onnx_data") for name in names) == demo
        assert "refact_edge/setup.py" not in names
        assert all(name.startswith("refact_edge_demo/") for name in names) == demo


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
            "--effort",
            "least",
        ]
        subprocess.run([sys.executable, *module], cwd=tmp_path, env=environment, check=True)
    bundles = [tmp_path / "w", tmp_path / "c"]
    manifests = [(bundle / "refact_edge.json").read_bytes() for bundle in bundles]
    assert manifests[0] == manifests[1]  # which holds the hashes of all other files
