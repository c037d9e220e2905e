"""Graphs against the torch reference: the largest difference of logits, and equal first choices.

The reference and the sessions are never in memory together; the reference's logits wait in a
temporary file. At the full size that is under 8 GB instead of 14.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..quant.schemes import SCHEMES, Floats
from ..quant.texts.shipped import REPORT
from ..runtime.backends.onnxruntime import (
    OnnxruntimeSession,
    SessionOptions,
    ask_for_exact_products,
    import_onnxruntime,
)
from ..runtime.backends.weights_file import give, out_of_reach
from ..runtime.bundle import contract as layout
from ..runtime.bundle.contract import Bundle
from ..runtime.bundle.verified import verify, verify_standard
from ..runtime.engine.generation import CHUNK_TOKENS, Generation, Request
from ..runtime.engine.prefix import PrefixCache
from ..runtime.engine.sampling import GREEDY
from ..runtime.errors import BundleError, MissingExtraError, OptionError
from ..runtime.text.tokens import Tokens
from ..runtime.trust.check import open_bundle
from .inspect import Inspected, inspect_checkpoint
from .progress import SILENT, Track

Logits = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

PROMPT_TOKENS = 512
GREEDY_TOKENS = 200
GREEDY_PROMPT = 64
LENGTHS = (1, 2, 3, 5, 8, 17, 31, 64, 128, 129, 200, 256, 333, 512)
NEAR_TIE = 1e-3  # two best logits closer than this may change places between kernels
FLOAT_TOLERANCE = 1e-3


@dataclass
class Comparison:
    """One variant against the reference, over every position of every path."""

    max_abs_diff: float = 0.0
    positions: int = 0
    agreeing: int = 0
    near_ties: int = 0  # positions where the first choices differ and the reference is near a tie
    paths: dict[str, float] = field(default_factory=dict)  # largest difference of each path
    lengths: list[int] = field(default_factory=list)
    greedy_tokens: int = 0  # leading greedy tokens equal to the reference's, ...
    greedy_length: int = 0  # ... of so many; only fp32 is asked
    greedy_near_ties: int = 0  # of the equal ones, those that only a near tie makes equal

    @property
    def top1_agreement(self) -> float:
        """Share of positions with the same first choice."""
        return self.agreeing / self.positions if self.positions else 1.0

    @property
    def exact(self) -> bool:
        """Whether it holds what is promised of an fp32 graph."""
        same = self.agreeing + self.near_ties == self.positions
        greedy = self.greedy_tokens == self.greedy_length
        return same and greedy and self.max_abs_diff <= FLOAT_TOLERANCE

    def add(self, path: str, got: Logits, want: Logits) -> None:
        """Take in logits [n, V] of some positions."""
        difference = float(np.abs(got - want).max())
        # A NaN is the largest difference there is.
        difference = difference if np.isfinite(difference) else float("inf")
        self.paths[path] = max(self.paths.get(path, 0.0), difference)
        self.max_abs_diff = max(self.max_abs_diff, difference)
        first, expected = got.argmax(axis=1), want.argmax(axis=1)
        rows = np.arange(len(want))
        gap = want[rows, expected] - want[rows, first]
        self.positions += len(want)
        self.agreeing += int((first == expected).sum())
        self.near_ties += int(((first != expected) & (gap < NEAR_TIE)).sum())

    def as_json(self) -> dict[str, Any]:
        """Return the figures for --json."""
        figures = {**asdict(self), "top1_agreement": self.top1_agreement}
        if not np.isfinite(self.max_abs_diff):  # JSON has no infinity
            figures |= {"max_abs_diff": None, "paths": {}}
        return figures


def compare(
    checkpoint: Path,
    bundle_path: Path,
    *,
    adapter: Path | None = None,
    variants: list[str] | None = None,
    prompt_tokens: int = PROMPT_TOKENS,
    greedy_tokens: int = GREEDY_TOKENS,
    track: Track = SILENT,
) -> dict[str, Comparison]:
    """Run each variant's graphs and the reference over the same ids.

    Paths: `whole` (one call), `prefill` (chunks as the engine cuts them), `chunks` (random
    sizes), `step` (one token at a time), `lengths` (prompts of several lengths from nothing), and
    `standard` (the graph for other loaders, whole and with a past). fp32 variants also continue a
    prompt greedily, which is compared token by token.

    Raises:
        OptionError: when a variant is unknown or `prompt_tokens` beyond the context.
        BundleError: when the bundle is damaged or was made from another checkpoint.
        MissingExtraError: when torch is not installed.

    """
    _require_torch()
    bundle = open_bundle(bundle_path)
    names = variants or list(bundle.variants)
    for name in names:
        bundle.require_variant(name)
        verify(bundle, name)
        verify_standard(bundle, name)
    if prompt_tokens > bundle.sizes.context:
        raise OptionError(
            f"tokens {prompt_tokens}; expected at most the context, {bundle.sizes.context}"
        )
    checked = inspect_checkpoint(checkpoint, track, adapter)
    check_same_source(bundle, checked)
    ids = sample_ids(bundle, prompt_tokens)
    greedy = {
        name: _greedy(bundle, name, ids[:GREEDY_PROMPT], greedy_tokens)
        for name in names
        if SCHEMES[name].matrix == Floats("float32") and greedy_tokens
    }
    with tempfile.TemporaryDirectory(prefix="refact-edge-verify-") as folder:
        sequences = [ids, *(np.concatenate([ids[:GREEDY_PROMPT], new]) for new in greedy.values())]
        files = list(_reference_logits(checked, sequences, Path(folder), track))
        want = np.load(files[0], mmap_mode="r")
        results = {}
        with track("comparing variants", len(names) * 6 * len(ids)) as advance:
            for name in names:
                results[name] = _compare_variant(bundle, name, ids, want, advance)
        for (name, new), file in zip(greedy.items(), files[1:], strict=True):
            logits = np.load(file, mmap_mode="r")[GREEDY_PROMPT - 1 : -1, : bundle.sizes.tokens]
            equal, ties = _greedy_agreement(logits, new)
            results[name].greedy_tokens, results[name].greedy_near_ties = equal, ties
            results[name].greedy_length = len(new)
    return results


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("torch", "verify") from error


def check_same_source(bundle: Bundle, checked: Inspected) -> None:
    """Raise BundleError when the bundle was made from another checkpoint."""
    mine = {entry["file"]: entry["sha256"] for entry in bundle.provenance.get("source", [])}
    theirs = {entry["file"]: entry["sha256"] for entry in checked.source_files}
    if mine != theirs:
        names = mine.keys() | theirs.keys()
        differing = sorted(name for name in names if mine.get(name) != theirs.get(name))
        raise BundleError(
            f"{bundle.path} was made from other files than {checked.checkpoint.path} holds "
            f"({', '.join(differing[:5])} differ); name the checkpoint it came from"
        )


def sample_ids(bundle: Bundle, count: int) -> Ids:
    """Return `count` ids of real text: what reports are measured on, as often as it takes."""
    tokens = Tokens(bundle.path / layout.TOKENIZER)
    text = "".join(source.text for source in REPORT.read())
    ids = tokens.encode(text[: 8 * count])
    while len(ids) < count:
        ids = ids + ids
    return np.array(ids[:count], np.int64)


def _greedy(bundle: Bundle, variant: str, prompt: Ids, count: int) -> Ids:
    session = _engine(bundle, variant)
    request = Request(prompt.tolist(), GREEDY, count, stop_ids=frozenset())
    return np.array(list(Generation(session, PrefixCache(session.new_cache), request)), np.int64)


def _greedy_agreement(logits: Logits, new: Ids) -> tuple[int, int]:
    """Count the leading tokens that the reference would have chosen too, and its near ties.

    One pass over the finished text tells: each choice depends only on tokens already agreed on.
    """
    ties = 0
    for i, (row, token) in enumerate(zip(logits, new, strict=True)):
        if row.max() - row[token] >= NEAR_TIE:
            return i, ties
        ties += int(row.argmax() != token)
    return len(new), ties


def _engine(bundle: Bundle, variant: str) -> OnnxruntimeSession:
    return OnnxruntimeSession(verify(bundle, variant, hashes=False), SessionOptions())


def _reference_logits(
    checked: Inspected, sequences: Iterable[Ids], folder: Path, track: Track
) -> Iterator[Path]:
    """Run the reference in fp32 over each sequence and yield the files of its logits [T, V]."""
    import torch

    with track("loading the reference", 1) as advance:
        model = checked.architecture.reference(checked.checkpoint)
        advance(1)
    with torch.inference_mode():
        for number, ids in enumerate(sequences):
            file = folder / f"{number}.npy"
            np.save(file, model(torch.from_numpy(ids)[None])[0].numpy())
            yield file
    del model
    gc.collect()


def _compare_variant(
    bundle: Bundle,
    variant: str,
    ids: Ids,
    want: Logits,
    advance: Any,
) -> Comparison:
    result = Comparison(lengths=[length for length in LENGTHS if length <= len(ids)])
    session = _engine(bundle, variant)
    for path, sizes in _chunkings(len(ids)).items():
        at, cache = 0, session.new_cache()
        for size in sizes:
            result.add(path, session.step(ids[at : at + size], cache, size), want[at : at + size])
            at += size
            advance(size)
    for length in result.lengths:
        got = session.step(ids[:length], session.new_cache(), length)
        result.add("lengths", got, want[:length])
    advance(len(ids))
    del session
    gc.collect()
    _compare_standard(bundle, variant, ids, want, result)
    advance(len(ids))
    return result


def _chunkings(tokens: int) -> dict[str, list[int]]:
    random = np.random.default_rng(0)
    sizes: list[int] = []
    while (left := tokens - sum(sizes)) > 0:
        sizes.append(min(left, int(random.integers(1, 100))))
    prefill = [min(CHUNK_TOKENS, tokens - at) for at in range(0, tokens, CHUNK_TOKENS)]
    return {"whole": [tokens], "prefill": prefill, "chunks": sizes, "step": [1] * tokens}


def _plain_session(graph: Path, weights: Path) -> Any:
    """Open a graph as other loaders do."""
    onnxruntime = import_onnxruntime()
    settings = onnxruntime.SessionOptions()
    ask_for_exact_products(settings)
    version = onnxruntime.__version__
    data = give(settings, weights, version) if out_of_reach(graph, weights, version) else None
    try:
        return onnxruntime.InferenceSession(
            str(graph), settings, providers=["CPUExecutionProvider"]
        )
    finally:
        del data  # it has copied of it what it needs


def _compare_standard(
    bundle: Bundle, variant: str, ids: Ids, want: Logits, result: Comparison
) -> None:
    """Run the other loaders' graph: whole, then in two parts with a past between them."""
    graph = bundle.path / layout.standard_graph(variant)
    session = _plain_session(graph, bundle.path / layout.weights_file(variant))
    sizes, half = bundle.sizes, len(ids) // 2
    kv_type = bundle.variants[variant].kv_type
    outputs = [output.name for output in session.get_outputs()]

    def run(new: Ids, past: dict[str, Any]) -> dict[str, Any]:
        seen = next(iter(past.values())).shape[2] + len(new)
        feeds = {layout.INPUT_IDS: new[None], layout.ATTENTION_MASK: np.ones((1, seen), np.int64)}
        return dict(zip(outputs, session.run(None, feeds | past), strict=True))

    parts = [(layer, part) for layer in range(sizes.layers) for part in ("key", "value")]
    empty = np.zeros((1, sizes.kv_heads, 0, sizes.head_size), kv_type)
    nothing = {layout.past_name(*part, standard=True): empty for part in parts}
    result.add("standard", run(ids, nothing)[layout.LOGITS][0], want)
    if half:
        first = run(ids[:half], nothing)
        past = {
            layout.past_name(*part, standard=True): first[layout.present_name(*part)]
            for part in parts
        }
        result.add("standard", run(ids[half:], past)[layout.LOGITS][0], want[half:])
