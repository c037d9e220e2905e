"""How fast it is beside llama.cpp and OpenVINO, in turns, on the same weights and the same work.

Usage: python -m bench.peers DIR PEER_PYTHON [--model FOLDER] [--quick] [--isa KIND] [--only PART]
                             [--engine NAME] [--json FILE]

With --model it is a checkpoint of real weights, and the texts are those that it writes itself.
With --isa our kernels, llama.cpp's and ik_llama.cpp's are held to one kind of CPU, at a prompt of
512 tokens, single tokens and 4 at once. Without it they use the best kind that this machine has.
DIR holds, or gets, a random checkpoint of the exact shape, its bundle and the peers' files: 15 GB,
21 while they are made. PEER_PYTHON has llama-cpp-python, gguf and openvino. Takes 11 GB of memory.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from refact_edge.runtime.backends.native.library import opened

from . import ik_build, prepare, report
from .engines import GROUPS, IK, LAYERS, ONE_KIND, PARTS, QUICK_LAYERS, Files
from .kinds import KINDS, kind_for
from .measure import Measured, measure
from .process import WorkerError

SMALLEST_SHARE = 0.15  # what each engine takes, however small the model


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("peer", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="A checkpoint of real weights.")
@click.option("--quick", is_flag=True, help="A small model, fewer rounds: a quick look.")
@click.option("--isa", type=click.Choice(list(KINDS)), help="Hold all engines to this kind of CPU.")
@click.option(
    "--ik", "ik_source", help=f"A checkout of ik_llama.cpp; ${ik_build.SOURCE} or git else."
)
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="A part; may be repeated.")
@click.option("--engine", multiple=True, help="An engine by its name; may be repeated.")
@click.option("--threads", default=2, show_default=True, help="For every engine.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="All times, to a file.")
def main(
    folder: Path,
    peer: Path,
    model: Path | None,
    quick: bool,
    isa: str | None,
    ik_source: str | None,
    only: tuple[str, ...],
    engine: tuple[str, ...],
    threads: int,
    json_file: Path | None,
) -> None:
    """Measure, and print medians and ratios as Markdown."""
    if isa and only:
        raise click.UsageError("--isa measures one part of its own; leave --only out")
    names = {runner.engine for group in GROUPS for runner in group.runners}
    if unknown := set(engine) - names:
        expected = ", ".join(sorted(names))
        raise click.UsageError(f"no engine {', '.join(sorted(unknown))}; expected {expected}")
    kind = kind_for(isa, opened().able)
    files = files_for(folder.absolute(), model and model.absolute(), quick=quick)
    files = replace(
        files,
        peer=peer.absolute(),
        threads=threads,
        kind=kind,
        forced=isa is not None,
        engines=engine,
    )
    prepare.check(files)
    prepare.make(files)
    ik = ik_build.build_for(kind, peer.absolute().parents[1], ik_source)
    files = prepare.with_working_library(replace(files, ik=ik.library))
    measured = Measured(versions={IK: ik.version} if ik.library else {})
    if ik.absent:
        measured.absent[IK] = ik.absent
    parts = (ONE_KIND,) if isa else only or PARTS
    try:
        for _ in measure(files, parts, quick, measured):
            if json_file is not None:
                values = report.as_json(measured, files, quick)
                json_file.write_text(json.dumps(values, indent=1) + "\n")
    except WorkerError as error:
        raise click.ClickException(f"no more results: {error}") from error
    click.echo(report.markdown(measured, files, quick))


def files_for(folder: Path, model: Path | None, *, quick: bool) -> Files:
    """Return where everything lies for a model, or for random weights: in a folder of its own."""
    if model is None:
        place = folder / "quick" if quick else folder
        layers, share = (QUICK_LAYERS, 0.25) if quick else (LAYERS, 1.0)
        return Files(place, Path(), 0, "", layers=layers, share=share)
    if not (model / "config.json").is_file():
        raise click.ClickException(f"{model} holds no config.json; expected a checkpoint's folder")
    size = sum(file.stat().st_size for file in model.iterdir() if file.is_file())
    share = max(SMALLEST_SHARE, size / prepare.CHECKPOINT_BYTES)
    return Files(folder / model.name, Path(), 0, "", model=model, share=share)


if __name__ == "__main__":
    main()
