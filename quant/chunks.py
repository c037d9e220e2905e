"""Some rows of a large weight at a time: less memory, better use of caches, and all CPUs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from ..runtime.machine.cores import usable_cpus

CHUNK_ROWS = 512

Result = TypeVar("Result")


def chunks(weight: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield `CHUNK_ROWS` rows at a time."""
    for start in range(0, len(weight), CHUNK_ROWS):
        yield weight[start : start + CHUNK_ROWS]


def row_slices(rows: int) -> Iterator[slice]:
    """Yield where the chunks of so many rows lie."""
    for start in range(0, rows, CHUNK_ROWS):
        yield slice(start, min(rows, start + CHUNK_ROWS))


def side_by_side(work: Callable[..., Result], *arguments: Iterable[Any]) -> list[Result]:
    """Return `work` of each set of arguments, in their order, by as many threads as CPUs.

    Products within it are made by one thread each: threads that each wait for threads of their own
    take several times as long as soon as anything else runs on the machine.
    """
    with _libraries().limit(limits=1, user_api="blas"), ThreadPoolExecutor(usable_cpus()) as pool:
        return list(pool.map(work, *arguments))


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return what holds the threads of numpy's own library; looking for it takes a while."""
    return ThreadpoolController()
