"""What formats make of a checkpoint's weights, as floats again: ours and llama.cpp's.

A real model's floats are large: they lie in a folder, and one weight is read at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from bench.llama_files import quantize, values, write_full, write_importances
from refact_edge.export.fisher import observe
from refact_edge.export.inspect import Inspected
from refact_edge.export.layerwise import Floating, Ids, Layerwise
from refact_edge.export.roles import weight_specs
from refact_edge.export.scratch import Scratch
from refact_edge.export.sequential import ALL_STEPS, Sequential, Steps
from refact_edge.export.variants import specs_in
from refact_edge.export.weights import form_of, quantized, with_relations
from refact_edge.quant.pack import Packed, pack, unpack
from refact_edge.quant.schemes import Scheme
from refact_edge.runtime.bundle.decoder import EMBEDDING, HEAD
from refact_edge.runtime.bundle.places import NORM_MATRIX

PLAIN = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q8_0")
SCRATCH = "scratch"  # where rounding in sequence keeps what it knows of a model
WEIGHTED = ("Q4_K_M", "IQ4_XS")  # made with an importance matrix, too


@dataclass(frozen=True)
class Candidate:
    """Weights that a format stands for, the bytes of all tensors, and whether they are rotated.

    The weights lie in `folder`, which whoever is done with them removes: it is large.
    """

    weights: Mapping[str, Floating]
    bytes: int
    folder: Path
    rotated: bool = False


class Stored(Mapping[str, Floating]):
    """Weights [N, K] in a folder, by name; a tied decoder's head is its embedding.

    So it is behind the last norm's matrix, where there is one.
    """

    def __init__(self, folder: Path, *, tied: bool = False) -> None:
        folder.mkdir(parents=True)
        self._folder, self._tied = folder, tied

    def add(self, name: str, packed: Packed) -> int:
        """Write what a packed weight stands for; return the bytes that it takes packed."""
        np.save(self._folder / f"{name}.npy", unpack(packed))
        return sum(part.nbytes for part in packed.parts.values())

    def __getitem__(self, name: str) -> Floating:
        if name == HEAD and (self._folder / f"{NORM_MATRIX}.npy").exists():
            shared: Floating = self[EMBEDDING] @ self[NORM_MATRIX]
            return shared
        own = EMBEDDING if name == HEAD and self._tied else name
        weight: Floating = np.load(self._folder / f"{own}.npy")
        return weight

    def __iter__(self) -> Iterator[str]:
        return (file.stem for file in self._folder.glob("*.npy"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def ours(
    source: Inspected,
    schemes: Mapping[str, Scheme],
    texts: Sequence[Ids],
    folder: Path,
    steps: Steps = ALL_STEPS,
) -> Iterator[tuple[str, Candidate]]:
    """Yield what schemes make of the checkpoint, each rounded one weight after the other."""
    model = Layerwise(source, rotated=True)
    click.echo("running the model forth and back", err=True)
    scratch = Scratch(folder / SCRATCH)
    seen = scratch.inside("fisher")
    fisher = observe(model, texts, source.sizes.tokens, seen, lambda _done: None)
    for name, scheme in schemes.items():
        specs = {spec.name: spec for spec in specs_in(source.decoder, scheme)}
        weights, size = Stored(folder / name), 0
        rounding = Sequential(model, scheme, texts, fisher, steps)
        for results in rounding.run(specs, scratch.inside(name)):
            for result in results:
                size += weights.add(result.spec.name, result.packed)
        yield name, Candidate(weights, size, folder / name, rotated=True)
    shutil.rmtree(folder / SCRATCH)


def ours_by_themselves(
    source: Inspected, schemes: Mapping[str, Scheme], texts: Sequence[Ids], folder: Path
) -> Iterator[tuple[str, Candidate]]:
    """Yield what schemes make with each weight rounded by itself, all in one pass."""
    weights = {name: Stored(folder / name) for name in schemes}
    sizes = dict.fromkeys(schemes, 0)
    specs = {
        name: {spec.name: spec for spec in specs_in(source.decoder, scheme)}
        for name, scheme in schemes.items()
    }
    for stage in Layerwise(source, rotated=True).calibrate(texts):
        for spec, relations in with_relations(stage):
            for name, scheme in schemes.items():
                if (own := specs[name].get(spec.name)) is None:
                    continue
                packed = quantized(stage.weights[spec.name], form_of(own, scheme), relations)
                sizes[name] += weights[name].add(spec.name, packed)
    yield from (
        (name, Candidate(weights[name], sizes[name], folder / name, rotated=True))
        for name in schemes
    )


def nearest(source: Inspected, scheme: Scheme, folder: Path) -> Candidate:
    """Return the checkpoint as it is, rounded to nearest, with nothing known of its use."""
    weights, size = Stored(folder, tied=source.decoder.tied), 0
    for spec in weight_specs(source.decoder):
        size += weights.add(spec.name, pack(source.weight(spec.name), form_of(spec, scheme)))
    return Candidate(weights, size, folder)


class LlamaFormats:
    """llama.cpp's formats of one checkpoint, made by its own quantizer."""

    def __init__(self, source: Inspected, peer: Path, folder: Path) -> None:
        """Write the checkpoint in fp32 into `folder`; `peer` is the peers' python."""
        self._source, self._peer, self._folder = source, peer, folder
        self._full = folder / "full.gguf"
        write_full(source, peer, self._full)

    def plain(self, form: str) -> Candidate:
        """Return a format as it is made of weights alone."""
        file = self._folder / f"{form}.gguf"
        quantize(self._peer, self._full, form, file)
        return self._candidate(file)

    def weighted(self, forms: Sequence[str], texts: Sequence[Ids]) -> Iterator[Candidate]:
        """Yield formats made for what `texts` make of each product's inputs.

        Raises:
            CalledProcessError: when llama.cpp cannot.

        """
        importances = self._folder / "importances.npz"
        write_importances(self._source, texts, importances)
        for form in forms:
            file = self._folder / f"{form}-weighted.gguf"
            quantize(self._peer, self._full, form, file, importances)
            yield self._candidate(file)

    def _candidate(self, file: Path) -> Candidate:
        click.echo(f"llama.cpp made {file.stem}", err=True)
        weights, size = values(self._source, self._peer, file)
        file.unlink()
        return Candidate(weights, size, file.with_suffix(".values"))
