"""The weights and graphs of variants, written into a folder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..quant.schemes import Blocks, Scheme
from ..runtime.bundle import contract as layout
from ..runtime.bundle import gpu
from ..runtime.bundle.decoder import Decoder
from ..runtime.errors import CheckpointError
from .calibration import Calibration
from .decoder import build_engine, build_standard
from .fisher import Fisher, observe, scratch_bytes
from .gpu import build_gpu
from .graph import Graph
from .inspect import Inspected
from .layerwise import Ids, Layerwise
from .products import Weights
from .progress import Track
from .roles import WeightSpec, norm_matrix_spec, rotation_spec, weight_specs
from .rotated import may_share, rotated_decoder
from .scratch import Scratch
from .sequential import Sequential
from .weights import Stage, VariantWriter, estimate_bytes, with_relations


def decoder_in(decoder: Decoder, scheme: Scheme) -> Decoder:
    """Return the facts of a model as a variant has it, which may be rotated."""
    if not scheme.rotated:
        return decoder
    return replace(rotated_decoder(decoder), tied=shares_head(decoder, scheme))


def shares_head(decoder: Decoder, scheme: Scheme) -> bool:
    """Whether embedding and head of a rotated variant are one table."""
    return scheme.rotated and scheme.shares and may_share(decoder)


def specs_in(decoder: Decoder, scheme: Scheme) -> list[WeightSpec]:
    """List all that is in a variant's data file, in its order."""
    specs = weight_specs(decoder_in(decoder, scheme))
    if not scheme.rotated:
        return specs
    if shares_head(decoder, scheme):
        table, *others = specs
        specs = [replace(table, role="shared"), *others, norm_matrix_spec(decoder)]
    return [*specs, rotation_spec(decoder)]


def data_bytes(decoder: Decoder, schemes: Iterable[Scheme]) -> int:
    """Return about how many bytes the data files of some variants take together."""
    return sum(estimate_bytes(specs_in(decoder, scheme), scheme) for scheme in schemes)


def weight_count(decoder: Decoder) -> int:
    """Return how many weights a model has in its matrices."""
    return _total(spec for spec in weight_specs(decoder) if spec.rounds)


def rounding_bytes(decoder: Decoder, schemes: Iterable[Scheme], texts: Sequence[Ids]) -> int:
    """Return about how many bytes rounding schemes in sequence needs beside them meanwhile."""
    if not texts:
        return 0
    specs, tokens = weight_specs(decoder), sum(map(len, texts))
    seen = scratch_bytes(specs, decoder.width, decoder.layers, tokens)
    return seen + data_bytes(decoder, schemes)


def write_variants(
    work: Path,
    checked: Inspected,
    schemes: list[Scheme],
    calibration: Calibration,
    track: Track,
) -> list[VariantWriter]:
    """Write the weights and the graphs of every variant into a folder."""
    (work / layout.GRAPH_FOLDER).mkdir()
    written = _write_weights(work, schemes, checked, calibration, track)
    for writer in written:
        write_graphs(work, checked.decoder, writer)
    return written


def _write_weights(
    work: Path,
    schemes: list[Scheme],
    checked: Inspected,
    calibration: Calibration,
    track: Track,
) -> list[VariantWriter]:
    """Add each weight to the data file of every variant."""
    writers: list[VariantWriter] = []
    try:
        for scheme in schemes:
            file = work / layout.weights_file(scheme.name)
            writers.append(VariantWriter(file, scheme, specs_in(checked.decoder, scheme)))
        rotated = [writer for writer in writers if writer.scheme.rotated]
        blocks = [writer for writer in rotated if isinstance(writer.scheme.matrix, Blocks)]
        sequential = blocks if calibration.scratch else []
        model = Layerwise(checked, rotated=True)
        if whole := [writer for writer in writers if not writer.scheme.rotated]:
            with track("packing weights", _total(weight_specs(checked.decoder))) as advance:
                _add(whole, checked, _plain(checked), advance)
        if alone := [writer for writer in rotated if writer not in sequential]:
            with track("packing weights", _total(model.specs)) as advance:
                texts = calibration.texts
                stages = model.calibrate(texts) if texts else model.stages()
                _add(alone, checked, stages, advance)
        if sequential:
            _round_sequentially(sequential, checked, model, calibration, track)
        for writer in rotated:
            writer.add_rotation(rotation_spec(checked.decoder))
    finally:
        for writer in writers:
            writer.close()
    return writers


def _plain(checked: Inspected) -> Iterator[Stage]:
    """Yield each weight by itself, as it is."""
    for spec in weight_specs(checked.decoder):
        yield Stage((spec,), {spec.name: checked.weight(spec.name)}, {})


def _add(
    writers: Sequence[VariantWriter],
    checked: Inspected,
    stages: Iterable[Stage],
    advance: Callable[[int], None],
) -> None:
    """Add the weights of each stage to every writer whose variant has them."""
    for stage in stages:
        for spec, relations in with_relations(stage):
            for writer in writers:
                if (own := writer.specs.get(spec.name)) is None:
                    continue
                try:
                    writer.add(own, stage.weights[spec.name], relations)
                except OverflowError as error:
                    names = " and ".join(checked.tensor_names(spec.name))
                    raise CheckpointError(
                        f"{names} {error}; leave out variant {writer.scheme.name}"
                    ) from error
            advance(_elements(spec))
        stage.weights.clear()  # the next stage is read while this one still has its name


def _round_sequentially(
    writers: Sequence[VariantWriter],
    checked: Inspected,
    model: Layerwise,
    calibration: Calibration,
    track: Track,
) -> None:
    """Add all weights to every writer, rounded one after the other for each by itself."""
    scratch, texts = calibration.scratch, calibration.longer
    assert scratch is not None
    fisher = seen_by(model, checked, texts, track, scratch)
    for writer in writers:
        with track(f"rounding {writer.scheme.name}", _total(writer.specs.values())) as advance:
            rounding = Sequential(model, writer.scheme, texts, fisher)
            own = scratch.inside(_name_of(writer.scheme))
            for results in rounding.run(writer.specs, own):
                for result in results:
                    writer.add_result(result)
                    advance(_elements(result.spec))


def seen_by(
    model: Layerwise, checked: Inspected, texts: Sequence[Ids], track: Track, scratch: Scratch
) -> Fisher:
    """Return what the loss minds, of a rotated model; it is looked at once a folder."""
    with track("watching what the loss minds", 2 * model.layers) as advance:
        return observe(model, texts, checked.sizes.tokens, scratch.inside("fisher"), advance)


def _name_of(scheme: Scheme) -> str:
    """Return a name that tells schemes apart which differ in the forms of some weights only."""
    return f"{scheme.name}.{hashlib.sha256(repr(scheme).encode()).hexdigest()[:12]}"


def _total(specs: Iterable[WeightSpec]) -> int:
    return sum(map(_elements, specs))


def _elements(spec: WeightSpec) -> int:
    return math.prod(spec.shape)


def write_graphs(work: Path, decoder: Decoder, writer: VariantWriter) -> None:
    """Write the graphs of a variant, over the weights that a writer stored."""
    scheme = writer.scheme
    data_file = Path(layout.weights_file(scheme.name)).name
    weights = Weights(writer.places, scheme.activations)
    metadata = {"variant": scheme.name, "scheme": scheme.summary}
    own = decoder_in(decoder, scheme)

    def write(kind: str, file: str, build: Callable[[Graph], None]) -> None:
        graph = Graph(kind, data_file, metadata)
        build(graph)
        (work / file).write_bytes(graph.model().SerializeToString(deterministic=True))

    for kind, build, file in (
        ("standard", build_standard, layout.standard_graph(scheme.name)),
        ("engine", build_engine, layout.engine_graph(scheme.name)),
    ):
        write(kind, file, partial(build, decoder=own, weights=weights))
    if scheme.name in gpu.VARIANTS:
        halves = replace(weights, activations=gpu.TYPE)
        for folded in gpu.forms_of(own):
            build = partial(build_gpu, decoder=own, weights=halves, folded=folded)
            write("gpu", layout.gpu_graph(scheme.name, folded=folded), build)
