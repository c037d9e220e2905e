"""What a model is called, in the manifest and so in every list that a server shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runtime.bundle.manifest import is_name
from ..runtime.errors import OptionError

FALLBACK = "model"
_OTHERS = re.compile(r"[^A-Za-z0-9_.-]+")


def model_name(name: str | None, config: Mapping[str, Any], folder: Path) -> str:
    """Return the name that was asked for, or that of the config.json, or else the folder's.

    transformers writes where it loaded from: "owner/model" is a name, any other path is not.

    Raises:
        OptionError: when the name asked for has other characters than names have.

    """
    if name is not None:
        if not is_name(name):
            raise OptionError(
                f"name {name!r:.60}; expected letters, digits and . _ -, with at most one / inside"
            )
        return name
    published = config.get("_name_or_path")
    if is_name(published) and "/" in str(published):
        return str(published)
    words = _OTHERS.sub("-", folder.resolve().name).strip("-._")[:60]
    return words if is_name(words) else FALLBACK
