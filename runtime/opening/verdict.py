"""Whether int4 runs by the native kernels on this machine, and why."""

from __future__ import annotations

from functools import cache

from ..backends.absence import is_installed
from ..backends.native.session import NativeSession
from ..backends.native.weights import OtherGraphError
from ..bundle.contract import Bundle
from ..errors import OptionError
from ..machine.library import computes_rightly, opened
from .trial import Trial, settle

FAILED = "fail their self-test"
# Slower than onnxruntime's kernels, and faster on every machine where they were timed. All other
# kinds are timed on the machine itself, at first use.
_SLOW, _FAST = "portable", ("amx", "avx512vnni", "avxvnni", "avx2")


@cache
def why_not(*, slow: bool = False) -> str:
    """Return why the native kernels are not used on this machine; nothing when they are.

    With `slow`, and where there is no onnxruntime, also where that is the faster one. Kernels of a
    kind that was never timed are timed beside onnxruntime: see `trial`.
    """
    slow = slow or not is_installed()
    try:
        native = opened()
    except OptionError as error:
        return str(error)
    if native.best == _SLOW and not slow:
        return f"the native kernels for this CPU ({_SLOW}) are slower than onnxruntime's"
    if not computes_rightly(native, native.best):
        return f"the native kernels {FAILED} on this CPU ({native.best}); please report it"
    timed = None if slow else trial()
    return "" if timed is None or timed.faster else str(timed)


@cache
def trial() -> Trial | None:
    """Return how the kernels of this machine did beside onnxruntime.

    None where that is known of their kind, or there is no onnxruntime.

    Raises:
        OptionError: when there is no library.

    """
    native = opened()
    return None if native.best in (_SLOW, *_FAST) else settle(native)


def engine_in_words() -> str:
    """Return which engine computes int4 on this machine, and why."""
    if reason := why_not():
        return f"{'onnxruntime' if is_installed() else 'nothing'}: {reason}"
    timed = trial()
    return f"native kernels ({opened().best})" + (f": {timed}" if timed else "")


def why_not_this(bundle: Bundle) -> str:
    """Return why the native kernels do not compute a bundle's int4 here; nothing when they do.

    The bundle's files must have been checked.
    """
    if reason := why_not():
        return reason
    try:
        NativeSession(bundle, threads=1).close()
    except OtherGraphError as error:
        return str(error)
    return ""
