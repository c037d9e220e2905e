"""How much memory all models of this process may take together, where the host has said so."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from ..annotated import checked
from ..errors import OptionError
from ..model import Model

_limit: int | None = None
_counted: weakref.WeakKeyDictionary[Model, int] = weakref.WeakKeyDictionary()
_turn = threading.RLock()  # of models that are opened within a limit


@checked
def limit_memory(limit_bytes: int | None) -> None:
    """Have all models that are open at once take so many bytes at most; None ends that.

    It counts what a model takes on a CPU with one text as long as its context: weights (also where
    they are mapped, and the system may drop them), the KV cache, and what a step works in. `load`
    refuses what goes beyond, and says what would fit; `Model.close` gives its part back. What is
    open already stays, and counts.

    Raises:
        OptionError: when it is no number above 0.

    """
    global _limit
    if limit_bytes is not None and limit_bytes <= 0:
        raise OptionError(f"limit_bytes {limit_bytes}; expected a number above 0, or None")
    _limit = limit_bytes


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold while a model is opened: within a limit, two could each take the same rest."""
    with _turn if _limit is not None else nullcontext():
        yield


def left(available: int | None) -> int | None:
    """Return the bytes that one more model may take, of those that the machine has left."""
    if _limit is None:
        return available
    counted = sum(size for model, size in list(_counted.items()) if not model.closed)
    rest = max(0, _limit - counted)
    return rest if available is None else min(rest, available)


def count(model: Model, size: int) -> None:
    """Count what a model takes from now on, until it is closed or collected."""
    _counted[model] = size
