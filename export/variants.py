"""The weights and graphs of variants, written into a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ..quant.schemes import Scheme
from ..runtime.bundle import contract as layout
from ..runtime.errors import CheckpointError
from .architectures import Architecture, WeightSpec
from .blocks import Weights
from .graph import Graph
from .inspect import Inspected
from .layerwise import Ids, Layerwise, by_stage
from .progress import Track
from .rotated import turned
from .weights import Stage, VariantWriter, load_weight, with_relations


def specs_of(found: Inspected) -> list[WeightSpec]:
    """List the weights of a checkpoint, in the order of the data file."""
    return found.architecture.weight_specs(found.config, set(found.checkpoint.tensors))


def write_variants(
    work: Path, found: Inspected, schemes: list[Scheme], texts: Sequence[Ids], track: Track
) -> list[VariantWriter]:
    """Write the weights and the graphs of every variant into a folder."""
    (work / layout.GRAPH_FOLDER).mkdir()
    written = _write_weights(work, schemes, found, texts, track)
    for scheme, writer in zip(schemes, written, strict=True):
        write_graphs(work, found.architecture, found.config, scheme, writer)
    return written


def _write_weights(
    work: Path, schemes: list[Scheme], found: Inspected, texts: Sequence[Ids], track: Track
) -> list[VariantWriter]:
    """Add each weight to the data file of every variant; rounded for `texts`, if there are any."""
    specs = specs_of(found)
    writers: list[VariantWriter] = []
    try:
        for scheme in schemes:
            writers.append(VariantWriter(work / layout.weights_file(scheme.name), scheme))
        whole = [writer for writer in writers if not writer.scheme.turned]
        rounded = [writer for writer in writers if writer.scheme.turned]
        total = sum(map(_elements, specs))
        with track("packing weights", total * (bool(whole) + bool(rounded))) as advance:
            if whole:
                _add(whole, _plain(found, specs), advance)
            if rounded:
                calibrated = Layerwise(found, turned=True).calibrate(texts) if texts else None
                _add(rounded, calibrated or _uncalibrated(found, specs), advance)
    finally:
        for writer in writers:
            writer.close()
    return writers


def _uncalibrated(found: Inspected, specs: Sequence[WeightSpec]) -> Iterator[Stage]:
    """Yield the stages of the turned model, with nothing known of what weights multiply."""
    for together in by_stage(specs):
        weights = {spec.name: load_weight(found.checkpoint, spec) for spec in together}
        yield Stage(tuple(together), turned(together, weights), {})


def _plain(found: Inspected, specs: Sequence[WeightSpec]) -> Iterator[Stage]:
    """Yield each weight by itself, as it is."""
    for spec in specs:
        yield Stage((spec,), {spec.name: load_weight(found.checkpoint, spec)}, {})


def _add(
    writers: Sequence[VariantWriter], stages: Iterable[Stage], advance: Callable[[int], None]
) -> None:
    """Add the weights of each stage to every writer."""
    for stage in stages:
        for spec, known in with_relations(stage):
            for writer in writers:
                try:
                    writer.add(spec, stage.weights[spec.name], known)
                except OverflowError as error:
                    raise CheckpointError(
                        f"{spec.name} {error}; leave out variant {writer.scheme.name}"
                    ) from error
            advance(_elements(spec))


def _elements(spec: WeightSpec) -> int:
    count = 1
    for size in spec.shape:
        count *= size
    return count


def write_graphs(
    work: Path, architecture: Architecture, config: object, scheme: Scheme, writer: VariantWriter
) -> None:
    """Write both graphs of a variant, over the weights that a writer stored."""
    data_file = Path(layout.weights_file(scheme.name)).name
    weights = Weights(writer.stored, scheme.activations, scheme.turned)
    for standard, file in (
        (True, layout.standard_graph(scheme.name)),
        (False, layout.engine_graph(scheme.name)),
    ):
        graph = Graph("standard" if standard else "engine", data_file)
        architecture.build(graph, config, weights, standard=standard)
        (work / file).write_bytes(graph.model().SerializeToString(deterministic=True))
