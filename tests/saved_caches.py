"""Caches of prompts in a folder, of a session that counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fakes import SIZES, CountingSession

from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.disk_cache import Saved
from refact_edge.runtime.engine.prefix import PrefixCache

IDS = list(range(1, 31)) * 5
MAKER = "0123456789abcdef" * 4


def saved_in(folder: Path) -> Saved:
    """Return the saved caches of a folder, for the model `MAKER`."""
    return Saved(folder, MAKER, SIZES)


def filled(session: CountingSession, ids: list[int]) -> KvCache:
    """Return a new cache in which a session has read `ids`."""
    cache = session.new_cache()
    session.step(np.array(ids), cache)
    return cache


def saved_file(folder: Path) -> Path:
    """Save a cache of `IDS` in a folder that holds no other; return its file."""
    saved_in(folder).save([filled(CountingSession(), IDS)])
    (file,) = folder.iterdir()
    return file


def take_anew(folder: Path) -> KvCache:
    """Return the cache that a new process has for `IDS`."""
    return PrefixCache(CountingSession().new_cache, saved=saved_in(folder)).take([*IDS, 0])
