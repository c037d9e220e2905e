"""The gate: a bundle's files are checked here, and only what passed is opened.

A session takes what was verified and nothing else, and nobody but this file makes such a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import BundleError, one_line
from ..files.plain import why_not_plain
from ..files.sha256 import file_sha256
from .contract import (
    TOKENIZER,
    Bundle,
    Sizes,
    Variant,
    check_shapes,
    engine_graph,
    gpu_graph,
    standard_graph,
    weights_file,
)
from .decoder import Decoder
from .graphcheck import check_graph, check_places
from .onnxfile import OnnxGraph
from .places import Place

SIDE_FILE_LIMIT_BYTES = 256 * 2**20  # tokenizer.json and the like


@dataclass(frozen=True)
class VerifiedGraph:
    """An engine graph and its weights, checked: all that opening them by their paths needs.

    Args:
        sizes: the numbers that the engine needs of the model.
        kv_type: the numpy type of its cache, float32 or float16.
        graph_file: the graph.
        weights_file: the weights that the graph names.

    """

    sizes: Sizes
    kv_type: str
    graph_file: Path
    weights_file: Path


@dataclass(frozen=True)
class Verified(VerifiedGraph):
    """A variant of a bundle whose files were checked.

    Args:
        bundle: where it lies.
        variant: which one it is.
        graph: the graph as it was read.

    """

    bundle: Bundle
    variant: Variant
    graph: OnnxGraph


@dataclass(frozen=True)
class VerifiedGpuGraph(VerifiedGraph):
    """A graph for a GPU; see `gpu.py`.

    Args:
        decoder: what it computes.
        folded: its form: whether ALiBi is in the numbers of queries and keys.

    """

    decoder: Decoder
    folded: bool


def verify(
    bundle: Bundle,
    variant: str,
    *,
    hashes: bool = True,
    hashed_before: Callable[[], bool] = bool,
) -> Verified:
    """Check all that running `variant` will read: files, operators, external data.

    The standard graph is not among it; see `verify_standard`.

    Args:
        bundle: whose files they are.
        variant: which ones.
        hashes: False skips the sha256 of all files, not their sizes.
        hashed_before: asked when all else is right; where it says True, the weights, which are the
            large file, are not hashed.

    Raises:
        OptionError: when the bundle has no such variant.
        BundleError: see `verify_files`, `graphcheck.check_graph` and `check_places`.

    """
    described = bundle.require_variant(variant)
    graph_path = bundle.path / engine_graph(variant)
    weights_path = bundle.path / weights_file(variant)
    verify_files(bundle, [TOKENIZER, engine_graph(variant)], hashes=hashes)
    verify_files(bundle, [weights_file(variant)], hashes=False)
    graph = _verify_graph(graph_path, weights_path, described.weights)
    check_shapes(graph.shapes, bundle.sizes)
    if hashes and not hashed_before():
        verify_files(bundle, [weights_file(variant)])
    kv_type = described.kv_type
    return Verified(bundle.sizes, kv_type, graph_path, weights_path, bundle, described, graph)


def verify_gpu(
    bundle: Bundle,
    variant: str,
    *,
    folded: bool = True,
    hashes: bool = True,
    hashed_before: Callable[[], bool] = bool,
) -> VerifiedGpuGraph:
    """Check all that running `variant` on a GPU will read, in the same way as `verify`.

    Raises:
        OptionError: when the bundle has no such variant.
        BundleError: see `verify_files`, `graphcheck.check_graph` and `check_places`.

    """
    described = bundle.require_variant(variant)
    name = gpu_graph(variant, folded=folded)
    graph_path, weights_path = bundle.path / name, bundle.path / weights_file(variant)
    verify_files(bundle, [TOKENIZER, name], hashes=hashes)
    verify_files(bundle, [weights_file(variant)], hashes=False)
    _verify_graph(graph_path, weights_path, described.weights)
    if hashes and not hashed_before():
        verify_files(bundle, [weights_file(variant)])
    return VerifiedGpuGraph(
        bundle.sizes, described.kv_type, graph_path, weights_path, described.decoder, folded
    )


def verify_copy(
    bundle: Bundle, variant: str, graph: Path, weights: Path, *, hashes: bool = True
) -> VerifiedGraph:
    """Check what is read of a bundle beside this machine's own copy of a variant.

    Whoever keeps the copy answers for its files.

    Raises:
        OptionError: when the bundle has no such variant.
        BundleError: see `verify_files`.

    """
    verify_files(bundle, [TOKENIZER], hashes=hashes)
    return VerifiedGraph(bundle.sizes, bundle.require_variant(variant).kv_type, graph, weights)


def verify_draft(folder: Path, variant: str, sizes: Sizes, kv_type: str) -> VerifiedGraph:
    """Check a graph of a bundle that is being written, and has no manifest yet.

    Raises:
        BundleError: see `graphcheck.check_graph`.

    """
    graph, weights = folder / engine_graph(variant), folder / weights_file(variant)
    check_shapes(check_graph(graph, weights).shapes, sizes)
    return VerifiedGraph(sizes, kv_type, graph, weights)


def verify_standard(bundle: Bundle, variant: str) -> None:
    """Check the graph that other loaders open, in the same way.

    Raises:
        BundleError: see `verify_files`, `graphcheck.check_graph` and `check_places`.

    """
    verify_files(bundle, [standard_graph(variant)])
    weights = bundle.path / weights_file(variant)
    places = bundle.require_variant(variant).weights
    _verify_graph(bundle.path / standard_graph(variant), weights, places)


def verify_files(bundle: Bundle, names: Iterable[str], *, hashes: bool = True) -> None:
    """Check files against the manifest: present, inside the folder, right size, right sha256.

    They may be links, out of the folder too: it is their content that counts.

    Raises:
        BundleError: listing every file that is wrong.

    """
    wrong = [problem for name in names if (problem := _file_problem(bundle, name, hashes))]
    if wrong:
        raise BundleError(f"{bundle.path}: {'; '.join(wrong)}; copy or export the bundle again")


def _verify_graph(file: Path, weights: Path, places: Mapping[str, Place]) -> OnnxGraph:
    """Check what a graph asks for, and that it reads weights where the manifest says they lie.

    Either graph of a variant passes here.
    """
    graph = check_graph(file, weights)
    check_places(graph, places, file)
    return graph


def _file_problem(bundle: Bundle, name: str, hashes: bool) -> str | None:
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or set(name) & set("\\:"):
        return f"{name!r:.80} is not a path inside the bundle"
    label = one_line(name)
    if name not in bundle.files:
        return f"{label} is not in the manifest"
    file, expected = bundle.path.joinpath(*parts), bundle.files[name]
    if reason := why_not_plain(file):
        return f"{label} {reason}"
    try:
        return _content_problem(file, name, expected, hashes)
    except OSError as error:
        return f"{label} cannot be read: {error.strerror}"


def _content_problem(file: Path, name: str, expected: dict[str, Any], hashes: bool) -> str | None:
    size, label = file.stat().st_size, one_line(name)
    if size != expected.get("bytes"):
        return f"{label} has {size} bytes, the manifest says {expected.get('bytes')}"
    if "/" not in name and size > SIDE_FILE_LIMIT_BYTES:
        return f"{label} is over {SIDE_FILE_LIMIT_BYTES} bytes"
    if hashes and file_sha256(file) != expected.get("sha256"):
        return f"{label} was altered: its sha256 is not the manifest's"
    return None
