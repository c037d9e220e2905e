"""How far quantized weights' choices are from full precision's, on texts cut of given sources."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.candidates import Candidate
from bench.errors import ratio
from refact_edge.export.inspect import Inspected
from refact_edge.export.layerwise import Layerwise
from refact_edge.export.parity import check_same_source
from refact_edge.export.quality import runner
from refact_edge.quant.report import Comparison, Run, Scores, report_texts
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.text.prompts import Layouts

Figures = Mapping[str, float]
HEADINGS = (
    f"{'weights':24} {'MB':>8} {'mean KL':>10} {'+-':>9} {'share':>6} {'+-':>6} {'99th %':>9} "
    f"{'first choice':>13}"
)


def line(name: str, size: int, figures: Figures) -> str:
    """Return what a candidate of so many bytes lost, as a row below `HEADINGS`."""
    return (
        f"{name:24} {size / 1e6:8.3f} {figures['mean_kl']:10} {figures['error']:9.2g} "
        f"{figures['share']:6.3f} {figures['share_error']:6.3f} {figures['p99_kl']:9} "
        f"{figures['top1_agreement']:13.2%}"
    )


class Scorer:
    """Full precision's logits on held-out texts, and how far a candidate's are from them."""

    def __init__(self, source: Inspected, data: Sequence[Source], most: int | None = None) -> None:
        """Cut the texts; with `most`, only so many of them, evenly spread."""
        tokens, prompts = source.tokens(), source.prompts
        layouts = Layouts.from_manifest(prompts)
        texts = report_texts(data, tokens, layouts, source.sizes.context)
        texts = texts[:: -(-len(texts) // (most or len(texts)))]
        self._source, self._ids = source, [text.ids for text in texts]
        self._comparison = functools.partial(Comparison, texts, tokens, layouts)
        self._positions = np.array([len(ids) - 1.0 for ids in self._ids])
        self._first: Scores | None = None  # the KL of what was scored first, a sum for each text
        self._full = Layerwise(source).evaluate(self._ids, _unseen)

    def figures(self, candidate: Candidate) -> Figures:
        """Return mean KL and the like, with standard errors."""

        def opened() -> Run:
            model = Layerwise(self._source, rotated=candidate.rotated)
            logits = model.evaluate(self._ids, _unseen, candidate.weights)()
            return lambda _ids: next(logits)  # asked for in the order of the texts

        return self._figures(opened)

    def int4_of(self, folder: Path) -> Figures:
        """Return the same of a bundle's int4, made of the same checkpoint."""
        bundle = read_bundle(folder)
        check_same_source(bundle, self._source)
        kv_type = bundle.require_variant("int4").kv_type
        return self._figures(lambda: runner(folder, "int4", self._source, kv_type))

    def _figures(self, opened: Callable[[], Run]) -> Figures:
        comparison = self._comparison()
        own: Figures = comparison.run(self._full, {"": opened}, _unseen)["variants"][""]
        sums = comparison.sums("")
        if self._first is None:
            self._first = sums
        _, error = ratio(sums, self._positions)
        share, share_error = ratio(sums, self._first)
        return {**own, "error": error, "share": share, "share_error": share_error}


def _unseen(_done: int) -> None:
    """Show no progress."""
