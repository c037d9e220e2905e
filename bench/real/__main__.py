"""The tests of tests/real on real weights: a small model that is fetched, or one of your own.

Usage: python -m bench.real FOLDER [--model CHECKPOINT] [PYTEST'S OPTIONS]

FOLDER keeps checkpoint and bundle for the next time. The tests read where both lie from the
environment. Without --model SmolLM2-135M-Instruct is taken, see `fetch.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.parity import check_same_source
from refact_edge.export.progress import SILENT
from refact_edge.runtime.bundle.contract import MANIFEST, read_bundle
from refact_edge.runtime.errors import BundleError

from .fetch import fetch

CHECKPOINT, BUNDLE = "REFACT_EDGE_REAL_CHECKPOINT", "REFACT_EDGE_REAL_BUNDLE"
VARIANTS = ("fp32", "fp16", "int8", "int4")
TESTS = Path("tests") / "real"


def bundle_of(checkpoint: Path, bundle: Path) -> Path:
    """Return a bundle of a checkpoint in all `VARIANTS`; one of the same weights is not made again.

    Raises:
        RefactEdgeError: when the checkpoint is not what it should be.

    """
    if (bundle / MANIFEST).is_file() and _is_of(checkpoint, bundle):
        return bundle
    variants = ("--variants", ",".join(VARIANTS))
    command = [sys.executable, "-m", "refact_edge.runtime", "export", str(checkpoint), str(bundle)]
    subprocess.run([*command, *variants, "--no-report", "--force"], check=True)
    return bundle


def _is_of(checkpoint: Path, bundle: Path) -> bool:
    try:
        content = read_bundle(bundle)
        check_same_source(content, inspect_checkpoint(checkpoint, SILENT))
    except BundleError:
        return False
    return set(VARIANTS) <= content.variants.keys()


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(folder: Path, model: Path | None, options: tuple[str, ...]) -> None:
    """Export what is absent, and run the tests."""
    folder = folder.absolute()
    checkpoint = fetch(folder) if model is None else model.absolute()
    own = checkpoint.parent if model is None else folder / checkpoint.name
    bundle = bundle_of(checkpoint, own / "bundle")
    seen = os.environ | {CHECKPOINT: str(checkpoint), BUNDLE: str(bundle)}
    command = [sys.executable, "-m", "pytest", str(TESTS), "-rP", *options]
    sys.exit(subprocess.run(command, env=seen, check=False).returncode)


if __name__ == "__main__":
    main()
