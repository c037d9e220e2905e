"""Kits of real wheels: what is in them for each system, and that of this one used behind walls.

`make kits-check` builds this package's wheels, has a network for all others, and runs this.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

pytest.importorskip("lief", reason="no lief: `make wheels` installs it")

from keys_made import pair
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename
from silence import MISSING, Deeds, deeds_in, walled

from refact_edge.export.kit.targets import TARGETS, Target
from refact_edge.export.kit.wheels import LEFT_OUT
from release.libraries import library_problem
from release.targets import TARGETS as SYSTEMS
from release.targets import Target as System

WHEELS = os.environ.get("REFACT_EDGE_WHEELS", "")
pytestmark = pytest.mark.skipif(not WHEELS, reason="make kits-check makes kits of real wheels")
PROGRAM = [sys.executable, "-m", "refact_edge.runtime"]
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
HERE = f"linux-{platform.machine()}"
SERVERS = ("cpu", "serve", "lsp", "trust")
MOST_PACKAGES, MOST_MB = 8, 110  # without extras
MARKERS = {
    "linux": {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"},
    "macos": {"os_name": "posix", "sys_platform": "darwin", "platform_system": "Darwin"},
    "windows": {"os_name": "nt", "sys_platform": "win32", "platform_system": "Windows"},
}
MAGIC = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
everywhere = pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
behind_walls = pytest.mark.skipif(
    bool(MISSING) or HERE not in TARGETS, reason=f"not installed, or another system: {MISSING}"
)


def _make(out: Path, bundle: Path, key: Path, targets: Iterable[str], *extras: str) -> Path:
    words = [*PROGRAM, "kit", out, "--bundle", bundle, "--wheels", WHEELS, "--python", PYTHON]
    words += ["--key", key, *(word for name in targets for word in ("--target", name))]
    words += ["--extras", ",".join(extras)]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pair(tmp_path_factory.mktemp("keys"), "ours").private


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, demo_bundle: Path, key: Path) -> Path:
    """Return a kit of what int4 on a CPU needs, for all systems."""
    return _make(tmp_path_factory.mktemp("plain") / "kit", demo_bundle, key, TARGETS)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, demo_bundle: Path, key: Path) -> Path:
    """Return a kit with servers, for all systems."""
    return _make(tmp_path_factory.mktemp("full") / "kit", demo_bundle, key, TARGETS, *SERVERS)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, demo_bundle: Path, key: Path) -> Path:
    """Return a kit for this system, with what exports, at a path that scripts get wrong."""
    out = tmp_path_factory.mktemp("a stick") / "Kit für mich"
    return _make(out, demo_bundle, key, [HERE], *SERVERS, "export")


def _system_of(target: Target) -> System:
    (own,) = (system for system in SYSTEMS if {*system.platform.split(".")} & {*target.tags})
    return own


def _fits(tags: frozenset[Tag], target: Target) -> bool:
    own = f"cp{PYTHON.replace('.', '')}"
    mac = target.name.startswith("macos")
    return any(
        (tag.platform in ("any", *target.tags) or (mac and tag.platform.endswith("universal2")))
        and (tag.interpreter in ("py3", own) or tag.abi == "abi3")
        for tag in tags
    )


def _requirements(wheel: Path, target: Target) -> Iterator[str]:
    """Yield the names of what a wheel needs on a system, by markers of that and not of this one."""
    system, _, machine = target.name.partition("-")
    environment = {
        **{name: str(value) for name, value in default_environment().items()},
        **MARKERS.get(system, MARKERS["linux"]),
        "platform_machine": machine.upper() if system == "windows" else machine,
        "extra": "",
    }
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        head = HeaderParser().parsestr(archive.read(metadata).decode())
    for line in head.get_all("Requires-Dist") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield canonicalize_name(requirement.name)


def _libraries(wheels: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all that is machine code in a folder of wheels."""
    for wheel in sorted(wheels.iterdir()):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    head = file.read(4)
                if head.startswith(MAGIC):
                    yield f"{wheel.name}: {name}", archive.read(name)


@everywhere
@pytest.mark.parametrize("kind", ["plain", "full"])
def test_the_wheels_are_those_of_the_system(
    target: Target, kind: str, request: pytest.FixtureRequest
) -> None:
    kit: Path = request.getfixturevalue(kind)
    wheels = list((kit / "wheels" / target.name).iterdir())
    parsed = [parse_wheel_filename(file.name) for file in wheels]
    assert all(_fits(tags, target) for _, _, _, tags in parsed)
    names = {name for name, _, _, _ in parsed}
    wanted = {name for file in wheels for name in _requirements(file, target)}
    assert wanted - {*LEFT_OUT} <= names
    assert ("onnxruntime" in names) == (kind == "full" and target.has_onnxruntime)
    assert not {*LEFT_OUT} & names
    assert not any(name.startswith("openvino") for name in names)


@everywhere
def test_all_machine_code_is_of_the_systems_cpu(target: Target, full: Path) -> None:
    libraries = list(_libraries(full / "wheels" / target.name))
    assert len(libraries) > 10
    system = _system_of(target)
    assert [problem for n, c in libraries if (problem := library_problem(n, c, system))] == []


@everywhere
def test_without_extras_it_is_little(target: Target, plain: Path) -> None:
    wheels = list((plain / "wheels" / target.name).iterdir())
    assert len(wheels) <= MOST_PACKAGES
    unpacked = sum(entry.file_size for w in wheels for entry in zipfile.ZipFile(w).infolist())
    assert unpacked / 1e6 <= MOST_MB


def test_the_sums_are_of_all_files_but_the_scripts(full: Path) -> None:
    lines = (full / "SHA256SUMS").read_text("utf-8").splitlines()
    sums = {name: sha256 for sha256, name in (line.split("  ", 1) for line in lines)}
    others = {"SHA256SUMS", "install.sh", "install.ps1", "model.sig"}
    files = {f.relative_to(full).as_posix() for f in full.rglob("*") if f.is_file()}
    assert files - others == sums.keys()
    for name, sha256 in sums.items():
        assert hashlib.sha256((full / name).read_bytes()).hexdigest() == sha256


@pytest.fixture(scope="module")
def installed(own: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Deeds]:
    """Install the kit as a user without rights, and tell what that did beside."""
    place = tmp_path_factory.mktemp("ein Zuhause") / "für mich"
    place.mkdir()
    folder, log = place / "refact edge", tmp_path_factory.mktemp("log") / "log"
    script = [own / "install.sh", "--python", sys.executable, folder]
    with walled(script, log, [place], user=1000) as process:
        _, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    return folder, deeds_in(log, [place])


@behind_walls
def test_installing_writes_to_its_folder_alone(installed: tuple[Path, Deeds]) -> None:
    folder, deeds = installed
    assert (folder / "bin" / "refact-edge").exists()
    assert deeds.sockets == ()
    assert deeds.written == ()


@behind_walls
def test_what_is_installed_passes_the_tests_of_silence(installed: tuple[Path, Deeds]) -> None:
    folder, _ = installed
    tests = Path(__file__).parent.parent / "runtime" / "test_silence.py"
    environment = os.environ | {"REFACT_EDGE_INSTALLED": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-s", str(tests)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout


@behind_walls
def test_removing_leaves_nothing(installed: tuple[Path, Deeds], own: Path) -> None:
    folder, _ = installed
    script = [str(own / "install.sh"), "--remove", str(folder)]
    subprocess.run(script, check=True, capture_output=True)
    assert list(folder.parent.iterdir()) == []
