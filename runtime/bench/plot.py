"""Plots: throughput with its limit, and what a keystroke takes by file and prompt."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingExtraError, OptionError
from ..files.atomic_write import atomic_write
from .figures import Keystrokes, Spread, Throughput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")


def check_plot(file: Path) -> None:
    """See that a plot can be written to `file`, before long work.

    Raises:
        OptionError: when it has another ending, is a folder or cannot be written.
        MissingExtraError: when matplotlib is not installed, which draws.

    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "report")
    if file.suffix.lower() not in FORMATS or file.is_dir():
        raise OptionError(f"plot {file}; expected a file that ends with {' or '.join(FORMATS)}")
    try:
        with tempfile.TemporaryFile(dir=file.absolute().parent):
            pass
    except OSError as error:
        raise OptionError(f"plot {file} cannot be written: {error.strerror}") from error


def write_plot(file: Path, result: Throughput | Keystrokes) -> None:
    """Draw into a file, whole or not at all; no date makes two of them differ.

    Raises:
        MissingExtraError: when matplotlib is not installed, which draws.

    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report") from error
    figure = Figure(figsize=(9, 4), layout="constrained")
    if isinstance(result, Throughput):
        _throughput(figure, result)
    else:
        _keystrokes(figure, result)
    undated = {"Date": None} if file.suffix.lower() == ".svg" else None
    with (
        atomic_write(file) as draft,
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "refact-edge"}),
    ):
        figure.savefig(draft, metadata=undated)


def _throughput(figure: Figure, result: Throughput) -> None:
    left, right = figure.subplots(1, 2)
    figure.suptitle(f"{result.variant}, {result.threads} threads, {result.rounds} rounds")
    _draw(
        left, [one.tokens for one in result.prefill], [one.tokens_per_s for one in result.prefill]
    )
    left.set(title="Prefill", xlabel="tokens of the prompt", ylabel="tokens/s")
    _draw(
        right,
        [one.depth_tokens for one in result.decode],
        [one.tokens_per_s for one in result.decode],
    )
    limit = 1e3 / result.limit_ms.median
    right.axhline(limit, linestyle="--", color="gray", label="limit of memory")
    right.set(title="Writing", xlabel="tokens before", ylabel="tokens/s")
    right.legend()
    for axes in (left, right):
        axes.set_ylim(bottom=0)


def _keystrokes(figure: Figure, result: Keystrokes) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    figure.suptitle(f"A keystroke to its first token: {result.variant}, {result.threads} threads")
    _draw(left, [one.lines for one in result.files], [one.first_token_ms for one in result.files])
    left.set(xlabel="lines of the file", ylabel="ms", xscale="log")
    _draw(
        right,
        [one.prompt_tokens for one in result.files],
        [one.first_token_ms for one in result.files],
        joined=False,
    )
    right.set(xlabel="tokens of the prompt")
    left.set_ylim(bottom=0)


def _draw(
    axes: Axes, places: Sequence[int], spreads: Sequence[Spread], *, joined: bool = True
) -> None:
    medians = [spread.median for spread in spreads]
    below = [spread.median - spread.low for spread in spreads]
    above = [spread.high - spread.median for spread in spreads]
    axes.errorbar(places, medians, yerr=(below, above), fmt="o-" if joined else "o", capsize=4)
    axes.grid(alpha=0.3)
