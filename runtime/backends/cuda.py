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
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..errors import DeviceError, one_line

_PROVIDER = "*onnxruntime_providers_cuda*"
_DRIVER = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_NO_MEMORY = ("out of memory", "Failed to allocate memory")
_NO_KERNEL = "no kernel image is available"
_CAPABILITY = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_LIBRARIES = "CUDA's libraries come with: pip install 'onnxruntime-gpu[cuda,cudnn]'"
UNSAID = f"the CUDA provider did not start; {_LIBRARIES}"


@dataclass(frozen=True)
class Card:
    """The first GPU, as its driver tells of it.

    Args:
        name: its maker's.
        capability: what it computes, 86 for 8.6.
        memory: all its bytes, of which others may hold some.

    """

    name: str
    capability: int
    memory: int


def in_words(text: str) -> str:
    """Return what onnxruntime says of a failure on a GPU, in words that name the reason."""
    if any(words in text for words in _NO_MEMORY):
        return "the GPU has not enough memory left; close what else uses it, or take int4"
    if _NO_KERNEL in text:
        return (
            "the installed onnxruntime has no kernels for this GPU's compute capability; install "
            "an onnxruntime-gpu that has, or take device cpu"
        )
    return f"the GPU failed: {one_line(text)}"


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
    if reason := _why_no_driver(onnxruntime):
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


@functools.cache
def card() -> Card | None:
    """Return the first GPU; None where the driver tells of none."""
    driver = _driver()
    if isinstance(driver, str):
        return None
    device, size, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    parts = ctypes.c_int(), ctypes.c_int()
    failed = (
        driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
        or any(
            driver.cuDeviceGetAttribute(ctypes.byref(part), attribute, device)
            for part, attribute in zip(parts, _CAPABILITY, strict=True)
        )
    )
    if failed:
        return None
    major, minor = (part.value for part in parts)
    return Card(name.value.decode(errors="replace"), 10 * major + minor, size.value)


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


def _why_no_driver(onnxruntime: ModuleType) -> str:
    if sys.platform not in _DRIVER:
        return ""
    driver = _driver()
    return driver if isinstance(driver, str) else _why_too_old(driver, onnxruntime)


def _why_too_old(driver: ctypes.CDLL, onnxruntime: ModuleType) -> str:
    """Compare the driver's CUDA with the one that onnxruntime was built for; majors have to do."""
    built = str(getattr(onnxruntime, "cuda_version", "")).partition(".")[0]
    version = ctypes.c_int(0)
    if not built.isdecimal() or driver.cuDriverGetVersion(ctypes.byref(version)):
        return ""
    major, minor = version.value // 1000, version.value % 1000 // 10
    if major >= int(built):
        return ""
    return (
        f"the NVIDIA driver is for CUDA {major}.{minor} and the installed onnxruntime for {built}; "
        "update the driver, or install an onnxruntime-gpu for its CUDA"
    )


def _driver() -> ctypes.CDLL | str:
    """Return the driver, started, or why it cannot be used; it takes no context on a device yet."""
    name = _DRIVER.get(sys.platform)
    if name is None:
        return "CUDA is for Linux and Windows"
    try:
        driver = ctypes.CDLL(name)
    except OSError as error:
        return f"there is no NVIDIA driver ({error}); install it, or take device cpu"
    count = ctypes.c_int(0)
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code == _NO_DEVICE or (code == 0 and count.value == 0):
        return "the NVIDIA driver sees no GPU; look at nvidia-smi and CUDA_VISIBLE_DEVICES"
    if code:
        return f"the NVIDIA driver does not start (CUDA error {code}); update it"
    return driver
