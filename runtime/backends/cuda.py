"""CUDA's libraries: loaded from where pip puts them, and why they cannot be used, in words.

onnxruntime lists its CUDA provider wherever its wheel carries it, and says only in its log what a
machine lacks for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ..errors import DeviceError

_PROVIDER = "*onnxruntime_providers_cuda*"
_DRIVER = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_LIBRARIES = "CUDA's libraries come with: pip install 'onnxruntime-gpu[cuda,cudnn]'"
UNSAID = f"the CUDA provider did not start; {_LIBRARIES}"


class CudaStartError(DeviceError):
    """CUDA was to be used and does not start; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cuda was asked for and is not usable: {reason}")
        self.reason = reason


def provider_library(onnxruntime: Path) -> Path | None:
    """Return the CUDA provider that an onnxruntime comes with, if it does."""
    return next((onnxruntime / "capi").glob(_PROVIDER), None)


@functools.cache
def why_not(onnxruntime: ModuleType) -> str:
    """Say why CUDA cannot be used here; "" where it can.

    Loads what can be loaded, packages of pip first, so that onnxruntime finds it afterwards.
    """
    if reason := _why_no_driver():
        return reason
    if preload := getattr(onnxruntime, "preload_dlls", None):  # since 1.21
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            preload()
    library = provider_library(Path(str(onnxruntime.__file__)).parent)
    if library is None or sys.platform != "linux":
        return ""
    # It may be loaded before a session asks for it, as the import made its host ready.
    try:
        ctypes.CDLL(str(library), mode=os.RTLD_LAZY)
    except OSError as error:
        return f"{error}; {_LIBRARIES}"
    return ""


@contextlib.contextmanager
def quiet(onnxruntime: ModuleType) -> Iterator[None]:
    """Keep onnxruntime from logging meanwhile that CUDA did not start, as we say it ourselves.

    The level before it cannot be asked for: afterwards it is onnxruntime's usual one.
    """
    warning, fatal = 2, 4
    onnxruntime.set_default_logger_severity(fatal)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(warning)


def _why_no_driver() -> str:
    """Ask the driver, which takes no context on a device yet."""
    name = _DRIVER.get(sys.platform)
    if name is None:
        return ""
    try:
        driver = ctypes.CDLL(name)
    except OSError as error:
        return f"there is no NVIDIA driver ({error}); install it, or take device cpu"
    count = ctypes.c_int(0)
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code == _NO_DEVICE or (code == 0 and count.value == 0):
        return "the NVIDIA driver sees no GPU; look at nvidia-smi and CUDA_VISIBLE_DEVICES"
    return f"the NVIDIA driver does not start (CUDA error {code}); update it" if code else ""
