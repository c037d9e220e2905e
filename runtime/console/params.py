"""Parameters that many commands have."""

from __future__ import annotations

from pathlib import Path

import click

from ..opening.int4 import ENGINES

PATH = click.Path(path_type=Path)

engine_option = click.option(
    "--engine",
    default=ENGINES[0],
    show_default=True,
    help="What computes int4 on a CPU: auto, native or onnxruntime.",
)
