"""How fast it is beside llama.cpp and OpenVINO, in turns, on the same weights and the same work.

Usage: python -m bench.peers DIR PEER_PYTHON [--quick] [--only PART] [--json FILE]

DIR holds, or gets, a random checkpoint of the exact shape, its bundle and the peers' files: 15 GB,
21 while they are made. PEER_PYTHON has llama-cpp-python, gguf and openvino. Takes 11 GB of memory.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import prepare, report
from .engines import PARTS, Files
from .measure import Measured, measure
from .process import WorkerError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("peer", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Fewer rounds, and the start of one trace.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="A part; may be repeated.")
@click.option("--threads", default=2, show_default=True, help="For every engine.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="All times, to a file.")
def main(
    folder: Path,
    peer: Path,
    quick: bool,
    only: tuple[str, ...],
    threads: int,
    json_file: Path | None,
) -> None:
    """Measure, and print medians and ratios as Markdown."""
    files = Files(folder.absolute(), peer.absolute(), threads)
    prepare.check(files)
    prepare.make(files)
    measured = Measured()
    try:
        for measured in measure(files, only or PARTS, quick):
            if json_file is not None:
                found = report.as_json(measured, files, quick)
                json_file.write_text(json.dumps(found, indent=1) + "\n")
    except WorkerError as error:
        raise click.ClickException(f"no more results: {error}") from error
    click.echo(report.markdown(measured, files, quick))


if __name__ == "__main__":
    main()
