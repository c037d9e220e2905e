"""Embeddings, which this model does not make; each dialect says so at its own paths."""

from __future__ import annotations

from typing import NoReturn

from .errors import HttpError
from .exchange import Call


async def no_embeddings(_: Call, __: None) -> NoReturn:
    """Refuse.

    Raises:
        HttpError: always.

    """
    raise HttpError(501, "this model does not support embeddings; leave them to another server")
