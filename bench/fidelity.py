"""What quantized weights lose, ours beside llama.cpp's formats, scored by the same code.

Usage: python -m bench.fidelity CHECKPOINT PEER_PYTHON [--data DIR] [--plot FILE]

Only weights are compared: each format's are turned back into floats and run through our reference,
a layer at a time. llama.cpp's own quantizer makes its formats (`llama_files.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from bench.llama_files import quantize, values, write_full
from demo.corpus import load_corpus
from demo.data import CORPUS, DATA
from refact_edge.export.budget import ranking
from refact_edge.export.convert import calibrated_texts
from refact_edge.export.inspect import Inspected, inspect_checkpoint
from refact_edge.export.layerwise import Floating, Ids, Layerwise
from refact_edge.export.progress import SILENT
from refact_edge.export.roles import weight_specs
from refact_edge.export.weights import form_of, quantized, with_relations
from refact_edge.quant.pack import pack, unpack
from refact_edge.quant.report import Comparison, Logits, report_texts
from refact_edge.quant.schemes import SCHEMES, Blocks, Scheme
from refact_edge.quant.texts.calibration import default_sources
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.text.prompts import Layouts

LLAMA_FORMATS = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q8_0")
# Limits on all weights together, as shares of Q4_K_M's bytes, at which forms are mixed.
SHARES = (0.86, 0.93, 1.0, 1.08, 1.18, 1.3, 1.5)
TWO_BITS = Blocks(2, 32)


@dataclass(frozen=True)
class Candidate:
    """Weights that a format stands for, the bytes of all tensors, and whether they are rotated."""

    weights: Mapping[str, Floating]
    bytes: int
    rotated: bool = False


def llama_formats(source: Inspected, peer: Path) -> dict[str, Candidate]:
    """Return what llama.cpp's formats make of the checkpoint."""
    with tempfile.TemporaryDirectory(prefix="refact-edge-llama-") as name:
        full, made = Path(name) / "full.gguf", {}
        write_full(source, peer, full)
        for form in LLAMA_FORMATS:
            file = full.with_name(f"{form}.gguf")
            quantize(peer, full, form, file)
            made[form] = Candidate(*values(source, peer, file))
        return made


def ours(source: Inspected, scheme: Scheme, texts: Sequence[Ids]) -> Candidate:
    """Return what a scheme makes of the checkpoint, calibrated on `texts`."""
    weights, size = {}, 0
    for stage in Layerwise(source, rotated=True).calibrate(texts):
        for spec, relations in with_relations(stage):
            packed = quantized(stage.weights[spec.name], form_of(spec, scheme), relations)
            weights[spec.name] = unpack(packed)
            size += sum(part.nbytes for part in packed.parts.values())
    return Candidate(weights, size, rotated=True)


def nearest(source: Inspected, scheme: Scheme) -> Candidate:
    """Return the checkpoint as it is, rounded to nearest, with nothing known of its use."""
    weights, size = {}, 0
    for spec in weight_specs(source.decoder):
        packed = pack(source.weight(spec.name), form_of(spec, scheme))
        weights[spec.name] = unpack(packed)
        size += sum(part.nbytes for part in packed.parts.values())
    return Candidate(weights, size)


def logits_of(source: Inspected, candidate: Candidate, texts: Sequence[Ids]) -> Iterator[Logits]:
    """Yield the logits of each text under a candidate's weights."""
    model = Layerwise(source, rotated=candidate.rotated)
    yield from model.evaluate(texts, lambda _done: None, candidate.weights)()


def score(
    source: Inspected, candidates: Mapping[str, Candidate], data: Sequence[Source]
) -> dict[str, dict[str, float]]:
    """Return each candidate's figures against full precision."""
    tokens = source.tokens()
    layouts = Layouts.from_manifest(source.prompts)
    texts = report_texts(data, tokens, layouts, source.sizes.context)
    ids = [text.ids for text in texts]

    def opener(candidate: Candidate) -> Callable[[], Callable[[Ids], Logits]]:
        def open_candidate() -> Callable[[Ids], Logits]:
            made = logits_of(source, candidate, ids)
            return lambda _ids: next(made)  # asked for in the order of the texts

        return open_candidate

    full = Layerwise(source).evaluate(ids, lambda _done: None)
    openers = {name: opener(candidate) for name, candidate in candidates.items()}
    figures = Comparison(texts, tokens, layouts).run(full, openers, lambda _done: None)
    variants: dict[str, dict[str, float]] = figures["variants"]
    return variants


def mixed(
    source: Inspected, texts: Sequence[Ids], limits: Mapping[str, int]
) -> dict[str, Candidate]:
    """Return int4 with its forms mixed within each limit on the bytes of all tensors."""
    ranked = ranking(source, SCHEMES["int4"], texts, SILENT)
    return {name: ours(source, ranked.within(limit), texts) for name, limit in limits.items()}


def draw(file: Path, sizes: Mapping[str, int], figures: Mapping[str, Mapping[str, float]]) -> None:
    """Plot bytes against mean KL: our mixes as a line, formats as points."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "refact-edge"
    plot, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    mixes = sorted((sizes[name], figures[name]["mean_kl"]) for name in sizes if "mixed" in name)
    axes.plot(
        *zip(*((size / 1e6, kl) for size, kl in mixes), strict=True), "o-", label="int4 mixed"
    )
    for name in sizes:
        if "mixed" in name:
            continue
        at = (sizes[name] / 1e6, figures[name]["mean_kl"])
        theirs = name in LLAMA_FORMATS
        axes.plot(*at, "s" if theirs else "D", color="tab:orange" if theirs else "tab:blue")
        axes.annotate(name, at, xytext=(5, 5), textcoords="offset points", fontsize=9)
    axes.set(yscale="log", xlabel="MB of all weights, scales included", ylabel="mean KL, nats")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    plot.savefig(file, metadata={"Date": None})


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("peer", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), help="An SVG file to draw.")
def main(checkpoint: Path, peer: Path, data: Path, plot: Path | None) -> None:
    """Print what each format loses on the demo's held-out modules, and its bytes."""
    source = inspect_checkpoint(checkpoint, SILENT)
    if any(len(source.tensor_names(spec.name)) > 1 for spec in weight_specs(source.decoder)):
        raise click.ClickException("the checkpoint is in the unfused layout; expected the fused")
    held_out = [
        Source(source.name, source.text) for source in load_corpus(data / CORPUS).of("held-out")
    ]
    texts = calibrated_texts(source, default_sources())
    candidates = llama_formats(source, peer.absolute())
    int4, int8 = SCHEMES["int4"], SCHEMES["int8"]
    limits = {
        f"int4 mixed, {share:.0%}": int(share * candidates["Q4_K_M"].bytes) for share in SHARES
    }
    candidates |= {
        "int4 to nearest": nearest(source, int4),
        "int4": ours(source, int4, texts),
        **mixed(source, texts, limits),
        "int8 to nearest": nearest(source, int8),
        "int8": ours(source, int8, texts),
        "2 bits, an experiment": ours(source, replace(int4, matrix=TWO_BITS), texts),
    }
    figures = score(source, candidates, held_out)
    click.echo(f"{'weights':24} {'MB':>7} {'mean KL':>10} {'99th %':>9} {'first choice':>13}")
    for name, entry in figures.items():
        click.echo(
            f"{name:24} {candidates[name].bytes / 1e6:7.3f} {entry['mean_kl']:10} "
            f"{entry['p99_kl']:9} {entry['top1_agreement']:13.2%}"
        )
    if plot is not None:
        draw(plot, {name: candidate.bytes for name, candidate in candidates.items()}, figures)


if __name__ == "__main__":
    main()
