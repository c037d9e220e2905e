"""Wheels with next to nothing in them, for kits."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import refact_edge

PROGRAM = """
def main():
    import sys
    print("refact-edge", *sys.argv[1:])
    sys.exit(1 if "refused" in " ".join(sys.argv) else 0)
"""
OURS = (
    "numpy>=2", "tokenizers>=0.20", "click>=8",
    "onnxruntime>=1.24; extra == 'cpu'", "cryptography>=45; extra == 'trust'",
    "openvino>=2026.2; extra == 'openvino'", "onnxruntime-gpu>=1.24; extra == 'gpu'",
)  # fmt: skip


def wheel(
    folder: Path,
    name: str,
    version: str,
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    program: str = "",
) -> Path:
    """Write a wheel of one module; with a `program`, that is what its command runs."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    extras = {text.split("'")[1] for text in requires if "extra ==" in text}
    head = [f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT"]
    head += [f"Requires-Dist: {text}" for text in requires]
    head += [f"Provides-Extra: {extra}" for extra in sorted(extras)]
    files = {
        f"{module}/__init__.py": program,
        f"{info}/METADATA": "\n".join(head) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/licenses/LICENSE": f"The licence of {name}.\n",
    }
    if program:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{name} = {module}:main\n"
    record = "".join(f"{path},sha256={_sum(text)},{len(text)}\n" for path, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return file


def _sum(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def wheelhouse(folder: Path) -> Path:
    """Write all that a kit may need, of every system, and what it is to leave out."""
    tags = [
        "manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "musllinux_1_2_x86_64",
        "musllinux_1_2_aarch64", "win_amd64", "win_arm64", "macosx_11_0_arm64",
        "macosx_10_15_x86_64",
    ]  # fmt: skip
    for tag in tags:
        wheel(folder, "refact-edge", refact_edge.__version__, f"py3-none-{tag}", OURS, PROGRAM)
        wheel(folder, "tokenizers", "0.23.0", f"cp39-abi3-{tag}", ("huggingface-hub>=0.16",))
        for python in ("cp311", "cp312", "cp313", "cp314"):
            wheel(folder, "numpy", "2.4.0", f"{python}-{python}-{tag}")
            if "musl" not in tag and tag != "macosx_10_15_x86_64":
                wheel(folder, "onnxruntime", "1.32.0", f"{python}-{python}-{tag}")
        wheel(folder, "cryptography", "50.0.0", f"cp311-abi3-{tag}", ("cffi>=2",))
        wheel(folder, "cffi", "2.1.0", f"cp312-cp312-{tag}")
    libraries = ("nvidia-cudnn; extra == 'cudnn'", "nvidia-cuda-runtime; extra == 'cuda'")
    wheel(folder, "onnxruntime-gpu", "1.31.0", requires=libraries)
    wheel(folder, "nvidia-cudnn", "9.0.0", "py3-none-manylinux_2_27_x86_64")
    wheel(folder, "nvidia-cuda-runtime", "13.0.0", "py3-none-manylinux_2_17_x86_64")
    wheel(folder, "click", "8.3.0", requires=("colorama; platform_system == 'Windows'",))
    wheel(folder, "colorama", "0.4.6", "py2.py3-none-any")
    wheel(folder, "huggingface-hub", "1.0.0", requires=("httpx",))
    wheel(folder, "httpx", "0.28.0")
    return folder
