"""What serving costs a lone user: time to the first token through HTTP beside the library's own.

Usage: python -m bench.serve [BUNDLE | --shape NAME] [--variant int4] [--asks 40] [--fresh]

A trace is replayed by the library in this process and by a server in another one, request by
request; each has
its own caches, so both have the same left to read at each keystroke.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import click
import numpy as np

import refact_edge
from refact_edge.runtime.bench.shapes import shaped
from refact_edge.runtime.bench.traces import Ask, asks, read_trace, shipped_traces
from refact_edge.runtime.engine.sampling import GREEDY

MAX_TOKENS = 16
SHAPE = "refact-1.6b"
First = Callable[[Ask], float]  # seconds to the first text


@contextmanager
def server(bundle: Path, variant: str) -> Iterator[str]:
    """Serve a bundle in another process; yield its address."""
    command = [sys.executable, "-m", "refact_edge.runtime", "serve", str(bundle)]
    command += ["--variant", variant, "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGINT)


def through_http(address: str, *, fresh: bool) -> First:
    """Return what asks a server; `fresh` makes a connection for each request, as curl does."""
    place = urlsplit(address).netloc
    connection = http.client.HTTPConnection(place)

    def first(ask: Ask) -> float:
        nonlocal connection
        body = {
            "input_prefix": ask.prefix,
            "input_suffix": ask.suffix,
            "n_predict": MAX_TOKENS,
            "temperature": 0,
            "stream": True,
        }
        start = perf_counter()
        if fresh:
            connection.close()
            connection = http.client.HTTPConnection(place)
        connection.request(
            "POST", "/infill", json.dumps(body), {"content-type": "application/json"}
        )
        reply = connection.getresponse()
        reply.readline()
        seconds = perf_counter() - start
        reply.read()
        return seconds

    return first


def in_process(model: refact_edge.Model) -> First:
    """Return what asks the library."""

    def first(ask: Ask) -> float:
        start = perf_counter()
        with model.complete(
            ask.prefix, ask.suffix, max_tokens=MAX_TOKENS, stop=(), sampling=GREEDY
        ) as stream:
            next(stream, "")
            seconds = perf_counter() - start
            for _ in stream:
                pass
        return seconds

    return first


@contextmanager
def _untold(_label: str, _length: int) -> Iterator[Callable[[int], None]]:
    yield lambda _done: None


def measure(bundle: Path, variant: str, number: int, *, fresh: bool) -> None:
    """Replay a trace both ways, alternately, and print the figures."""
    trace = read_trace(next(path for path in shipped_traces() if path.stem == "function"))
    model = refact_edge.load(bundle, variant=variant)
    with server(bundle, variant) as address:
        ways = {"library": in_process(model), "server": through_http(address, fresh=fresh)}
        times: dict[str, list[float]] = {name: [] for name in ways}
        chosen = [ask for _, ask in zip(range(number + 1), asks(trace), strict=False)]
        with click.progressbar(chosen, label="asking both", file=sys.stderr) as progress:
            for number, ask in enumerate(progress):
                names = list(ways) if number % 2 else list(ways)[::-1]
                for name in names:
                    times[name].append(ways[name](ask))
    # The first request prefills all of the prompt.
    library, served = (1000 * np.array(times[name][1:]) for name in ways)
    click.echo(f"{variant}, {len(library)} keystrokes, to the first text:")
    click.echo(f"  library {np.median(library):8.1f} ms   server {np.median(served):8.1f} ms")
    low, middle, high = np.quantile(served - library, [0.25, 0.5, 0.75])
    click.echo(f"  ratio of medians {np.median(served) / np.median(library):.3f}")
    click.echo(f"  difference {middle:.1f} ms ({low:.1f} to {high:.1f})")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--shape", default=SHAPE, show_default=True, help="In place of BUNDLE.")
@click.option("--variant", default="int4", show_default=True)
@click.option("--asks", "number", default=40, show_default=True, help="Requests of the trace.")
@click.option("--fresh", is_flag=True, help="A connection for each request.")
def main(bundle: Path | None, shape: str, variant: str, number: int, fresh: bool) -> None:
    """Print both medians and the ratio; without BUNDLE of random weights of a shape."""
    if bundle is not None:
        measure(bundle, variant, number, fresh=fresh)
        return
    with shaped(shape, variant, None, tell=click.echo, track=_untold) as made:
        measure(made, variant, number, fresh=fresh)


if __name__ == "__main__":
    main()
