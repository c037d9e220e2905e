"""What Python has in mind of the library is what the library has."""

from __future__ import annotations

import ctypes
import typing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import random_weights
from random_weights import LLAMA, RandomWeights

from refact_edge.runtime.backends.native import layout
from refact_edge.runtime.backends.native.library import BLOCK, Native
from refact_edge.runtime.backends.native.program import build_program
from refact_edge.runtime.bundle.decoder import Mlp
from refact_edge.runtime.bundle.limits import SIZES, THREADS
from refact_edge.runtime.errors import OptionError


def test_constants_that_python_needs_without_the_library_are_its_own(library: Native) -> None:
    assert library.constants["BLOCK"] == BLOCK == random_weights.BLOCK
    assert library.constants["MOST_BUFFERS"] == layout.MOST_BUFFERS
    assert library.constants["MOST_THREADS"] == THREADS


def test_sizes_that_a_manifest_may_have_are_taken(library: Native) -> None:
    """All but hidden layers, of which the kernels take a quarter of what a manifest may say."""
    most = {"layers": "LAYERS", "heads": "HEADS", "vocabulary": "ROWS", "context": "CONTEXT",
            "width": "COLS"}  # fmt: skip
    for size, name in most.items():
        assert SIZES[size] <= library.constants[f"MOST_{name}"], size


def test_the_library_has_every_activation_that_a_decoder_may_have(library: Native) -> None:
    names = typing.get_args(typing.get_type_hints(Mlp)["activation"])
    assert len({library.constants[name.upper()] for name in names}) == len(names)


def test_a_library_of_another_layout_is_refused(
    library: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Heads(ctypes.Structure):
        _fields_ = (("size", ctypes.c_int32), ("heads", ctypes.c_int32))

    structures = [Heads if one is layout.Heads else one for one in layout.STRUCTURES]
    monkeypatch.setattr(layout, "STRUCTURES", tuple(structures))
    words = r"another version \(Heads\.size at \(4, 4\), expected \(0, 4\)\): install the package"
    with pytest.raises(OptionError, match=words):
        Native(library.path)


def test_as_many_layers_as_a_manifest_may_have_are_taken(library: Native, tmp_path: Path) -> None:
    attention = replace(LLAMA.attention, head_norm=True)  # as many operations as a layer has
    counts = []
    for layers in (1, 2):
        decoder = replace(LLAMA, layers=layers, attention=attention)
        weights = RandomWeights(decoder, tmp_path / "weights")
        data = np.fromfile(weights.file, np.uint8)
        counts.append(build_program(decoder, weights.places, data, library.constants).c.count)
    deepest = counts[0] + (SIZES["layers"] - 1) * (counts[1] - counts[0])
    assert deepest <= library.constants["MOST_OPERATIONS"]
