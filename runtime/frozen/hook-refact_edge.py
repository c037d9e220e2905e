"""What a frozen program of this package's needs and PyInstaller does not see by itself.

Names are loaded on first use and the kernels by their path, so that no import leads to them.
Exporting and evaluating stay out, as do clients of hubs, which nothing here calls.
"""

from pathlib import Path

from PyInstaller.utils.hooks import (
    collect_data_files,
    collect_submodules,
    copy_metadata,
    get_package_paths,
)

_PACKAGE = Path(get_package_paths("refact_edge")[1])
_KERNELS = Path("runtime", "backends", "native")
_OUTSIDE = ("export", "quant", "runtime.bench", "runtime.frozen")


def _runs(module: str) -> bool:
    own = module.removeprefix("refact_edge.")
    return not own.startswith(_OUTSIDE)


hiddenimports = collect_submodules("refact_edge", filter=_runs, on_error="ignore")
excludedimports = ["huggingface_hub", "refact_edge.export", "refact_edge.quant", "tkinter"]
binaries = [
    (str(file), str(Path("refact_edge") / _KERNELS))
    for file in (_PACKAGE / _KERNELS).glob("_edge.*")
    if file.suffix in (".so", ".dylib", ".dll")
]
datas = [
    *collect_data_files("refact_edge", includes=["runtime/serve/page/*"]),
    *copy_metadata("refact-edge"),
]
