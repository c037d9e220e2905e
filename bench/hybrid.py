"""int8 for the prompt and int4 for what follows, over one KV cache: what it wins and costs.

Usage: python -m bench.hybrid BUNDLE [--prompt N] [--rounds N]

BUNDLE holds fp32, int8 and int4. Each round measures all of them, so that other work of the
machine meets all alike. Quality is how far the tokens after the prompt are from fp32's, on this
package's own source: it means something for a trained model only.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from refact_edge.export.quality import default_data
from refact_edge.runtime.backends.hybrid import HybridSession
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, SessionOptions
from refact_edge.runtime.bundle.contract import (
    HYBRID,
    HYBRID_READER,
    HYBRID_WRITER,
    Bundle,
    read_bundle,
    weights_file,
)
from refact_edge.runtime.bundle.verified import verify
from refact_edge.runtime.engine.generation import CHUNK_TOKENS
from refact_edge.runtime.engine.session import Session
from refact_edge.runtime.text.tokens import Tokens

Ids = npt.NDArray[np.int64]
AFTER = 32  # tokens after the prompt
TEXTS = 24
LENGTHS = (1, 4, 8, 16, 24, 32, 48, 64, 128)


@dataclass(frozen=True)
class Answer:
    """How long prompt and tokens after it took, in seconds, and the log-probabilities [n, V]."""

    prompt_s: float
    after_s: float
    scores: npt.NDArray[np.float64]


def answer(session: Session, ids: Ids) -> Answer:
    """Send the prompt through a session, a chunk at a time, and what follows one by one."""
    cache, after = session.new_cache(), len(ids) - AFTER
    start = time.perf_counter()
    for at in range(0, after, CHUNK_TOKENS):
        session.step(ids[at : min(after, at + CHUNK_TOKENS)], cache)
    between = time.perf_counter()
    logits = np.concatenate([session.step(ids[i : i + 1], cache) for i in range(after, len(ids))])
    end = time.perf_counter()
    scores = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return Answer(between - start, end - between, scores)


def show_steps(prefill: Session, decode: Session, ids: Ids, rounds: int) -> None:
    """Print how long one step of several tokens takes int8, as a part of int4's time."""
    before = len(ids) - max(LENGTHS)
    cache = decode.new_cache()
    decode.step(ids[:before], cache)
    times_of: dict[tuple[Session, int], list[float]] = {}
    for length in [length for _ in range(rounds) for length in LENGTHS]:
        for session in (prefill, decode):
            cache.rewind(before)
            start = time.perf_counter()
            session.step(ids[before : before + length], cache)
            times_of.setdefault((session, length), []).append(time.perf_counter() - start)
    medians = {key: statistics.median(times) for key, times in times_of.items()}
    parts = (f"{medians[prefill, n] / medians[decode, n]:5.2f}x" for n in LENGTHS)
    click.echo(f"{'tokens in a step':20} " + " ".join(f"{n:6}" for n in LENGTHS))
    click.echo(f"{HYBRID_READER + ' to ' + HYBRID_WRITER:20} " + " ".join(parts) + "\n")


def texts_of(bundle: Bundle, path: Path, length: int) -> list[Ids]:
    """Return pieces of this package's source, each a prompt and what follows it."""
    tokens = Tokens(path / "tokenizer.json")
    ids = np.array([i for source in default_data() for i in tokens.encode(source.text)], np.int64)
    size = min(length, bundle.sizes.context - AFTER) + AFTER
    return [ids[at : at + size] for at in range(0, len(ids) - size, size)][:TEXTS]


@click.command()
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--prompt", default=512, show_default=True, help="Tokens of the prompt.")
@click.option("--rounds", default=5, show_default=True, help="Rounds in which speed is measured.")
@click.option("--no-quality", is_flag=True, help="Speed alone; fp32 is not needed then.")
def main(path: Path, prompt: int, rounds: int, no_quality: bool) -> None:
    """Print speed, bytes and quality of int8, int4 and hybrid."""
    bundle = read_bundle(path)
    names = [HYBRID_READER, HYBRID_WRITER] if no_quality else ["fp32", HYBRID_READER, HYBRID_WRITER]
    sessions = {
        name: OnnxruntimeSession(verify(bundle, name, hashes=False), SessionOptions())
        for name in names
    }
    texts = texts_of(bundle, path, prompt)
    if not texts:
        raise click.ClickException(f"this package has no {prompt} tokens in a row; ask for fewer")
    prefill, decode = sessions[HYBRID_READER], sessions[HYBRID_WRITER]
    show_steps(prefill, decode, texts[0], rounds)
    tried: dict[str, Session] = {
        HYBRID_READER: prefill,
        HYBRID_WRITER: decode,
        HYBRID: HybridSession(prefill, decode),
    }
    answers: dict[str, list[Answer]] = {name: [] for name in tried}
    for number in range(rounds):
        ids = texts[number % len(texts)]
        for name, session in tried.items():
            answers[name].append(answer(session, ids))
    lost: dict[str, list[float]] = {name: [] for name in tried}
    for ids in [] if no_quality else texts:
        want = answer(sessions["fp32"], ids).scores
        for name, session in tried.items():
            got = answer(session, ids).scores
            lost[name].append(float((np.exp(want) * (want - got)).sum(axis=1).mean()))
    first, then = (
        {name: statistics.median(getattr(a, part) for a in row) for name, row in answers.items()}
        for part in ("prompt_s", "after_s")
    )
    click.echo(f"{'':6} {'MB':>7} {'prompt':>8} {'each token':>11} {'mean KL':>10}")
    sizes = {
        name: (path / weights_file(name)).stat().st_size / 1e6
        for name in (HYBRID_READER, HYBRID_WRITER)
    }
    for name in tried:
        size = sizes.get(name, sum(sizes.values()))
        ratios = first[name] / first[HYBRID_WRITER], then[name] / then[HYBRID_WRITER]
        kl = f"{statistics.mean(lost[name]):10.4g}" if lost[name] else f"{'-':>10}"
        click.echo(f"{name:6} {size:7.1f} {ratios[0]:7.2f}x {ratios[1]:10.2f}x {kl}")
    click.echo(f"times are parts of int4's; prompts of {len(texts[0]) - AFTER} tokens")


if __name__ == "__main__":
    main()
