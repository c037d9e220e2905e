"""The wheels that a system needs: resolved by uv for its markers, brought by pip, nothing built.

pip alone answers markers for the system that it runs on. What tokenizers names beside itself is a
client of a hub with its network stack, which only `Tokenizer.from_pretrained` imports, and nobody
here calls: an override leaves it out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import ExportError, MissingExtraError, OptionError, one_line
from .targets import Target

# Imported by functions that are never called here; see tests/export/kit.
LEFT_OUT = ("huggingface-hub",)
EXTRAS = ("cpu", "gpu", "serve", "lsp", "sidecar", "trust", "openvino", "export", "report")
_CUDA = "onnxruntime-gpu[cuda,cudnn]"
_OF_ONNXRUNTIME = ("cpu", "gpu")
_MACOS = "14.0"  # the oldest that onnxruntime has a wheel for


@dataclass(frozen=True)
class Sources:
    """Where wheels come from.

    Args:
        own: a folder with the wheels of this package, as `make wheels` makes them.
        wheelhouse: a folder with all others, where there is no network; None takes the index that
            pip is set to.

    """

    own: Path
    wheelhouse: Path | None = None

    def options(self) -> list[str]:
        """Return what tells uv and pip.

        Raises:
            OptionError: when a folder is none.

        """
        folders = [folder for folder in (self.own, self.wheelhouse) if folder is not None]
        for folder in folders:
            if not folder.is_dir():
                raise OptionError(
                    f"{folder} is not a folder; expected one with wheels: make wheels writes this "
                    "package's, and --wheels and --wheelhouse name others"
                )
        links = [word for folder in folders for word in ("--find-links", str(folder))]
        return [*links, *(["--no-index"] if self.wheelhouse is not None else [])]


def requirement(version: str, target: Target, extras: Sequence[str]) -> str:
    """Return what is installed on a system, a line each; onnxruntime only where it has a wheel.

    With `gpu` CUDA's libraries come along: nobody fetches them there.

    Raises:
        OptionError: when there is no such extra.

    """
    if unknown := [extra for extra in extras if extra not in EXTRAS]:
        raise OptionError(f"extra {unknown[0]!r}; expected one of: {', '.join(EXTRAS)}")
    lacking = () if target.has_onnxruntime else _OF_ONNXRUNTIME
    chosen = [extra for extra in dict.fromkeys(extras) if extra not in lacking]
    own = f"refact-edge[{','.join(chosen)}]=={version}" if chosen else f"refact-edge=={version}"
    return f"{own}\n{_CUDA}" if "gpu" in chosen else own


def resolve(package: str, target: Target, python: str, sources: Sources) -> list[str]:
    """Return the packages that a requirement needs on a system, each with its version.

    Raises:
        ExportError: when uv finds no wheels for all of them; says what it says.

    """
    with tempfile.TemporaryDirectory(prefix="refact-edge-kit-") as name:
        folder = Path(name)
        (folder / "wanted.in").write_text(f"{package}\n")
        overrides = "".join(f"{left_out}; python_version < '3'\n" for left_out in LEFT_OUT)
        (folder / "overrides.txt").write_text(overrides)
        done = _run(
            [
                _uv(), "pip", "compile", str(folder / "wanted.in"), "--quiet",
                "--override", str(folder / "overrides.txt"),
                "--python-platform", target.platform, "--python-version", python,
                "--only-binary", ":all:", "--no-python-downloads", "--no-annotate", "--no-header",
                "--no-config", *sources.options(),
            ],
            f"no wheels for {target.name}",
        )  # fmt: skip
    return [line.strip() for line in done.splitlines() if "==" in line]


def download(
    packages: Sequence[str], target: Target, python: str, sources: Sources, folder: Path
) -> None:
    """Put the wheels of packages for a system into a folder.

    Raises:
        ExportError: when pip does not find one; says what it says.

    """
    version = python.replace(".", "")
    tags = [word for tag in target.tags for word in ("--platform", tag)]
    abis = [word for abi in (f"cp{version}", "abi3", "none") for word in ("--abi", abi)]
    _run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--only-binary", ":all:", "--python-version", python,
            "--implementation", "cp", *abis, *tags, *sources.options(),
            "--dest", str(folder), *packages,
        ],
        f"no wheels for {target.name}",
    )  # fmt: skip


def _uv() -> str:
    """Return the program uv.

    Raises:
        MissingExtraError: when it is not installed.

    """
    try:
        from uv import find_uv_bin
    except ModuleNotFoundError as error:
        if error.name != "uv":
            raise
        raise MissingExtraError("uv", "kit") from error
    return str(find_uv_bin())


def _run(command: list[str], failure: str) -> str:
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": _MACOS}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "WARNING" not in line]
        raise ExportError(f"{failure}: {one_line(' '.join(said), 600)}")
    return done.stdout
