"""The kinds of CPU that a run can force, and what each is called by the engines beside ours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Kind:
    """Instructions that all engines of a row are held to.

    `variant` is the one of llama.cpp's CPU libraries that uses the same, `spare` what is taken
    where that one crashes, and why; `march` is what ik_llama.cpp is compiled for.
    """

    variant: str
    march: str
    spare: str = ""
    why: str = ""


KINDS = {
    "amx": Kind(
        "sapphirerapids",
        "sapphirerapids",
        "zen4",
        "its kernels for AMX end in a segmentation fault (its issue 20824); zen4 is the same "
        "instructions without AMX",
    ),
    "avx512vnni": Kind("icelake", "icelake-server"),
    "avxvnni": Kind("alderlake", "alderlake"),
    "avx2": Kind("haswell", "haswell"),
    "i8mm": Kind(
        "armv8.6_1",
        "armv8.6-a+dotprod+fp16",
        "armv8.2_2",
        "it needs SVE besides; armv8.2_2 has dot products and no i8mm",
    ),
    "neon": Kind("armv8.2_2", "armv8.2-a+dotprod+fp16"),
}
if sys.platform == "darwin":
    KINDS |= {
        "i8mm": Kind("apple_m2_m3", "armv8.6-a+dotprod+fp16"),
        "neon": Kind("apple_m1", "armv8.2-a+dotprod+fp16"),
    }


def kind_for(isa: str | None, able: Sequence[str]) -> str:
    """Return the kind that is asked for, or the best of those that this machine has.

    Raises:
        ClickException: when this machine lacks it; says what it has.

    """
    here = [kind for kind in able if kind in KINDS]
    if not here:
        raise click.ClickException(
            f"this CPU has none of {', '.join(KINDS)}, so there is nothing to compare"
        )
    if isa is not None and isa not in here:
        raise click.ClickException(
            f"this CPU cannot compute as {isa}; take --isa {' or '.join(here)}, or another machine"
        )
    return isa or here[0]
