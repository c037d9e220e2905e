"""How soon whoever leaves a text has control again.

    refact-edge fabricate CHECKPOINT --shape refact-1.6b
    refact-edge export CHECKPOINT BUNDLE --variants int4 --no-calibration --no-report
    python -m bench.cancel BUNDLE

Three who leave: a task that is cancelled, a thread that closes another one's stream, and the loop
in that one, which ends. Each leaves in the middle of a long prompt and of an answer.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click

import refact_edge
from refact_edge.runtime.engine.sampling import GREEDY

TIMES = 9
PROMPT_TOKENS = 1500
WAIT_S = {"prompt": 0.4, "answer": 0.2}


def _stream(model: refact_edge.Model, where: str, number: int) -> refact_edge.Stream:
    """Return a text whose prompt is long and new, or short."""
    tokens = model.bundle.sizes.tokens
    count = min(PROMPT_TOKENS, model.context_tokens - 500) if where == "prompt" else 8
    ids = [(7 * number + 13 * at) % (tokens - 100) + 50 for at in range(count)]
    return model.generate(ids, max_tokens=400, sampling=GREEDY, allow_empty=False)


def cancelled_task(model: refact_edge.Model, where: str, number: int) -> float:
    """Return the seconds from a task's cancelling to its end."""

    async def whole() -> float:
        task = asyncio.ensure_future(_read(_stream(model, where, number)))
        await asyncio.sleep(WAIT_S[where])
        start = time.perf_counter()
        task.cancel()
        await asyncio.wait([task])
        return time.perf_counter() - start

    return asyncio.run(whole())


async def _read(stream: refact_edge.Stream) -> None:
    async for _ in stream:
        pass


def closed_stream(model: refact_edge.Model, where: str, number: int) -> float:
    """Return the seconds that closing takes while another thread generates."""
    stream = _stream(model, where, number)
    future = stream.start()
    time.sleep(WAIT_S[where])
    start = time.perf_counter()
    stream.close()
    seconds = time.perf_counter() - start
    future.result()
    return seconds


def ended_loop(model: refact_edge.Model, where: str, number: int) -> float:
    """Return the seconds from closing to the end of the loop in the other thread."""
    stream = _stream(model, where, number)
    thread = threading.Thread(target=lambda: list(stream))
    thread.start()
    time.sleep(WAIT_S[where])
    start = time.perf_counter()
    stream.close()
    thread.join()
    return time.perf_counter() - start


WAYS: dict[str, Callable[[refact_edge.Model, str, int], float]] = {
    "a task is cancelled": cancelled_task,
    "a stream is closed": closed_stream,
    "its thread has ended": ended_loop,
}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
def main(bundle: Path) -> None:
    """Print median and longest of each, in ms."""
    model = refact_edge.load(bundle, variant="int4")
    print(f"{model.info().engine}; {TIMES} times each, ms")
    print(f"{'':24}{'in the prompt':>24}{'in the answer':>24}")
    for name, way in WAYS.items():
        cells = []
        for where in WAIT_S:
            times = sorted(1000 * way(model, where, number) for number in range(TIMES))
            cells.append(f"{statistics.median(times):.1f}, longest {times[-1]:.1f}")
        print(f"{name:24}{cells[0]:>24}{cells[1]:>24}")


if __name__ == "__main__":
    main()
