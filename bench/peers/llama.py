"""llama.cpp as a worker, run by the peers' python: imports nothing of ours but the worker's loop.

Usage: python -m bench.peers.llama FILE THREADS LIBRARY

LIBRARY is the one of its CPU libraries that computes, such as libggml-cpu-haswell.
A slot whose name begins with "flash" has flash attention on, any other has it off. Batches are of
512 tokens, as llama.cpp's own benchmark takes them.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llama_cpp

from .worker import serve

BATCH = 512
CONTEXT = 4096


class Llama:
    """One llama.cpp context, through its low-level functions."""

    def __init__(self, model: Any, flash: bool, threads: int) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, BATCH, BATCH
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if flash
            else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            raise SystemExit("llama.cpp could not make a context")
        self._memory = llama_cpp.llama_get_memory(self._context)

    def feed(self, ids: Sequence[int]) -> None:
        """Evaluate `ids`, a batch at a time."""
        for at in range(0, len(ids), BATCH):
            piece = ids[at : at + BATCH]
            tokens = (llama_cpp.llama_token * len(piece))(*piece)
            batch = llama_cpp.llama_batch_get_one(tokens, len(piece))
            failed = llama_cpp.llama_decode(self._context, batch)
            if failed:
                raise SystemExit(f"llama_decode: {failed}")
        llama_cpp.llama_get_logits_ith(self._context, -1)  # waits until they are there

    def rewind(self, tokens: int) -> None:
        """Remove the rows of all later positions."""
        llama_cpp.llama_memory_seq_rm(self._memory, 0, tokens, -1)


def take_library(name: str) -> None:
    """Have one CPU library compute: llama.cpp looks for the best one only where none is loaded.

    Raises:
        SystemExit: when it is not there, or this CPU cannot run it.

    """
    folder = Path(llama_cpp.__file__).parent / "lib"
    ending = ".dll" if sys.platform == "win32" else ".so"  # modules end so on macOS too
    general = {"win32": "ggml.dll", "darwin": "libggml.dylib"}.get(sys.platform, "libggml.so")
    load = ctypes.CDLL(str(folder / general)).ggml_backend_load
    load.restype, load.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    if not load(str(folder / f"{name}{ending}").encode()):
        raise SystemExit(f"llama.cpp's {name} is not there, or this CPU cannot run it")


def main() -> None:
    """Load the file, and work."""
    file, threads, library = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    take_library(library)
    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p())

    def load() -> Callable[[str], Llama]:
        params = llama_cpp.llama_model_default_params()
        model = llama_cpp.llama_model_load_from_file(file.encode(), params)
        if not model:
            raise SystemExit(f"llama.cpp could not load {file}")
        return lambda slot: Llama(model, slot.startswith("flash"), threads)

    # Which instructions the library that computes was compiled for.
    info = llama_cpp.llama_print_system_info().decode().strip()
    serve(load, lambda: {"llama-cpp-python": llama_cpp.__version__, library: f"({info})"})


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator] # has no types
def _SILENT(level: int, text: bytes, _data: object) -> None:  # noqa: N802 - a callback of C
    if level >= 4:  # errors
        sys.stderr.write(text.decode(errors="replace"))


if __name__ == "__main__":
    main()
