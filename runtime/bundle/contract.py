"""The bundle: the folder that export writes and the runtime reads.

The one place that knows its file names, its manifest and the names of the graphs' inputs and
outputs. Nothing in a bundle is opened by an engine before it was verified: see `verified.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError, OptionError, one_line
from .decoder import Decoder, decoder_of
from .limits import SIZES, is_size
from .manifest import MANIFEST as MANIFEST
from .manifest import is_count, is_name, is_printable, is_sha256, read_manifest
from .places import Place, places_of, why_other_weights

FORMAT = 2
TOKENIZER = "tokenizer.json"
GRAPH_FOLDER = "onnx"
KV_TYPES = ("float32", "float16")
_MOST_PROBLEMS, _MOST_CHARACTERS = 5, 400  # and characters of them

# Suffixes that transformers.js and others look for.
VARIANT_SUFFIXES = {"fp32": "", "fp16": "_fp16", "int8": "_int8", "int4": "_q4"}

# One name for two variants together: the first prefills, the second decodes.
HYBRID, HYBRID_READER, HYBRID_WRITER = "hybrid", "int8", "int4"

INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
LOGITS_TO_KEEP = "logits_to_keep"
LOGITS = "logits"


def past_name(layer: int, part: str, *, standard: bool = False) -> str:
    """Name of the input that carries a layer's cached keys or values."""
    return f"{'past_key_values' if standard else 'past'}.{layer}.{part}"


def present_name(layer: int, part: str) -> str:
    """Name of the output that carries a layer's new keys or values."""
    return f"present.{layer}.{part}"


def standard_graph(variant: str) -> str:
    """File of the graph that other loaders open."""
    return f"{GRAPH_FOLDER}/model{VARIANT_SUFFIXES[variant]}.onnx"


def engine_graph(variant: str) -> str:
    """File of the graph that our own engine runs."""
    return f"{GRAPH_FOLDER}/engine{VARIANT_SUFFIXES[variant]}.onnx"


def gpu_graph(variant: str, *, folded: bool = True) -> str:
    """File of the graph for a GPU; not `folded`, with ALiBi as a bias of scores."""
    form = "" if folded else "_bias"
    return f"{GRAPH_FOLDER}/gpu{VARIANT_SUFFIXES[variant]}{form}.onnx"


def weights_file(variant: str) -> str:
    """File of the weights that all its graphs share."""
    return f"{standard_graph(variant)}_data"


@dataclass(frozen=True)
class Sizes:
    """The numbers that the engine needs of a model."""

    layers: int
    heads: int
    kv_heads: int
    head_size: int
    width: int
    vocabulary: int  # rows of logits
    tokens: int  # ids from here on are padding rows
    context: int


def sizes_of(decoder: Decoder, tokens: int) -> Sizes:
    """Return a decoder's numbers; `tokens` is the tokenizer's size."""
    return Sizes(
        layers=decoder.layers,
        heads=decoder.attention.heads,
        kv_heads=decoder.attention.kv_heads,
        head_size=decoder.attention.head_size,
        width=decoder.width,
        vocabulary=decoder.vocabulary,
        tokens=tokens,
        context=decoder.context,
    )


@dataclass(frozen=True)
class Variant:
    """One precision of the model.

    `decoder` is what its graphs compute: of a rotated model norms have no bias, which is in the
    products behind them, and nothing is tied. `weights` tells where its weights lie, by name; a
    rotated variant has a rotation beside those that its decoder lists.
    """

    name: str
    scheme: str
    kv_type: str
    bytes: int
    report: dict[str, Any]
    decoder: Decoder
    weights: dict[str, Place]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest was read; `verified.py` looks at the rest."""

    path: Path
    architecture: str
    decoder: Decoder
    sizes: Sizes
    prompts: dict[str, Any]
    sampling: dict[str, Any]
    variants: dict[str, Variant]
    provenance: dict[str, Any]
    files: dict[str, dict[str, Any]]
    quality: dict[str, Any]  # what was measured against full precision; empty when nothing was
    name: str = ""  # of the model, as its exporter calls it; earlier bundles have none
    sha256: str = ""  # of the manifest itself

    def variant_files(self, variant: str) -> list[str]:
        """Files of one variant: its graphs and their weights."""
        own = [standard_graph(variant), engine_graph(variant), weights_file(variant)]
        return own + self.gpu_graphs(variant)

    def gpu_graphs(self, variant: str) -> list[str]:
        """Files of a variant's graphs for a GPU; older bundles, and other variants, have none."""
        names = (gpu_graph(variant, folded=folded) for folded in (True, False))
        return [name for name in names if name in self.files]

    def side_files(self) -> list[str]:
        """Files that belong to no variant."""
        graphs = {name for variant in self.variants for name in self.variant_files(variant)}
        return [name for name in self.files if name not in graphs]

    def require_variant(self, variant: str) -> Variant:
        """Return the variant of that name.

        Raises:
            OptionError: when the bundle has none; lists those it has.

        """
        if variant not in self.variants:
            message = f"{self.path} has no variant {variant!r}; it has: {', '.join(self.variants)}"
            if variant in VARIANT_SUFFIXES:
                message += f"; export again with {variant} among --variants"
            raise OptionError(message)
        return self.variants[variant]


def read_bundle(path: Path) -> Bundle:
    """Read a bundle's manifest.

    Raises:
        BundleError: when there is no bundle at `path`, or one this runtime cannot read.

    """
    manifest, sha256 = read_manifest(path)
    _check_format(manifest.get("format"), path / MANIFEST)
    try:
        decoder = decoder_of(manifest["decoder"])
        bundle = Bundle(
            path=path,
            architecture=manifest["architecture"],
            decoder=decoder,
            sizes=sizes_of(decoder, manifest["tokens"]),
            prompts=dict(manifest["prompts"]),
            sampling=dict(manifest["sampling"]),
            variants={name: _variant(name, entry) for name, entry in manifest["variants"].items()},
            provenance=dict(manifest["provenance"]),
            files={name: dict(entry) for name, entry in manifest["files"].items()},
            quality=dict(manifest.get("quality", {})),
            name=manifest.get("name", ""),
            sha256=sha256,
        )
        _check_values(bundle)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{path / MANIFEST} is not a manifest of format {FORMAT} "
            f"({_problem(error)}); export the model again"
        ) from error
    return bundle


def _check_format(number: object, file: Path) -> None:
    """Refuse a manifest of another format; a later one is no fault of the bundle's."""
    if number == FORMAT:
        return
    later = isinstance(number, int) and number > FORMAT
    remedy = "update refact-edge" if later else "export the model again"
    raise BundleError(f"{file}: format {number!r:.40}, this runtime reads {FORMAT}; {remedy}")


def _problem(error: Exception) -> str:
    """Return what is wrong with a manifest; a KeyError's text is the key alone."""
    text = one_line(error, _MOST_CHARACTERS)
    return f"{text} is missing" if isinstance(error, KeyError) else text


def _variant(name: str, entry: dict[str, Any]) -> Variant:
    content = dict(entry)
    decoder, weights = (content.pop(key) for key in ("decoder", "weights"))
    return Variant(name=name, decoder=decoder_of(decoder), weights=places_of(weights), **content)


def _check_values(bundle: Bundle) -> None:
    """Raise ValueError for what is of a wrong type or beyond all reason, all of it at once."""
    problems, sizes = [], bundle.sizes
    if not is_size("tokens", sizes.tokens):
        problems.append(f"tokens is {sizes.tokens!r:.40}, expected 1 to {SIZES['tokens']}")
    elif sizes.tokens > sizes.vocabulary:
        problems.append(f"{sizes.tokens} tokens for {sizes.vocabulary} rows of logits")
    if not is_printable(bundle.architecture):
        problems.append(f"architecture {bundle.architecture!r:.40}")
    if bundle.name and not is_name(bundle.name):
        problems.append(f"name {bundle.name!r:.40}")
    problems += [
        problem
        for variant in bundle.variants.values()
        if (problem := _variant_problem(variant, sizes))
    ]
    problems += [
        f"file {name!r:.40} without bytes and sha256"
        for name, entry in bundle.files.items()
        if not (is_count(entry.get("bytes")) and is_sha256(entry.get("sha256")))
    ]
    problems += [
        f"source {source!r:.40}"
        for source in bundle.provenance.get("source", [])
        if not (
            is_printable(source["file"])
            and is_count(source["bytes"])
            and is_printable(source["sha256"])
        )
    ]
    if not bundle.variants:
        problems.append("no variants")
    if problems:
        raise ValueError("; ".join(problems[:_MOST_PROBLEMS]))


def _variant_problem(variant: Variant, sizes: Sizes) -> str:
    if variant.name not in VARIANT_SUFFIXES or variant.kv_type not in KV_TYPES:
        return f"variant {variant.name!r:.40} with a cache of {variant.kv_type!r:.40}"
    described = is_printable(variant.scheme) and isinstance(variant.report, dict)
    if not (described and is_count(variant.bytes)):
        return f"variant {variant.name!r:.40} without scheme, bytes and report"
    if sizes_of(variant.decoder, sizes.tokens) != sizes:
        return f"variant {variant.name} has a decoder of other sizes than the bundle"
    problem = why_other_weights(variant.decoder, variant.weights)
    return problem and f"variant {variant.name} {problem}"


def check_shapes(shapes: Mapping[str, Sequence[Any]], sizes: Sizes) -> None:
    """Compare the inputs and outputs of an engine graph with the manifest.

    Raises:
        BundleError: naming those that differ, in their number of axes or a size that counts.

    """
    expected: dict[str, dict[int, int]] = {INPUT_IDS: {}, LOGITS: {2: sizes.vocabulary}}
    axes = {INPUT_IDS: 2, LOGITS_TO_KEEP: 0, LOGITS: 3}
    row = sizes.kv_heads * sizes.head_size  # a token's heads lie together
    for layer in range(sizes.layers):
        for part in ("key", "value"):
            for name in (past_name(layer, part), present_name(layer, part)):
                expected[name], axes[name] = {1: 1, 3: row}, 4
    wrong = shapes.keys() ^ axes.keys()
    for name, count in axes.items():
        shape = shapes.get(name, ())
        right = len(shape) == count and all(
            shape[axis] == size for axis, size in expected.get(name, {}).items()
        )
        wrong |= set() if right else {name}
    if wrong:
        raise BundleError(
            f"the graph and the manifest differ in {one_line(', '.join(sorted(wrong)[:5]))}; "
            "export the model again"
        )
