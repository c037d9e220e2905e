"""What quantized weights lose, ours beside llama.cpp's formats, scored by the same code.

Usage: python -m bench.fidelity CHECKPOINT PEER_PYTHON [--held-out DATA]

Only weights are compared: each format's are turned back into floats and run through our reference,
a layer at a time. llama.cpp's own quantizer makes its formats, from mean-centred weights, since it
runs RMSNorm where this model has LayerNorm; after centring the two are the same.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from demo.corpus import load_corpus
from demo.data import CORPUS, DATA
from refact_edge.export.budget import within
from refact_edge.export.centre import centred
from refact_edge.export.convert import calibrated_texts
from refact_edge.export.inspect import Inspected, inspect_checkpoint
from refact_edge.export.layerwise import Floating, Ids, Layerwise
from refact_edge.export.progress import SILENT
from refact_edge.export.weights import balanced, form_of, load_weight, quantized
from refact_edge.quant.calibrate import default_sources
from refact_edge.quant.eval.sources import Source
from refact_edge.quant.pack import pack, packed_bytes, unpack
from refact_edge.quant.report import Comparison, Logits, report_texts
from refact_edge.quant.schemes import SCHEMES, Form, Scheme
from refact_edge.runtime.bundle import TOKENIZER
from refact_edge.runtime.prompts import Layouts
from refact_edge.runtime.tokens import Tokens

LLAMA = {
    "transformer.wte.weight": "token_embd.weight",
    "ln_f.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
PARTS = {
    "ln_1": ("attn_norm",),
    "attn.q": ("attn_q",),
    "attn.kv": ("attn_k", "attn_v"),
    "attn.c_proj": ("attn_output",),
    "ln_2": ("ffn_norm",),
    "mlp.gate_up_proj": ("ffn_gate", "ffn_up"),
    "mlp.c_proj": ("ffn_down",),
}


@dataclass(frozen=True)
class Candidate:
    """Weights that a format stands for, and the bytes of all its tensors."""

    weights: Mapping[str, Floating]
    bytes: int


def llama_names(name: str) -> tuple[str, ...]:
    """Return the names that a weight's parts have in llama.cpp, in the order of their rows."""
    if name in LLAMA:
        return (LLAMA[name],)
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return tuple(f"blk.{layer}.{own}.weight" for own in PARTS[part])


def llama_formats(found: Inspected, peer: Path) -> dict[str, Candidate]:
    """Return what llama.cpp's formats make of the checkpoint."""
    specs = found.architecture.weight_specs(found.config, set(found.checkpoint.tensors))
    with tempfile.TemporaryDirectory(prefix="refact-edge-llama-") as name:
        folder = Path(name)
        (folder / "sizes.json").write_text(
            json.dumps(vars(found.sizes) | {"inner": found.config.inner})
        )
        for spec in specs:
            weight = centred(spec, load_weight(found.checkpoint, spec)).reshape(spec.shape)
            names = llama_names(spec.name)
            for own, part in zip(names, np.split(weight, len(names)), strict=True):
                np.save(folder / f"{own}.npy", part)
        script = Path(__file__).with_name("llama_formats.py")
        subprocess.run([peer, script, folder], check=True, stdout=2, stderr=subprocess.DEVNULL)
        sizes = json.loads((folder / "bytes.json").read_text())
        return {
            form: Candidate(
                {
                    spec.name: np.concatenate(
                        [np.load(folder / form / f"{own}.npy") for own in llama_names(spec.name)]
                    ).reshape(spec.shape)
                    for spec in specs
                },
                size,
            )
            for form, size in sizes.items()
        }


def ours(found: Inspected, scheme: Scheme, texts: Sequence[Ids]) -> Candidate:
    """Return what a scheme makes of the checkpoint, calibrated on `texts`."""
    weights, size = {}, 0
    for stage in Layerwise(found).calibrate(texts):
        moved, moments = balanced(stage, scheme)
        for spec in stage.specs:
            form = form_of(spec, scheme)
            packed = quantized(moved[spec.name], form, moments.get(spec.name))
            weights[spec.name] = unpack(packed).reshape(spec.shape)
            size += packed_bytes(packed.shape, form)
    return Candidate(weights, size)


def nearest(found: Inspected, scheme: Scheme) -> Candidate:
    """Return the checkpoint rounded to nearest, with nothing known of what it is used for."""
    weights, size = {}, 0
    for spec in found.architecture.weight_specs(found.config, set(found.checkpoint.tensors)):
        form: Form = form_of(spec, scheme)
        packed = pack(load_weight(found.checkpoint, spec), form)
        weights[spec.name] = unpack(packed).reshape(spec.shape)
        size += packed_bytes(packed.shape, form)
    return Candidate(weights, size)


def logits_of(found: Inspected, candidate: Candidate, texts: Sequence[Ids]) -> Iterator[Logits]:
    """Yield the logits of each text under a candidate's weights."""
    tensors = {name: found.checkpoint.tensors.get(name) for name in candidate.weights}
    if None in tensors.values():
        raise click.ClickException(
            "the checkpoint is in the unfused layout; expected the fused one"
        )
    checkpoint = replace(found.checkpoint, read=lambda name: candidate.weights[name])
    yield from Layerwise(replace(found, checkpoint=checkpoint)).evaluate(
        texts, lambda _done: None
    )()


def score(
    found: Inspected, candidates: Mapping[str, Candidate], data: Sequence[Source]
) -> dict[str, dict[str, float]]:
    """Return each candidate's figures against full precision."""
    tokens = Tokens(found.checkpoint.path / TOKENIZER)
    layouts = Layouts.from_manifest(found.architecture.prompts())
    texts = report_texts(data, tokens, layouts, found.sizes.context)
    ids = [text.ids for text in texts]

    def opener(candidate: Candidate) -> Callable[[], Callable[[Ids], Logits]]:
        def open_candidate() -> Callable[[Ids], Logits]:
            made = logits_of(found, candidate, ids)
            return lambda _ids: next(made)  # asked for in the order of the texts

        return open_candidate

    full = Layerwise(found).evaluate(ids, lambda _done: None)
    openers = {name: opener(candidate) for name, candidate in candidates.items()}
    figures = Comparison(texts, tokens, layouts).run(full, openers, lambda _done: None)
    variants: dict[str, dict[str, float]] = figures["variants"]
    return variants


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("peer", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True)
def main(checkpoint: Path, peer: Path, data: Path) -> None:
    """Print what each format loses on the demo's held-out modules, and its bytes."""
    found = inspect_checkpoint(checkpoint, SILENT)
    held_out = [
        Source(source.name, source.text) for source in load_corpus(data / CORPUS).of("held-out")
    ]
    texts = calibrated_texts(found, default_sources())
    candidates = llama_formats(found, peer)
    int4, int8 = SCHEMES["int4"], SCHEMES["int8"]
    limit = candidates["Q4_K_M"].bytes
    fitted = within(found, int4, texts, limit, SILENT)
    candidates |= {
        "int4, to nearest": nearest(found, int4),
        "int4": ours(found, int4, texts),
        "int4, in Q4_K_M's bytes": ours(found, fitted, texts),
        "int8, to nearest": nearest(found, int8),
        "int8": ours(found, int8, texts),
    }
    click.echo(f"{'weights':26} {'MB':>7} {'mean KL':>10} {'99th %':>9} {'first choice':>13}")
    for name, figures in score(found, candidates, held_out).items():
        click.echo(
            f"{name:26} {candidates[name].bytes / 1e6:7.2f} {figures['mean_kl']:10} "
            f"{figures['p99_kl']:9} {figures['top1_agreement']:13.2%}"
        )


if __name__ == "__main__":
    main()
