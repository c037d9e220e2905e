"""What the kernels do not take is refused in a line, before memory is taken for it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_weights import LLAMA, NEOX, REFACT, RandomWeights

from refact_edge.runtime.backends.native.fits import OtherGraphError, check_kernels_take
from refact_edge.runtime.backends.native.library import Native
from refact_edge.runtime.backends.native.program import build_program
from refact_edge.runtime.bundle.decoder import Attention, Decoder, Rotary
from refact_edge.runtime.bundle.places import Part


def _without(weights: RandomWeights, name: str) -> None:
    del weights.places[name]


def _other(weights: RandomWeights, name: str, **changes: Any) -> None:
    weights.places[name] = replace(weights.places[name], **changes)


Q = "layers.0.attention.q"
REFUSED: dict[str, tuple[Decoder, Callable[[RandomWeights], None], str]] = {
    "a weight that is nowhere": (
        LLAMA, lambda w: _without(w, Q), "does not say where 1 of .* weights lie: layers.0",
    ),
    "another shape": (LLAMA, lambda w: _other(w, Q, shape=(144, 64)), "is blocks of 144 x 64"),
    "another form": (LLAMA, lambda w: _other(w, Q, form="floats"), "is floats of 144 x 128"),
    "other codes by row": (LLAMA, lambda w: _other(w, Q, form="rows"), "is rows of 144 x 128"),
    "other bits": (LLAMA, lambda w: _other(w, Q, bits=2), "of 4 or 8 bits"),
    "other blocks": (LLAMA, lambda w: _other(w, Q, block=32), "in blocks of 128, of 4 or 8"),
    "halves for floats": (
        NEOX,
        lambda w: _other(w, f"{Q}.bias", parts={"values": Part("float16", (80,), 0, 160)}),
        "q.bias is floats of 80, .* onnxruntime only",
    ),
    "too few floats": (
        NEOX,
        lambda w: _other(w, f"{Q}.bias", parts={"values": Part("float32", (79,), 0, 316)}),
        "q.bias has 316 bytes, expected 320; export",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_weights_that_the_kernels_do_not_take_are_refused_in_a_line(
    name: str, library: Native, tmp_path: Path
) -> None:
    decoder, change, words = REFUSED[name]
    weights = RandomWeights(decoder, tmp_path / "weights")
    change(weights)
    with pytest.raises(OtherGraphError, match=words):
        check_kernels_take(decoder, weights.places, library.constants)


@pytest.mark.parametrize(
    ("decoder", "rotation", "words"),
    [
        (replace(REFACT, mlp=replace(REFACT.mlp, hidden=40)), 0, "40 hidden numbers"),
        (REFACT, 48, "256 hidden numbers, rotated by 48, are no whole pieces"),
        (replace(REFACT, mlp=replace(REFACT.mlp, hidden=2048)), 2048, "a rotation of 2048"),
    ],
)
def test_sizes_that_the_kernels_do_not_take_are_refused_in_a_line(
    decoder: Decoder, rotation: int, words: str, library: Native, tmp_path: Path
) -> None:
    weights = RandomWeights(decoder, tmp_path / "weights", rotation=rotation)
    with pytest.raises(OtherGraphError, match=words):
        check_kernels_take(decoder, weights.places, library.constants)


def test_a_context_costs_no_memory_before_it_is_refused(library: Native, tmp_path: Path) -> None:
    """A manifest alone says how long it is: no weight must be as large."""
    attention = Attention(heads=1, kv_heads=1, head_size=1024, scale=1.0)
    decoder = replace(LLAMA, attention=attention, positions=Rotary(1e4, 1024), context=2**20)
    weights = RandomWeights(decoder, tmp_path / "weights")
    data = np.fromfile(weights.file, np.uint8)
    tracemalloc.start()
    with pytest.raises(OtherGraphError, match=r"1048576 positions take 4294967296 bytes, .* up to"):
        build_program(decoder, weights.places, data, library.constants)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
