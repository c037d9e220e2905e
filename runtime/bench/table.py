"""Figures as lines for a reader."""

from __future__ import annotations

from collections.abc import Iterator

from .figures import Keystrokes, Percentiles, Replays, Spread, Throughput

UNKNOWN = "not known on this system"


def _subject(figures: Throughput | Replays | Keystrokes) -> str:
    opened_as = f"{figures.variant} on {figures.device} by {figures.engine}"
    return f"{figures.bundle}: {opened_as}, {figures.threads} threads"


def throughput_lines(figures: Throughput) -> Iterator[str]:
    """Yield what `refact-edge bench` prints."""
    bandwidth, limit = figures.read_bandwidth_bytes_per_s, figures.limit_ms
    yield _subject(figures)
    yield f"{figures.cpu}"
    rounds = "1 round" if figures.rounds == 1 else f"{figures.rounds} rounds"
    yield f"medians of {rounds}, each a fresh process, and the lowest and highest"
    yield (
        f"memory is read at {bandwidth.median / 1e9:.1f} GB/s ({bandwidth.low / 1e9:.1f} to "
        f"{bandwidth.high / 1e9:.1f}): {figures.weights_read_bytes / 1e6:.0f} MB of weights "
        f"a token take {limit.median:.3g} ms at least"
    )
    yield ""
    yield f"{'prefill':>10} {'ms':>10} {'low':>10} {'high':>10} {'tokens/s':>10}"
    for prompt in figures.prefill:
        yield f"{prompt.tokens:10} {_three(prompt.prefill_ms)} {prompt.tokens_per_s.median:10.1f}"
    yield ""
    yield (
        f"{'decode at':>10} {'ms/token':>10} {'low':>10} {'high':>10} {'tokens/s':>10} "
        f"{'of the limit':>13}"
    )
    for decode in figures.decode:
        share = decode.share_of_limit
        yield (
            f"{decode.depth_tokens:10} {_three(decode.decode_ms)} "
            f"{decode.tokens_per_s.median:10.1f} {share.median:13.0%} "
            f"({share.low:.0%} to {share.high:.0%})"
        )
    yield ""
    yield f"{'cold start':>10} {_three(figures.cold_start_ms)} ms to the first token, files cached"
    memory = figures.memory
    for name, used in (
        ("anonymous", memory.anonymous_bytes),
        ("mapped", memory.mapped_bytes),
        ("peak", memory.peak_bytes),
    ):
        if used is None:
            yield f"{name:>10} {UNKNOWN}"
        else:
            yield f"{name:>10} {_three(used, 1e6)} MB after {memory.after_tokens} tokens"
    yield "prefill is bound by arithmetic, whose limit is not measured"


def typing_lines(figures: Replays) -> Iterator[str]:
    """Yield what `refact-edge bench typing` prints."""
    yield f"{_subject(figures)}, {figures.max_tokens} tokens a completion"
    yield f"{figures.cpu}"
    yield ""
    yield (
        f"{'':10} {'requests':>8} {'first token, ms':>19} {'to the end, ms':>19} "
        f"{'prompt':>8} {'evaluated':>9} {'reused':>7} {'accepted':>12}"
    )
    yield f"{'':10} {'':8} {'p50':>9} {'p95':>9} {'p50':>9} {'p95':>9}"
    for one in (*figures.traces, figures.overall):
        yield (
            f"{one.name:10.10} {one.requests:8} {_both(one.first_token_ms)} {_both(one.total_ms)} "
            f"{one.prompt_tokens:8} {one.evaluated_tokens:9} {one.reused_share:7.1%} "
            f"{f'{one.accepted} of {one.drafted}':>12}"
        )


def keystroke_lines(figures: Keystrokes) -> Iterator[str]:
    """Yield what `refact-edge bench keystroke` prints."""
    yield _subject(figures)
    yield f"{figures.cpu}"
    yield "a letter typed in the middle of a file, to the first token: median, lowest and highest"
    yield ""
    yield f"{'lines':>10} {'prompt':>10} {'ms':>10} {'low':>10} {'high':>10}"
    for one in figures.files:
        yield f"{one.lines:10} {one.prompt_tokens:10} {_three(one.first_token_ms)}"


def _three(spread: Spread, unit: float = 1.0) -> str:
    values = (spread.median, spread.low, spread.high)
    return " ".join(f"{value / unit:10.1f}" for value in values)


def _both(times: Percentiles) -> str:
    return f"{times.p50:9.1f} {times.p95:9.1f}"
