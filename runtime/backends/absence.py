"""Whether onnxruntime is here, why it may not be, and what that costs."""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec

NEEDS_IT = "fp16 and fp32 need it"
_MACOS, _GLIBC = 14, (2, 27)  # the oldest that onnxruntime has wheels for


def is_installed() -> bool:
    """Whether there is an onnxruntime, which is not imported for this."""
    return find_spec("onnxruntime") is not None


def remedy() -> str:
    """Return what to do where there is no onnxruntime."""
    reason = why_no_wheel()
    if reason:
        return f"{reason}: take int4 or int8, as {NEEDS_IT}"
    return "install it with: pip install 'refact-edge[cpu]'"


def why_no_wheel() -> str:
    """Return why onnxruntime has no wheel for this system; nothing where it has one."""
    if sys.platform == "darwin":
        return _why_not_on_macos()
    return _why_not_on_linux() if sys.platform == "linux" else ""


def _why_not_on_macos() -> str:
    if platform.machine() == "x86_64":
        return "it has no wheel for Intel Macs"
    version = platform.mac_ver()[0]
    if int(version.split(".")[0] or _MACOS) < _MACOS:
        return f"it has no wheel for macOS {version}, only from {_MACOS} on"
    return ""


def _why_not_on_linux() -> str:
    library, version = platform.libc_ver()
    if library != "glibc":
        return "it has no wheel for musl"
    if tuple(map(int, version.split(".")[:2])) < _GLIBC:
        oldest = ".".join(map(str, _GLIBC))
        return f"it has no wheel for glibc {version}, only from {oldest} on"
    return ""
