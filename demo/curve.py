"""The validation curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # the backend is chosen first

LINES = {
    "text": "text, left to right",
    "prefix alone": "middle of a hole, prefix alone",
    "psm": "middle of a hole, PSM",
    "spm": "middle of a hole, SPM",
}


def draw(points: Sequence[dict[str, float]], file: Path) -> None:
    """Draw bits a byte over the ids seen; `points` hold `ids` and one value for each of LINES."""
    pyplot.rcParams["svg.hashsalt"] = "refact-edge"  # the same points give the same file
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    ids = [point["ids"] / 1e6 for point in points]
    for key, label in LINES.items():
        axes.plot(ids, [point[key] for point in points], marker=".", label=label)
    axes.set_xlabel("million ids seen")
    axes.set_ylabel("bits a byte")
    axes.set_title("Demo checkpoint: files that are watched, not trained on")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
