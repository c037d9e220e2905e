"""Weights with noise of a third of a 4-bit step: off the grid that a file was rounded to before.

Usage: python -m bench.real.noise CHECKPOINT FOLDER

Weights taken from a GGUF file lie on its grid, where llama.cpp's quantizer finds them again: its
formats would lose nothing by construction. The noise has the size of one such rounding; what is
compared afterwards is compared with the weights that have it.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import click
import ml_dtypes  # noqa: F401 - lets safetensors' numpy API read bfloat16
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

BLOCK, BITS = 32, 4
SHARE = 1 / 3  # of a step, as standard deviation


def noisy(values: npt.NDArray[Any], random: np.random.Generator) -> npt.NDArray[Any]:
    """Return a matrix [N, K] with Gaussian noise, each block of `BLOCK` values by its own step.

    A step parts the range of a block into 15; a block whose values are all the same has none.
    """
    plain = values.astype(np.float32)
    columns = plain.shape[1]
    padded = np.pad(plain, ((0, 0), (0, -columns % BLOCK)), mode="edge")
    blocks = padded.reshape(len(plain), -1, BLOCK)
    steps = (blocks.max(axis=2) - blocks.min(axis=2)) / (2**BITS - 1)
    noise = random.standard_normal(plain.shape, np.float32)
    scales = np.repeat(steps * np.float32(SHARE), BLOCK, axis=1)[:, :columns]
    changed: npt.NDArray[Any] = (plain + noise * scales).astype(values.dtype)
    return changed


def with_noise(checkpoint: Path, folder: Path) -> None:
    """Copy a checkpoint with noise on its matrices; each tensor's is drawn by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in checkpoint.iterdir():
        if file.suffix == ".safetensors":
            weights = load_file(file)
            for name, values in weights.items():
                if values.ndim == 2:
                    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
                    weights[name] = noisy(values, np.random.default_rng(seed))
            save_file(weights, str(folder / file.name), metadata={"format": "pt"})
        elif file.is_file():
            shutil.copy(file, folder / file.name)


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path))
def main(checkpoint: Path, folder: Path) -> None:
    """Write CHECKPOINT into FOLDER with noise on its matrices."""
    with_noise(checkpoint, folder)
    click.echo(f"{folder}: noise of {SHARE:.3f} of a {BITS}-bit step of {BLOCK} values")


if __name__ == "__main__":
    main()
