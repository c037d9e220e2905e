"""Complete for several callers in one event loop: python service.py [BUNDLE]."""

from __future__ import annotations

import asyncio
import sys

import refact_edge

TEXTS = (
    "def add(a, b):\n    return ",
    "import os\n\nfor name in ",
    "class Point:\n    def __init__(",
)
LIMIT_S = 10


async def complete(model: refact_edge.Model, number: int, prefix: str) -> str:
    """Return a completion, or what there was of it when time was over."""
    greedy = refact_edge.Sampling(temperature=0)
    stream = model.complete(prefix, "\n", max_tokens=24, sampling=greedy)
    try:
        async with asyncio.timeout(LIMIT_S):
            async for piece in stream:
                print(f"{number}: {piece!r}")
    except TimeoutError:
        print(f"{number}: no more time")
    return stream.text


async def main(bundle: str | None) -> None:
    """Complete all texts at once."""
    with await asyncio.to_thread(refact_edge.load, bundle) as model:
        texts = await asyncio.gather(*(complete(model, n, text) for n, text in enumerate(TEXTS)))
    for prefix, text in zip(TEXTS, texts, strict=True):
        print(f"{prefix}[{text}]")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
