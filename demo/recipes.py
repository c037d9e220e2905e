"""What was tried: shapes, mixes and rates of a training run, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Window = tuple[float, Mapping[str, float]]

WIDTH, INNER, EPSILON, POSITIONS = 256, 768, 1e-5, 1024


@dataclass(frozen=True)
class Recipe:
    """One way to train. Windows are in ids; a step holds `step_ids` ids in rows of one window.

    Args:
        layers: the depth; the width is 256 and the MLP's 768 in every recipe.
        vocabulary: ids of the tokenizer, 19 specials among them.
        groups: how often a row comes from the library, its tests or the packages.
        windows: for each window its share of the steps, and how often a row of it is holes, plain
            text or questions with answers. Short windows are faster, and holes are short.
        heads: query heads. ALiBi's slopes run from 2**(-8 / heads) to 2**-8, so more of them give
            more that look far.
        several: the share of the rows with holes that hold several short ones.
        stutters: the share of the answers in which something is said again and then left.
        muon_rate: learning rate of the layers' matrices.
        adam_rate: learning rate of embedding, head and norms.

    """

    layers: int
    vocabulary: int
    groups: Mapping[str, float]
    windows: Mapping[int, Window]
    heads: int = 4
    several: float = 0.4
    stutters: float = 0.0
    step_ids: int = 4096
    muon_rate: float = 0.02
    adam_rate: float = 0.004


LIBRARY_FIRST = {"library": 0.45, "tests": 0.10, "packages": 0.45}
PACKAGES_FIRST = {"library": 0.38, "tests": 0.05, "packages": 0.57}
HOLES_FIRST = {"fim": 0.70, "text": 0.22, "chat": 0.08}
ONE_MIX = {128: (0.4, HOLES_FIRST), 256: (0.4, HOLES_FIRST), 512: (0.2, HOLES_FIRST)}
# Holes in short windows, where the suffix is near; text in long ones.
BY_WINDOW = {
    128: (0.45, {"fim": 0.90, "text": 0.02, "chat": 0.08}),
    256: (0.30, {"fim": 0.75, "text": 0.15, "chat": 0.10}),
    512: (0.25, {"fim": 0.25, "text": 0.65, "chat": 0.10}),
}
# More of the holes with as much around them as an editor sends, less of the text they are cut from.
HOLES_BY_WINDOW = {
    128: (0.30, {"fim": 0.92, "chat": 0.08}),
    256: (0.50, {"fim": 0.85, "text": 0.05, "chat": 0.10}),
    512: (0.20, {"fim": 0.30, "text": 0.55, "chat": 0.15}),
}
# For the end of a run: more questions, and answers that fall into a loop and out of it again.
STEADY = {
    128: (0.20, {"fim": 0.70, "chat": 0.30}),
    256: (0.60, {"fim": 0.77, "text": 0.05, "chat": 0.18}),
    512: (0.20, {"fim": 0.30, "text": 0.50, "chat": 0.20}),
}

# All but `small` come close to the 16 MiB of bf16 that a demo may have.
RECIPES = {
    "small": Recipe(2, 4096, LIBRARY_FIRST, {128: (1.0, HOLES_FIRST)}),
    "deep": Recipe(8, 4096, LIBRARY_FIRST, ONE_MIX),
    "words": Recipe(5, 8192, LIBRARY_FIRST, ONE_MIX),
    "heads": Recipe(5, 8192, LIBRARY_FIRST, ONE_MIX, heads=8, several=0.65),
    "deep-by-window": Recipe(8, 4096, LIBRARY_FIRST, BY_WINDOW, several=0.65),
    "deep-holes": Recipe(8, 4096, PACKAGES_FIRST, HOLES_BY_WINDOW, several=0.5),
    "steady": Recipe(8, 4096, PACKAGES_FIRST, STEADY, several=0.4, stutters=0.35),
}
