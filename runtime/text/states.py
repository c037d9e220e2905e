"""Parts of a tokenizer as the JSON that the tokenizers library saves them as."""

from __future__ import annotations

import json
from typing import Any

from ..errors import one_line


def state(part: Any) -> Any:
    """Return a part of a tokenizer as the JSON that it is saved as; settings stay as they are."""
    if part is None or isinstance(part, dict):
        return part
    return json.loads(part.__getstate__())


def short(value: object) -> str:
    """Return a value as a line of an error has room for it."""
    return one_line(repr(value), 80)
