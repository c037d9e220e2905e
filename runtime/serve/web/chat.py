"""Chat with a model that was never taught to: each dialect refuses it at its own paths."""

from __future__ import annotations

from .errors import HttpError
from .exchange import Call


async def require_chat(call: Call, status: int = 400) -> None:
    """Refuse messages where the model has no layout for them.

    Raises:
        HttpError: of that status, when it has none.

    """
    if not (await call.service.about()).abilities.chats:
        raise HttpError(
            status,
            f"{call.settings.name} does not support chat: it is a base model, which completes "
            "text; ask for completions",
        )
