"""Kits: what is in them for each system, and what their script does here."""

import hashlib
import os
import platform
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

pytest.importorskip("uv", reason="the extra kit is not installed")

from click.testing import CliRunner
from keys_made import pair
from tampering import tampered
from wheels_made import wheelhouse

from refact_edge.export.kit.kit import Contents, write_archive, write_kit
from refact_edge.export.kit.targets import TARGETS, check_python, target_of
from refact_edge.export.kit.wheels import Sources, requirement
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.console.kit import MARK
from refact_edge.runtime.console.signing import verify_signature
from refact_edge.runtime.errors import BundleError, ExportError, OptionError
from refact_edge.runtime.trust.check import check_folder
from refact_edge.runtime.trust.keys import Signer

HERE = f"linux-{platform.machine()}"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAMPERED = int(os.environ.get("TAMPERED", "100"))  # of `make kits-check`, ten thousand
FLIPS = max(25, TAMPERED // 50)  # by the script, which takes longer
linux_only = pytest.mark.skipif(HERE not in TARGETS, reason="the script's Linux is not here")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheelhouse(tmp_path_factory.mktemp("wheels"))


def _kit(out: Path, wheels: Path, bundle: Path, *targets: str, **chosen: object) -> dict[str, str]:
    extras = chosen.get("extras", ())
    assert isinstance(extras, tuple)
    python = str(chosen.get("python", "3.12"))
    own = [target_of(name) for name in targets]
    signer = chosen.get("signer")
    assert signer is None or isinstance(signer, Signer)
    bundles = [read_bundle(bundle)]
    contents = Contents(bundles, own, python, extras, Sources(wheels, wheels), signer)
    return write_kit(contents, out, lambda _done: None)


@pytest.fixture(scope="module")
def kit(wheels: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a kit for this machine, at a path that scripts get wrong."""
    out = tmp_path_factory.mktemp("a stick") / "Kit für alle"
    _kit(out, wheels, tiny_bundle, HERE, python=PYTHON)
    return out


def _install(kit: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [kit / "install.sh", "--python", sys.executable, *arguments]
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=120
    )


def _packages(folder: Path) -> dict[str, str]:
    return {file.name.partition("-")[0]: file.name for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("extras", "targets"),
    [((), ["linux-x86_64", "windows-arm64"]), (("cpu",), list(TARGETS))],
    ids=["plain", "cpu"],
)
def test_every_system_gets_its_own_wheels_and_no_others(
    extras: tuple[str, ...], targets: list[str], wheels: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "kit"
    _kit(out, wheels, tiny_bundle, *targets, extras=extras)
    for name in targets:
        target = TARGETS[name]
        packages = _packages(out / "wheels" / name)
        expected = {"refact_edge", "numpy", "tokenizers", "click"}
        expected |= {"colorama"} if name.startswith("windows") else set()
        expected |= {"onnxruntime"} if extras and target.has_onnxruntime else set()
        assert packages.keys() == expected, name
        assert packages["numpy"].startswith("numpy-2.4.0-cp312-cp312-")
        system = packages["refact_edge"].rpartition("none-")[2].removesuffix(".whl")
        assert all(file.endswith((f"{system}.whl", "any.whl")) for file in packages.values())
        lines = (out / "requirements" / f"{name}.txt").read_text().splitlines()
        assert len(lines) == len(expected)
        assert all(" --hash=sha256:" in line for line in lines)


WITHOUT = """
import sys
from refact_edge.export.kit.wheels import LEFT_OUT
for name in LEFT_OUT: sys.modules[name.replace("-", "_")] = None  # cannot be imported then
import refact_edge
stream = refact_edge.load(sys.argv[1]).generate([5, 6, 7], max_tokens=4, allow_empty=False)
for _ in stream: pass
print(stream.usage.prompt, stream.usage.new > 0)
"""


def test_nothing_here_imports_what_is_left_out(tiny_bundle: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, str(tiny_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "3 True\n"), done.stderr


def test_a_kit_tells_what_it_is_made_of(kit: Path) -> None:
    text = (kit / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert "pkg:pypi/numpy@2.4.0" in text
    licences = {file.parent.name for file in (kit / "licenses").rglob("LICENSE")}
    assert "numpy-2.4.0" in licences
    page = (kit / "README.txt").read_text()
    assert HERE in page
    assert "tiny-bundle" in page


def test_the_same_kit_is_the_same_bytes(wheels: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    sums = []
    for name in ("one", "two"):
        out = tmp_path / name / "kit"
        _kit(out, wheels, tiny_bundle, "windows-arm64")
        write_archive(out, tmp_path / name / "kit.tar")
        content = (tmp_path / name / "kit.tar").read_bytes()
        sums.append(hashlib.sha256(content).hexdigest())
    assert sums[0] == sums[1]


def test_a_signed_kit_is_checked_file_by_file(
    wheels: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    keys = pair(tmp_path, "ours")
    _kit(tmp_path / "kit", wheels, tiny_bundle, "linux-x86_64", signer=Signer(keys.private))
    checked = CliRunner().invoke(
        verify_signature, [str(tmp_path / "kit"), "--trust", str(keys.public)]
    )
    assert "a kit signed by" in checked.output
    with (tmp_path / "kit" / "install.sh").open("a") as script:
        script.write("true\n")
    with pytest.raises(BundleError, match=r"is not as it was signed: install\.sh"):
        check_folder(tmp_path / "kit", keys.public)


def test_whoever_tampers_with_a_signed_kit_is_noticed(
    wheels: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    keys, kit = pair(tmp_path, "ours"), tmp_path / "kit"
    _kit(kit, wheels, tiny_bundle, "linux-x86_64", signer=Signer(keys.private))
    check_folder(kit, keys.public)
    generator = random.Random(1)
    for number in range(TAMPERED):
        with tampered(kit, generator) as what:
            try:
                check_folder(kit, keys.public)
            except BundleError:
                continue
            pytest.fail(f"{number}: accepted with {what}")
    check_folder(kit, keys.public)


@linux_only
def test_a_kit_is_installed_used_and_removed(kit: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ein Ordner"
    done = _install(kit, folder)
    assert done.returncode == 0, done.stderr
    assert f"installed into {folder}\n" in done.stdout
    program = folder / "bin" / "refact-edge"
    said = subprocess.run([program, "info"], capture_output=True, text=True, check=True)
    assert said.stdout == "refact-edge info\n"
    assert (folder / "bundles" / "tiny-bundle" / "refact_edge.json").exists()
    assert not list(folder.glob("lib/python*/site-packages/pip"))
    listed = (kit / "requirements" / f"{HERE}.txt").read_text()
    assert (folder / MARK).read_text() == listed
    assert f"'{MARK}'" in (kit / "install.ps1").read_text("utf-8")
    again = _install(kit, folder)
    assert (again.returncode, "exists; name another folder" in again.stderr) == (1, True)
    removed = _install(kit, "--remove", folder)
    assert removed.stdout == f"removed {folder}\n"
    assert list(tmp_path.iterdir()) == []


@linux_only
def test_what_lies_beside_the_listed_files_is_neither_run_nor_installed(
    kit: Path, tmp_path: Path
) -> None:
    own, folder = Path(shutil.copytree(kit, tmp_path / "kit")), tmp_path / "folder"
    for name in ("venv.py", "pip.py", "os.py", "bundles/tiny-bundle/more", "licenses/more"):
        (own / name).write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    assert _install(own, folder).returncode == 0
    assert not (tmp_path / "run").exists()
    assert [*folder.glob("bundles/*/more"), *folder.glob("licenses/more")] == []
    assert {path.name for path in (folder / "bundles").iterdir()} == {"tiny-bundle"}


@linux_only
def test_a_folder_that_is_not_the_kits_is_not_removed(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = _install(kit, "--remove", tmp_path / "mine")
    assert "was not installed by this kit; nothing is removed" in done.stderr
    assert (tmp_path / "mine").exists()


@linux_only
def test_a_signature_that_is_refused_leaves_nothing(kit: Path, tmp_path: Path) -> None:
    done = _install(kit, "--trust", tmp_path / "refused.pem", tmp_path / "folder")
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


@linux_only
def test_a_flipped_bit_stops_it_with_the_name_of_the_file(kit: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(kit, tmp_path / "kit"))
    scripts = {"install.sh", "install.ps1"}
    files = sorted(f for f in own.rglob("*") if f.is_file() and f.name not in scripts)
    generator = random.Random(0)
    for _ in range(FLIPS):
        file = generator.choice(files)
        before = file.read_bytes()
        content, at = bytearray(before), generator.randrange(len(before))
        content[at] ^= 1 << generator.randrange(8)
        file.write_bytes(content)
        done = _install(own, tmp_path / "folder")
        file.write_bytes(before)
        assert done.returncode == 1, f"{file.name} at {at}"
        (line,) = done.stderr.splitlines()
        assert line.startswith("install.sh: the kit is damaged: ")
        if file.name != "SHA256SUMS":
            assert file.relative_to(own).as_posix() in line
        assert not (tmp_path / "folder").exists()


@linux_only
def test_another_python_is_refused(wheels: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    _kit(tmp_path / "kit", wheels, tiny_bundle, HERE, python="3.13" if PYTHON != "3.13" else "3.12")
    done = _install(tmp_path / "kit", tmp_path / "folder")
    assert f"is {PYTHON}; expected Python 3." in done.stderr


@linux_only
def test_another_system_is_refused(wheels: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    _kit(tmp_path / "kit", wheels, tiny_bundle, "windows-amd64", "macos-arm64", python=PYTHON)
    done = _install(tmp_path / "kit", tmp_path / "folder")
    assert f"this is {HERE}; the kit is for: macos-arm64 windows-amd64" in done.stderr


def test_cudas_libraries_come_with_the_gpu(wheels: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    _kit(tmp_path / "kit", wheels, tiny_bundle, "linux-x86_64", extras=("gpu",))
    packages = _packages(tmp_path / "kit" / "wheels" / "linux-x86_64")
    assert {"onnxruntime_gpu", "nvidia_cudnn"} <= packages.keys()


def test_what_cannot_be_had_is_told(wheels: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ExportError, match="exists; name another folder"):
        _kit(tmp_path / "there", wheels, tiny_bundle, "linux-x86_64")
    with pytest.raises(ExportError, match=r"no wheels for linux-x86_64: .*openvino"):
        _kit(tmp_path / "kit", wheels, tiny_bundle, "linux-x86_64", extras=("openvino",))
    assert not (tmp_path / "kit").exists()
    with pytest.raises(OptionError, match=r"nowhere is not a folder; expected one with wheels"):
        _kit(tmp_path / "kit", tmp_path / "nowhere", tiny_bundle, "linux-x86_64")
    with pytest.raises(OptionError, match="target 'amiga'; expected one of: linux-x86_64, "):
        target_of("amiga")
    with pytest.raises(OptionError, match="extra 'games'; expected one of: cpu, "):
        requirement("0.1.0", TARGETS["linux-x86_64"], ["games"])
    with pytest.raises(OptionError, match=r"python '3.8'; expected 3\.11 or later"):
        check_python("3.8")
