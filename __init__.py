"""refact-edge: a code model on machines with no big GPU.

    import refact_edge

    model = refact_edge.load("bundle")
    for piece in model.complete("def add(a, b):\\n    return ", "\\n"):
        print(piece, end="")

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runtime.engine.cancel import CancelToken
    from .runtime.engine.sampling import Sampling
    from .runtime.errors import RefactEdgeError
    from .runtime.model import Model
    from .runtime.opening.load import load
    from .runtime.stream import Stream, Usage
    from .runtime.text.cursor import Cursor
    from .runtime.text.endings import Endings
    from .runtime.text.limits import Limits

__version__ = "0.1.0"
__all__ = [
    "CancelToken",
    "Cursor",
    "Endings",
    "Limits",
    "Model",
    "RefactEdgeError",
    "Sampling",
    "Stream",
    "Usage",
    "__version__",
    "load",
]

_HOMES = {
    "CancelToken": "engine.cancel",
    "Cursor": "text.cursor",
    "Endings": "text.endings",
    "Limits": "text.limits",
    "Model": "model",
    "RefactEdgeError": "errors",
    "Sampling": "engine.sampling",
    "Stream": "stream",
    "Usage": "stream",
    "load": "opening.load",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'refact_edge' has no attribute {name!r}")
    return getattr(import_module(f".runtime.{_HOMES[name]}", __name__), name)
