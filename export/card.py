"""What a checkpoint's card states of it: licence, data sets, the model that it was made from.

The card is README.md, with a head in YAML. Nothing of it is checked by anybody, so that it is told
as stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..runtime.errors import one_line

CARD = "README.md"
_LIMIT_BYTES = 2**16
_MARK = "---"
_MOST = 64  # of a list


@dataclass(frozen=True)
class Card:
    """What is stated; "" and () where nothing is."""

    licence: str = ""
    licence_link: str = ""
    datasets: tuple[str, ...] = ()
    made_from: tuple[str, ...] = ()


def read_card(folder: Path) -> Card:
    """Return what the card in a folder states; nothing, where there is none that can be read."""
    head = _head(folder / CARD)
    licence = _texts(head.get("license"))
    if licence == ("other",):
        licence = _texts(head.get("license_name"))
    return Card(
        " OR ".join(licence),
        "".join(_texts(head.get("license_link"))[:1]),
        _texts(head.get("datasets")),
        _texts(head.get("base_model")),
    )


def _head(file: Path) -> Mapping[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read(_LIMIT_BYTES).decode("utf-8", "replace")
        mark, _, rest = text.partition("\n")
        if mark.strip() != _MARK:
            return {}
        head = yaml.safe_load(rest.partition(f"\n{_MARK}")[0])
    except (OSError, yaml.YAMLError, RecursionError, ValueError):
        return {}  # a card is no part of what a model is
    return head if isinstance(head, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(one_line(one) for one in values[:_MOST] if isinstance(one, str) and one)
