"""What the texts of command-line options stand for; no option is read twice."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from ..quant.schemes import SCHEMES
from ..quant.texts.calibration import default_sources
from ..quant.texts.sources import Source, find_sources
from ..runtime.errors import OptionError
from .budget import Limit

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}


def size_bytes(text: str) -> int:
    """Read a size such as 900MB or 1.5GB.

    Raises:
        OptionError: when it is none.

    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        raise OptionError(f"size {text!r}; expected a number and a unit, such as 900MB or 1.5GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def variant_names(variants: str) -> list[str]:
    """Return the names between the commas.

    Raises:
        OptionError: when there are none.

    """
    names = [name.strip() for name in variants.split(",") if name.strip()]
    if not names:
        raise OptionError(
            f"variants {variants!r} names none; expected some of {', '.join(SCHEMES)}"
        )
    return names


def limit_of(size: str | None, kl: float | None) -> Limit | None:
    """Return the limit that `--bytes` or `--kl` names, if one does.

    Raises:
        OptionError: when both are given, or one is no limit.

    """
    if size is not None and kl is not None:
        raise OptionError("--bytes and --kl exclude each other; give one")
    if size is not None:
        return Limit(bytes=size_bytes(size))
    if kl is None:
        return None
    if not 0 < kl < math.inf:
        raise OptionError(f"--kl {kl:g}; expected nats above 0, such as 0.01")
    return Limit(kl=kl)


def calibration_sources(
    folder: Path | None, without: bool, effort: str | None = None
) -> Sequence[Source]:
    """Return the files to calibrate on; none when not wanted.

    Raises:
        OptionError: when a folder or an effort is given and calibration is not wanted.
        EvalError: when the folder holds no source file.

    """
    if without and folder is not None:
        raise OptionError("--calibrate and --no-calibration exclude each other; give one")
    if without and effort is not None:
        raise OptionError("--effort and --no-calibration exclude each other; give one")
    if without:
        return ()
    return default_sources() if folder is None else find_sources(folder).files
