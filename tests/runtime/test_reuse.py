"""The same text with caches of earlier requests as without, whatever was edited in between."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import CountingSession, memories

import refact_edge
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.generation import Generation, Request
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY


class HistorySession(CountingSession):
    """What comes next depends on every row of the cache, so that one stale row shows."""

    def step(self, ids: np.ndarray, cache: KvCache, keep: int = 1) -> np.ndarray:
        super().step(ids, cache, keep)
        end = len(cache.ids)
        rows = []
        for size in range(end - keep + 1, end + 1):
            rows_before = [memory[0, 0, :size].tobytes() for memory in memories(cache)]
            numbers = np.random.default_rng([zlib.crc32(b"".join(rows_before))])
            rows.append(numbers.normal(0, 4, self.sizes.vocabulary))
        return np.array(rows, np.float32)


def _edited(ids: list[int], numbers: np.random.Generator) -> list[int]:
    """Type at the end, delete there, insert or delete in the middle, or jump to another text."""
    kind, at = int(numbers.integers(8)), int(numbers.integers(len(ids)))
    typed: list[int] = numbers.integers(1, 32, numbers.integers(1, 12)).tolist()
    changed: list[int] = {
        1: ids[: max(1, len(ids) - len(typed))],
        2: [*ids[:at], *typed, *ids[at:]],
        3: [*ids[:at], *ids[at + 3 :]] or ids,
        4: numbers.integers(1, 32, numbers.integers(2, 90)).tolist(),
    }.get(kind, [*ids, *typed])
    return changed[:200]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("limit_bytes", [1, 3000, 2**20])
def test_random_edits_give_the_same_ids_with_and_without_caches(
    seed: int, limit_bytes: int
) -> None:
    session, numbers = HistorySession(), np.random.default_rng(seed)
    caches = PrefixCache(session.new_cache, limit_bytes)
    ids = numbers.integers(1, 32, 60).tolist()
    texts = [ids]
    reused = 0
    for _ in range(40):
        back = int(numbers.integers(len(texts) + 6))
        ids = _edited(texts[back] if back < len(texts) else ids, numbers)
        texts.append(ids)
        request = Request(ids, GREEDY, 12, frozenset({0}), texts=[ids])
        generation = Generation(session, caches, request)
        if numbers.random() < 0.2:  # leave early, as an editor does
            running = iter(generation)
            next(running, None)
            running.close()
        else:
            list(generation)
        alone = Request(ids, GREEDY, len(generation.new_ids) or 12, frozenset({0}))
        expected = list(Generation(session, PrefixCache(session.new_cache), alone))
        assert generation.new_ids == expected
        reused += generation.cached
    assert reused > 50


def test_the_demo_model_writes_the_same_while_a_file_is_edited(
    demo_bundle: Path, root: Path
) -> None:
    model = refact_edge.load(demo_bundle, variant="fp32")
    text = (root / "quant" / "texts" / "report-set" / "loaders.py.txt").read_text()[:2500]
    numbers = np.random.default_rng(5)
    at, cached = 1500, 0
    for _ in range(12):
        kind = numbers.integers(4)
        if kind == 0:
            at = int(numbers.integers(200, len(text)))
        elif kind == 1:
            text, at = text[: at - 4] + text[at:], at - 4
        else:
            text, at = text[:at] + "self." + text[at:], at + 5
        options: dict[str, Any] = {"max_tokens": 12, "stop": (), "sampling": GREEDY}
        reusing = model.complete(text[:at], text[at:], **options)
        alone = refact_edge.Model(model.bundle, "fp32", model.session).complete(
            text[:at], text[at:], **options
        )
        assert "".join(reusing) == "".join(alone)
        cached += reusing.usage.cached
        assert alone.usage.cached == 0
    assert cached > 1000
