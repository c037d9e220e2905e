"""What every worker does: one engine in one process, which answers lines of JSON.

Imports nothing but the standard library, as the peers' environment has nothing of ours. A request
is `{"do": WORK, "slot": NAME, ...}` and the reply what the work returns. Only calls of the engine
are timed. Each slot is a sequence of its own with its own KV cache.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Reply = dict[str, Any]


class Engine(Protocol):
    """One sequence with its KV cache."""

    def feed(self, ids: Sequence[int]) -> None:
        """Evaluate `ids` behind what is cached, up to the logits of the last one."""
        ...

    def rewind(self, tokens: int) -> None:
        """Forget everything after the first `tokens` tokens."""
        ...


@dataclass
class Slot:
    """An engine's sequence and the ids that it holds."""

    engine: Engine
    ids: list[int] = field(default_factory=list)

    def rewind(self, ids: Sequence[int]) -> int:
        """Keep the longest prefix shared with `ids`; return its length."""
        shared = 0
        for mine, theirs in zip(self.ids, ids, strict=False):
            if mine != theirs:
                break
            shared += 1
        self.engine.rewind(shared)
        del self.ids[shared:]
        return shared

    def feed(self, ids: Sequence[int]) -> float:
        """Evaluate `ids` and return the seconds that it took."""
        if not ids:
            return 0.0
        start = time.perf_counter()
        self.engine.feed(ids)
        seconds = time.perf_counter() - start
        self.ids += ids
        return seconds


def prefill(slot: Slot, ids: list[int]) -> Reply:
    """Read a prompt from its first token on."""
    slot.rewind([])
    return {"seconds": slot.feed(ids)}


def decode(slot: Slot, ids: list[int], depth: int, at_once: int = 1) -> Reply:
    """Evaluate the ids behind the first `depth` one by one, or some at once."""
    slot.rewind(ids[:depth])
    slot.feed(ids[len(slot.ids) : depth])
    times = [slot.feed(ids[at : at + at_once]) for at in range(depth, len(ids), at_once)]
    return {"seconds": sum(times) / len(times)}


def ask(slot: Slot, ids: list[int], text: list[int]) -> Reply:
    """Answer a prompt with `text`, going on from what the last one left in the cache."""
    cached = slot.rewind(ids[:-1])
    first = slot.feed(ids[cached:])
    rest = sum(slot.feed([one]) for one in text[:-1])
    return {
        "first_s": first,
        "all_s": first + rest,
        "prompt": len(ids),
        "cached": cached,
        "new": len(text),
    }


WORK: dict[str, Callable[..., Reply]] = {"prefill": prefill, "decode": decode, "ask": ask}


def serve(
    load: Callable[[], Callable[[str], Engine]],
    versions: Callable[[], dict[str, str]],
    own: dict[str, Callable[..., Reply]] | None = None,
) -> None:
    """Load an engine, say so, and work until the requests end.

    `load` returns what opens a slot by its name. `own` is work that this worker alone can do; it
    is not handed a slot.
    """
    replies = os.fdopen(os.dup(1), "w")  # the engines' own messages go where errors go
    os.dup2(2, 1)
    imported = time.monotonic()
    open_slot = load()
    stamps = {"imported": imported, "loaded": time.monotonic()}
    print(json.dumps(stamps | {"versions": versions()}), file=replies, flush=True)
    slots: dict[str, Slot] = {}
    for line in sys.stdin:
        request = json.loads(line)
        work, name = request.pop("do"), request.pop("slot", "")
        if own and work in own:
            reply = own[work](**request)
        else:
            if name not in slots:
                slots[name] = Slot(open_slot(name))
            reply = WORK[work](slots[name], **request)
        print(json.dumps(reply), file=replies, flush=True)
