"""The native step beside onnxruntime's, in turns, on the same bundle's int4.

Usage: python -m bench.native BUNDLE
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

from refact_edge.runtime.bundle import engine_graph, read_bundle
from refact_edge.runtime.engine import CHUNK_TOKENS, Steps
from refact_edge.runtime.native.session import NativeSession
from refact_edge.runtime.session import Session, SessionOptions

ROUNDS, CONTEXT, TOKENS = 7, 64, (1, 2, 4, 8, 16)


def step_ms(session: Steps, tokens: int, rng: np.random.Generator) -> float:
    """Return how long so many tokens take behind a short prompt."""
    cache = session.new_cache()
    session.step(rng.integers(100, session.sizes.tokens, CONTEXT), cache)
    taken = []
    for _ in range(5):
        ids = rng.integers(100, session.sizes.tokens, tokens)
        start = time.perf_counter()
        session.step(ids, cache, tokens)
        taken.append(1000 * (time.perf_counter() - start))
        cache.rewind(CONTEXT)
    return float(np.median(taken))


def read_ms(session: Steps, tokens: int, rng: np.random.Generator) -> float:
    """Return how long reading a prompt takes, in chunks."""
    ids, cache = rng.integers(100, session.sizes.tokens, tokens), session.new_cache()
    start = time.perf_counter()
    for at in range(0, tokens, CHUNK_TOKENS):
        session.step(ids[at : at + CHUNK_TOKENS], cache)
    return 1000 * (time.perf_counter() - start)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--prompt", default=512, show_default=True, help="Tokens of the prompt that is read.")
def main(bundle: Path, prompt: int) -> None:
    """Print medians of turns and their ratios, onnxruntime's to the native step's."""
    opened = read_bundle(bundle)
    start = time.perf_counter()
    native = NativeSession(opened)
    native.step(np.array([1]), native.new_cache())
    first = time.perf_counter()
    session = Session(bundle / engine_graph("int4"), opened.sizes, "float32", SessionOptions("cpu"))
    session.step(np.array([1]), session.new_cache())
    click.echo(
        f"from opening to the first token, the file read before: native ({native.cpu}) "
        f"{first - start:.2f} s, onnxruntime {time.perf_counter() - first:.2f} s"
    )
    click.echo("| work | onnxruntime, ms | native, ms | ratio |\n|---|---|---|---|")
    works = [(f"{n} tokens at once", n, step_ms, ROUNDS) for n in TOKENS]
    works.append((f"a prompt of {prompt}", prompt, read_ms, 3))
    for name, tokens, work, rounds in works:
        taken = np.array(
            [
                [work(each, tokens, np.random.default_rng(turn)) for each in (session, native)]
                for turn in range(rounds)
            ]
        )
        theirs, mine = np.median(taken, axis=0)
        ratio = np.median(taken[:, 0] / taken[:, 1])
        click.echo(f"| {name} | {theirs:.1f} | {mine:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
