"""What quantized weights lose, ours beside llama.cpp's formats, scored by the same code.

Usage: python -m bench.fidelity CHECKPOINT PEER_PYTHON [--noise] [--mixed] [--data DIR] ...

Each mean KL has its standard error, and its share of the first row's, paired by texts, has another.
Only weights are compared: each format's are turned back into floats and run through our reference,
a layer at a time; llama.cpp's own quantizer makes its formats (see `candidates.py`). Weights that
were on a format's grid before get noise with --noise, and are compared with themselves after that.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from bench.candidates import (
    PLAIN,
    SCRATCH,
    WEIGHTED,
    Candidate,
    LlamaFormats,
    nearest,
    ours,
    ours_by_themselves,
)
from bench.real.noise import SHARE, with_noise
from bench.scoring import HEADINGS, Figures, Scorer, line
from demo.corpus import load_corpus
from demo.data import CORPUS
from refact_edge.export.calibration import Calibration, calibrated_texts
from refact_edge.export.effort import EFFORTS
from refact_edge.export.inspect import Inspected, inspect_checkpoint
from refact_edge.export.layerwise import Ids
from refact_edge.export.progress import SILENT
from refact_edge.export.quality import default_data
from refact_edge.export.ranking import ranking
from refact_edge.export.scratch import Scratch
from refact_edge.export.sequential import Steps
from refact_edge.quant.mix import Choice
from refact_edge.quant.schemes import SCHEMES, Blocks, Scheme
from refact_edge.quant.texts.calibration import TEXTS, default_sources
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.bundle.contract import weights_file

# Limits on all weights together, as shares of Q4_K_M's bytes, at which forms are mixed.
SHARES = (0.86, 0.93, 1.0, 1.08, 1.18, 1.3, 1.5)
TWO_BITS = Blocks(2, 32)
BLOCK, OF_128 = 128, ", of 128"  # that our own kernels know
# The steps by which rounding in sequence goes beyond rounding each weight by itself.
STEPS = (
    ("embedding", Steps(outputs=False, targets=False), 1),
    ("two-sided", Steps(targets=False), 1),
    ("targets", Steps(), 1),
    ("three times the text", Steps(), 3),
)
QUICK = ("Q4_0", "Q4_K_M", "Q8_0")


def schemes_of(
    source: Inspected, calibration: Calibration, limits: Mapping[str, int]
) -> dict[str, Scheme]:
    """Return int4, and with its forms mixed within each limit."""
    int4 = SCHEMES["int4"]
    ranked = ranking(source, int4, calibration, SILENT)
    native = replace(ranked, choices={n: _of_128(some) for n, some in ranked.choices.items()})
    schemes = {"int4, effort most": int4}
    for name, limit in limits.items():
        schemes[name] = ranked.within(limit)
        schemes[name + OF_128] = native.within(limit)
    return schemes


def _of_128(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that our own kernels compute."""
    return [c for c in choices if isinstance(c.form, Blocks) and c.form.size == BLOCK]


def candidates(
    source: Inspected, peer: Path, folder: Path, *, mix: bool
) -> Iterator[tuple[str, Candidate]]:
    """Yield all formats by name; with `mix`, also those that are of use on a small model alone."""
    texts = calibrated_texts(source, default_sources())
    longer = calibrated_texts(source, default_sources(), EFFORTS["most"].times * TEXTS)
    least = {"int4, effort least": SCHEMES["int4"], "int8": SCHEMES["int8"]}
    if mix:
        least["2 bits, an experiment"] = replace(SCHEMES["int4"], matrix=TWO_BITS)
    yield from ours_by_themselves(source, least, texts, folder / "least")
    sizes = {}
    for name, candidate in formats(source, peer, folder, PLAIN if mix else QUICK, longer):
        sizes[name] = candidate.bytes
        yield name, candidate
    if mix:
        for name in ("int4", "int8"):
            yield f"{name} to nearest", nearest(source, SCHEMES[name], folder / "nearest" / name)
    more = {"int4, effort more": SCHEMES["int4"]}
    yield from ours(source, more, texts, folder / "more")
    shares = SHARES if mix else (1.0,)
    limits = {f"int4 mixed, {part:.0%}": int(part * sizes["Q4_K_M"]) for part in shares}
    calibration = Calibration(texts, longer, Scratch(folder / "most" / SCRATCH))
    yield from ours(source, schemes_of(source, calibration, limits), longer, folder / "most")


def formats(
    source: Inspected, peer: Path, folder: Path, plain: Sequence[str], texts: Sequence[Ids]
) -> Iterator[tuple[str, Candidate]]:
    """Yield llama.cpp's formats by name, plain ones and some weighted by what `texts` use."""
    theirs = LlamaFormats(source, peer, folder)
    for form in plain:
        yield form, theirs.plain(form)
    for form, candidate in zip(WEIGHTED, theirs.weighted(WEIGHTED, texts), strict=True):
        yield f"{form}, imatrix", candidate


def by_steps(source: Inspected, folder: Path) -> Iterator[tuple[str, Candidate]]:
    """Yield int4 with one step of its rounding after another, and for more text."""
    int4 = {"int4": SCHEMES["int4"]}
    texts = calibrated_texts(source, default_sources())
    for _, candidate in ours_by_themselves(source, int4, texts, folder / "least"):
        yield "each weight by itself", candidate
    for name, steps, times in STEPS:
        some = texts if times == 1 else calibrated_texts(source, default_sources(), times * TEXTS)
        for _, candidate in ours(source, int4, some, folder / name, steps):
            yield name, candidate


def draw(file: Path, sizes: Mapping[str, int], figures: Mapping[str, Mapping[str, float]]) -> None:
    """Plot bytes against mean KL: our mixes as a line, formats as points."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "refact-edge"
    plot, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    mixes = [name for name in sizes if "mixed" in name]
    lines = {"int4 mixed": [name for name in mixes if not name.endswith(OF_128)]}
    lines[f"int4 mixed{OF_128}"] = [name for name in mixes if name.endswith(OF_128)]
    for label, names in lines.items():
        points = sorted((sizes[name] / 1e6, figures[name]["mean_kl"]) for name in names)
        axes.plot(*zip(*points, strict=True), "o-", label=label)
    for name in sizes:
        if "mixed" in name:
            continue
        at = (sizes[name] / 1e6, figures[name]["mean_kl"])
        theirs = name.startswith(("Q", "IQ"))
        axes.plot(*at, "s" if theirs else "D", color="tab:orange" if theirs else "tab:blue")
        axes.annotate(name, at, xytext=(5, 5), textcoords="offset points", fontsize=9)
    axes.set(yscale="log", xlabel="MB of all weights, scales included", ylabel="mean KL, nats")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    plot.savefig(file, metadata={"Date": None})


def held_out(data: Path | None) -> Sequence[Source]:
    """Return what is scored on: the demo's held-out modules in `data`, or what we ship for it."""
    if data is None:
        return default_data()
    modules = load_corpus(data / CORPUS).of("held-out")
    return [Source(module.name, module.text) for module in modules]


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("peer", type=click.Path(path_type=Path))
@click.option("--noise", is_flag=True, help="Put noise on the weights first.")
@click.option("--mixed", is_flag=True, help="Mix int4's forms within several limits, too.")
@click.option("--steps", is_flag=True, help="Ours alone, one step of rounding after another.")
@click.option("--texts", type=int, help="Score only so many of the 80 texts.")
@click.option("--data", type=click.Path(path_type=Path), help="The demo's corpus, to score on.")
@click.option("--plot", type=click.Path(path_type=Path), help="An SVG file to draw.")
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Exported of CHECKPOINT: score its int4 in place of rounding here; more than once.",
)
def main(
    checkpoint: Path,
    peer: Path,
    noise: bool,
    mixed: bool,
    steps: bool,
    texts: int | None,
    data: Path | None,
    plot: Path | None,
    bundles: Sequence[Path],
) -> None:
    """Print what each format loses on held-out texts, and its bytes."""
    with tempfile.TemporaryDirectory(prefix="refact-edge-fidelity-") as name:
        folder, peer = Path(name), peer.absolute()
        if noise:
            with_noise(checkpoint, folder / "noise")
            checkpoint = folder / "noise"
            click.echo(f"with noise of {SHARE:.2f} of a step of 4 bits in blocks of 32")
        source = inspect_checkpoint(checkpoint, SILENT)
        scorer = Scorer(source, held_out(data), texts)
        sizes: dict[str, int] = {}
        figures: dict[str, Figures] = {}
        click.echo(HEADINGS)
        for bundle in bundles:
            size = (bundle / weights_file("int4")).stat().st_size
            click.echo(line(bundle.name, size, scorer.int4_of(bundle)))
        if bundles:
            longer = calibrated_texts(source, default_sources(), EFFORTS["most"].times * TEXTS)
            rows = formats(source, peer, folder, QUICK, longer)
        else:
            rows = (
                by_steps(source, folder) if steps else candidates(source, peer, folder, mix=mixed)
            )
        for name, candidate in rows:
            sizes[name], figures[name] = candidate.bytes, scorer.figures(candidate)
            shutil.rmtree(candidate.folder)
            click.echo(line(name, sizes[name], figures[name]))
    if plot is not None:
        draw(plot, sizes, figures)


if __name__ == "__main__":
    main()
