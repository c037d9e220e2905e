"""The native step beside onnxruntime's, in turns, on the same bundle's int4.

Usage: python -m bench.native BUNDLE
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from math import prod
from pathlib import Path

import click
import numpy as np

from refact_edge.runtime.backends.native.session import NativeSession
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, SessionOptions
from refact_edge.runtime.bench.bandwidth import read_bandwidth, thread_count, weights_read_bytes
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.decoder import weight_shapes
from refact_edge.runtime.bundle.verified import verify
from refact_edge.runtime.engine.generation import CHUNK_TOKENS
from refact_edge.runtime.engine.session import Session

ROUNDS, CONTEXT, TOKENS = 7, 64, (1, 2, 4, 8, 16)


def step_ms(session: Session, tokens: int, rng: np.random.Generator) -> float:
    """Return how long so many tokens take behind a short prompt."""
    cache = session.new_cache()
    session.step(rng.integers(100, session.sizes.tokens, CONTEXT), cache)
    times = []
    for _ in range(5):
        ids = rng.integers(100, session.sizes.tokens, tokens)
        start = time.perf_counter()
        session.step(ids, cache, tokens)
        times.append(1000 * (time.perf_counter() - start))
        cache.rewind(CONTEXT)
    return float(np.median(times))


def read_ms(session: Session, tokens: int, rng: np.random.Generator) -> float:
    """Return how long reading a prompt takes, in chunks."""
    ids, cache = rng.integers(100, session.sizes.tokens, tokens), session.new_cache()
    start = time.perf_counter()
    for at in range(0, tokens, CHUNK_TOKENS):
        session.step(ids[at : at + CHUNK_TOKENS], cache)
    return 1000 * (time.perf_counter() - start)


def products_a_token(native: NativeSession) -> float:
    """Return how many numbers are multiplied for a token of a prompt: the head is not."""
    shapes = weight_shapes(native.decoder)
    of_layers = (shape for name, shape in shapes.items() if name.startswith("layers."))
    return float(sum(prod(shape) for shape in of_layers if len(shape) == 2))


def most_products(cpu: str, threads: int) -> float | None:
    """Return the products a second that this CPU makes at most; None where it is not known."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "limits"
        source = Path(__file__).with_name("limits.c")
        command = [compiler, "-O2", "-o", str(program), str(source), "-lpthread"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        done = subprocess.run(
            [program, cpu, str(threads)], capture_output=True, text=True, check=False
        )
    return 1e9 * float(done.stdout) if done.returncode == 0 else None


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--prompt", default=512, show_default=True, help="Tokens of the prompt that is read.")
def main(bundle: Path, prompt: int) -> None:
    """Print medians of turns and their ratios, onnxruntime's to the native step's."""
    opened = read_bundle(bundle)
    verified = verify(opened, "int4", hashes=False)
    start = time.perf_counter()
    native = NativeSession(verified)
    native.step(np.array([1]), native.new_cache())
    first = time.perf_counter()
    session = OnnxruntimeSession(verified, SessionOptions())
    session.step(np.array([1]), session.new_cache())
    click.echo(
        f"from opening to the first token, the file read before: native ({native.cpu}) "
        f"{first - start:.2f} s, onnxruntime {time.perf_counter() - first:.2f} s"
    )
    threads = thread_count()
    bytes_read, most = weights_read_bytes(opened, "int4"), most_products(native.cpu, threads)
    click.echo("| work | onnxruntime, ms | native, ms | ratio | of the limit |")
    click.echo("|---|---|---|---|---|")
    works = [(f"{n} tokens at once", n, step_ms, ROUNDS) for n in TOKENS]
    works.append((f"a prompt of {prompt}", prompt, read_ms, 3))
    for name, tokens, work, rounds in works:
        times, limits = [], []
        for turn in range(rounds):
            times.append(
                [work(each, tokens, np.random.default_rng(turn)) for each in (session, native)]
            )
            limits.append(1000 * bytes_read / read_bandwidth(threads))
        theirs, mine = np.median(times, axis=0)
        ratio = np.median([one / other for one, other in times])
        if work is step_ms:
            share = f"{np.median(limits) / mine:.0%} of reading"
        elif most is not None:
            share = f"{1000 * tokens * products_a_token(native) / most / mine:.0%} of multiplying"
        else:
            share = "not known"
        click.echo(f"| {name} | {theirs:.1f} | {mine:.1f} | {ratio:.2f} | {share} |")


if __name__ == "__main__":
    main()
