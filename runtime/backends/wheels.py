"""Which onnxruntime is installed; it is not imported for that."""

from __future__ import annotations

import importlib.util
from importlib import metadata

# All of them fill one import folder.
ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")


def onnxruntime_wheels() -> dict[str, str]:
    """Return the versions of the wheels that are installed, by name."""
    versions = {}
    for name in ONNXRUNTIME:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def onnxruntime_version() -> str:
    """Return onnxruntime's version; "" where there is none, "unknown" where no wheel brought it."""
    if importlib.util.find_spec("onnxruntime") is None:
        return ""
    return ", ".join(sorted(set(onnxruntime_wheels().values()))) or "unknown"
