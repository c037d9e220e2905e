"""Angles and slopes, as they are computed and as they lie in memory."""

from __future__ import annotations

import ctypes
import tracemalloc
from dataclasses import replace

import numpy as np
from random_weights import BIGCODE, LLAMA, REFACT

from refact_edge.runtime.backends.native.tables import (
    COSINES,
    SINES,
    SLOPES,
    Tables,
    computed_tables,
    table_bytes,
)
from refact_edge.runtime.bundle.decoder import Alibi, Rotary


def test_angles_are_those_of_double_precision_at_every_position() -> None:
    decoder = replace(LLAMA, positions=Rotary(5e5, 6, 4.0), context=2500)
    tables = computed_tables(decoder)
    angles = np.outer(np.arange(2500) / 4.0, 5e5 ** (-np.array([0, 2, 4]) / 6))
    np.testing.assert_array_equal(tables[COSINES], np.cos(angles).astype(np.float32))
    np.testing.assert_array_equal(tables[SINES], np.sin(angles).astype(np.float32))
    assert sum(table.nbytes for table in tables.values()) == table_bytes(decoder)


def test_long_contexts_take_little_more_memory_than_their_angles() -> None:
    decoder = replace(LLAMA, positions=Rotary(1e6, 24), context=2**18)
    tracemalloc.start()
    computed_tables(decoder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * table_bytes(decoder)


def test_slopes_are_a_table_and_learned_positions_are_none() -> None:
    assert isinstance(REFACT.positions, Alibi)
    assert computed_tables(REFACT)[SLOPES].tolist() == list(REFACT.positions.slopes)
    assert table_bytes(REFACT) == table_bytes(BIGCODE) == 0
    assert computed_tables(BIGCODE) == {}


def test_each_table_has_an_address_of_its_own_in_one_piece_of_memory() -> None:
    first, second = np.arange(3, dtype=np.float32), np.ones((2, 2), np.float32)
    tables = Tables({"first": first, "second": second})
    for name, table in (("first", first), ("second", second)):
        start = tables.address(name)
        assert start is not None
        assert 0 <= start - tables.memory.ctypes.data <= tables.memory.nbytes - table.nbytes
        content = (ctypes.c_float * table.size).from_address(start)
        assert list(content) == table.ravel().tolist()
    assert tables.address("third") is None
