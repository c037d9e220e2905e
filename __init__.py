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
    from .runtime.engine.logprobs import Scored
    from .runtime.engine.sampling import Sampling
    from .runtime.errors import (
        BundleError,
        BusyError,
        CheckpointError,
        ClosedError,
        ContextError,
        DeviceError,
        EndingError,
        EvalError,
        ExportError,
        MissingExtraError,
        OptionError,
        PromptError,
        ProtocolError,
        RefactEdgeError,
        RefactEdgeWarning,
        ReplacedError,
        SandboxError,
    )
    from .runtime.info import ModelInfo
    from .runtime.model import Model
    from .runtime.opening.budget import limit_memory
    from .runtime.opening.load import load
    from .runtime.stream import Stream, Usage
    from .runtime.text.cursor import Cursor, OpenFile
    from .runtime.text.endings import Endings
    from .runtime.text.limits import Limits
    from .runtime.text.messages import Message
    from .runtime.text.tokens import Tokens

__version__ = "0.2.0"
__all__ = [
    "BundleError",
    "BusyError",
    "CancelToken",
    "CheckpointError",
    "ClosedError",
    "ContextError",
    "Cursor",
    "DeviceError",
    "EndingError",
    "Endings",
    "EvalError",
    "ExportError",
    "Limits",
    "Message",
    "MissingExtraError",
    "Model",
    "ModelInfo",
    "OpenFile",
    "OptionError",
    "PromptError",
    "ProtocolError",
    "RefactEdgeError",
    "RefactEdgeWarning",
    "ReplacedError",
    "Sampling",
    "SandboxError",
    "Scored",
    "Stream",
    "Tokens",
    "Usage",
    "__version__",
    "limit_memory",
    "load",
]

_HOMES = {
    "BundleError": "errors",
    "BusyError": "errors",
    "CancelToken": "engine.cancel",
    "CheckpointError": "errors",
    "ClosedError": "errors",
    "ContextError": "errors",
    "Cursor": "text.cursor",
    "DeviceError": "errors",
    "EndingError": "errors",
    "Endings": "text.endings",
    "EvalError": "errors",
    "ExportError": "errors",
    "Limits": "text.limits",
    "MissingExtraError": "errors",
    "Message": "text.messages",
    "Model": "model",
    "ModelInfo": "info",
    "OpenFile": "text.cursor",
    "OptionError": "errors",
    "PromptError": "errors",
    "ProtocolError": "errors",
    "RefactEdgeError": "errors",
    "RefactEdgeWarning": "errors",
    "ReplacedError": "errors",
    "Sampling": "engine.sampling",
    "SandboxError": "errors",
    "Scored": "engine.logprobs",
    "Stream": "stream",
    "Tokens": "text.tokens",
    "Usage": "stream",
    "limit_memory": "opening.budget",
    "load": "opening.load",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'refact_edge' has no attribute {name!r}")
    return getattr(import_module(f".runtime.{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
