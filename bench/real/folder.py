"""A GGUF file as a checkpoint folder of bfloat16, for what reads folders alone.

Usage: python -m bench.real.folder MODEL.gguf FOLDER
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from refact_edge.export.gguf_file import open_gguf
from refact_edge.runtime.errors import RefactEdgeError


def write_folder(file: Path, folder: Path) -> None:
    """Write weights, tokenizer and, as the last, config.json.

    Raises:
        CheckpointError: when the file is not one that is read.

    """
    source = open_gguf(file)
    weights = {
        name: np.ascontiguousarray(source.read(name).astype(ml_dtypes.bfloat16))
        for name in source.tensors
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    contents = {"tokenizer.json": source.tokenizer, "config.json": source.config}
    for name, content in contents.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def main(file: Path, folder: Path) -> None:
    """Write FILE as FOLDER."""
    try:
        write_folder(file, folder)
    except RefactEdgeError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
