"""Calibration and report at the exact 1.6B shape, on random weights: what they take.

Usage: python -m bench.calibration DIR

Fabricates a checkpoint, makes a calibrated int4 bundle of it and measures that against full
precision, each in a process of its own whose peak memory the system reports.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from bench.fullsize import check_room, refact_edge, tokenizer

NEEDED_BYTES = 6e9
CALIBRATION_LIMIT_BYTES, REPORT_LIMIT_BYTES = 16e9, 6e9


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="Keep checkpoint and bundle when done.")
def main(folder: Path, keep: bool) -> None:
    """Calibrate and report at the full shape; DIR holds the files, about 6 GB."""
    check_room(folder, NEEDED_BYTES, CALIBRATION_LIMIT_BYTES)
    checkpoint, bundle = folder / "checkpoint", folder / "bundle-int4"
    if not checkpoint.exists():
        refact_edge("fabricate", checkpoint, *tokenizer())
    options = ["--variants", "int4", "--no-report", "--force"]
    export = refact_edge("export", checkpoint, bundle, *options)
    report = refact_edge("quality", bundle, "--checkpoint", checkpoint, "--json")
    seen = json.loads((bundle / "refact_edge.json").read_text())["provenance"]["calibration"]
    figures = json.loads(report.output)
    click.echo(f"\n{'step':28} {'seconds':>8} {'peak MB':>8}")
    for step, cost in ((f"export on {seen['tokens']} tokens", export), ("quality", report)):
        click.echo(f"{step:28} {cost.seconds:8.0f} {cost.peak_bytes / 1e6:8.0f}")
    positions = figures["full_precision"]["positions"]
    click.echo(
        f"int4 of random weights over {positions} positions: mean KL "
        f"{figures['variants']['int4']['mean_kl']}; this says nothing of quality"
    )
    if not keep:
        for made in (checkpoint, bundle):
            shutil.rmtree(made)
    if export.peak_bytes > CALIBRATION_LIMIT_BYTES:
        raise click.ClickException("calibration took more than 16 GB of memory")
    if report.peak_bytes > REPORT_LIMIT_BYTES:
        raise click.ClickException("the report took more than 6 GB of memory")


if __name__ == "__main__":
    main()
