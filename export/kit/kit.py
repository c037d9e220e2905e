"""Writing a kit: wheels by system, bundles, sums, licences, bills, scripts and a page to read."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ... import __version__
from ...runtime.bundle.contract import Bundle
from ...runtime.bundle.manifest import MANIFEST
from ...runtime.bundle.verified import verify_files
from ...runtime.errors import ExportError
from ...runtime.files.atomic_write import atomic_write
from ...runtime.files.sha256 import file_sha256
from ...runtime.trust.keys import Signer
from ...runtime.trust.sign import sign_folder
from ...runtime.trust.statement import SIGNATURE
from ..beside import beside, check_writable
from ..manifest import write_json
from .inventory import Wheel, bill_of_wheels, read_wheel, write_licences
from .targets import Target
from .wheels import Sources, download, requirement, resolve

SUMS, README, SCRIPTS = "SHA256SUMS", "README.txt", ("install.sh", "install.ps1")
_PAGE = """refact-edge {version}: completions at the cursor and chat, without a network

For: {targets}; Python {python}.
Models: {bundles}.

Linux and macOS, in a terminal:
    ./install.sh ~/refact-edge
    cd ~/refact-edge
    bin/refact-edge complete --bundle bundles/{first} --prefix 'def add(a, b):' --suffix ''
    cd -
    ./install.sh --remove ~/refact-edge

Windows, in PowerShell:
    powershell -ExecutionPolicy Bypass -File install.ps1 -Folder $HOME\\refact-edge
    & "$HOME\\refact-edge\\Scripts\\refact-edge.exe" serve "$HOME\\refact-edge\\bundles\\{first}"
    powershell -ExecutionPolicy Bypass -File install.ps1 -Remove $HOME\\refact-edge

Before anything is installed every file is compared with SHA256SUMS. The scripts themselves are not
in there: compare their sums with those that you were given on another way. With --trust KEY (-Trust
KEY) the signatures of the models are checked, too. Nothing is changed but the folder that you name,
no rights are needed, and no network is used, now or later. Licences lie in licenses/ and beside the
models; what all of it is made of, in bom.cdx.json and in each model's own.
"""


@dataclass(frozen=True)
class Contents:
    """What a kit is to hold.

    Args:
        bundles: the models.
        targets: the systems.
        python: the version that they have, such as 3.12.
        extras: of this package; without any, its own kernels run int4 and int8 alone.
        sources: where wheels come from.
        signer: who signs all of it, if somebody does.

    """

    bundles: Sequence[Bundle]
    targets: Sequence[Target]
    python: str
    extras: Sequence[str]
    sources: Sources
    signer: Signer | None = None


def write_kit(contents: Contents, out: Path, advance: Callable[[int], None]) -> dict[str, str]:
    """Write a kit, whole or not at all; return the sums of its scripts. `advance` is once a system.

    Raises:
        ExportError: when `out` exists, or a wheel is not to be had.
        BundleError: when a bundle is not what its manifest says.
        OptionError: when there is no such extra.

    """
    if out.exists():
        raise ExportError(f"{out} exists; name another folder, or remove it first")
    names = [bundle.path.resolve().name for bundle in contents.bundles]
    if len(set(names)) != len(names):
        raise ExportError(f"two bundles have one name: {', '.join(names)}; rename a folder")
    check_writable(out)
    for bundle in contents.bundles:
        verify_files(bundle, bundle.files)
    with beside(out) as work:
        wheels = [wheel for t in contents.targets for wheel in _wheels(contents, t, work, advance)]
        once = {wheel.file.name: wheel for wheel in wheels}
        (work / "licenses").mkdir()
        write_licences(once.values(), work / "licenses")
        write_json(work / "bom.cdx.json", bill_of_wheels([once[n] for n in sorted(once)]))
        for bundle, name in zip(contents.bundles, names, strict=True):
            _copy(bundle, work / "bundles" / name)
        _write(work / "python-version", f"{contents.python}\n")
        _write(work / README, _page(contents, names))
        _write(work / SUMS, _sums(work))
        for script in SCRIPTS:
            text = resources.files(__package__).joinpath("scripts", script).read_text("utf-8")
            _write(work / script, text)
        (work / SCRIPTS[0]).chmod(0o755)
        if contents.signer is not None:
            sign_folder(work, out.name, contents.signer)
        return {script: file_sha256(work / script) for script in SCRIPTS}


def _wheels(
    contents: Contents, target: Target, work: Path, advance: Callable[[int], None]
) -> list[Wheel]:
    """Bring the wheels of a system, and write down their names and hashes, for pip."""
    packages = resolve(
        requirement(__version__, target, contents.extras), target, contents.python, contents.sources
    )
    folder = work / "wheels" / target.name
    folder.mkdir(parents=True)
    download(packages, target, contents.python, contents.sources, folder)
    wheels = [read_wheel(file) for file in sorted(folder.iterdir())]
    if len(wheels) != len(packages):
        raise ExportError(f"{len(packages)} packages and {len(wheels)} wheels for {target.name}")
    lines = [
        f"{wheel.name}=={wheel.version} --hash=sha256:{file_sha256(wheel.file)}\n"
        for wheel in wheels
    ]
    (work / "requirements").mkdir(exist_ok=True)
    _write(work / "requirements" / f"{target.name}.txt", "".join(lines))
    advance(1)
    return wheels


def _copy(bundle: Bundle, to: Path) -> None:
    """Copy the files of a bundle that are listed, its manifest and its signature."""
    signed = [SIGNATURE] if (bundle.path / SIGNATURE).exists() else []
    for name in (*bundle.files, MANIFEST, *signed):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, to / name)


def _page(contents: Contents, names: Sequence[str]) -> str:
    return _PAGE.format(
        version=__version__,
        targets=", ".join(target.name for target in contents.targets),
        python=contents.python,
        bundles=", ".join(names),
        first=names[0],
    )


def _sums(work: Path) -> str:
    files = sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file())
    return "".join(f"{file_sha256(work / name)}  {name}\n" for name in files)


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")


def write_archive(kit: Path, archive: Path) -> None:
    """Pack a kit into one tar file, the same kit always into the same bytes.

    Raises:
        ExportError: when the archive exists.

    """
    if archive.exists():
        raise ExportError(f"{archive} exists; remove it first")

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() or entry.name.endswith(SCRIPTS[0]) else 0o644
        return entry

    with atomic_write(archive) as draft, tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(kit.rglob("*")):
            name = f"{kit.name}/{path.relative_to(kit).as_posix()}"
            tar.add(path, name, recursive=False, filter=plain)
