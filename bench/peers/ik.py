"""ik_llama.cpp as a worker, through the four functions of `ik.c`.

Usage: python -m bench.peers.ik LIBRARY FILE THREADS [repacked]

A slot whose name begins with "flash" has flash attention on, any other has it off.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence

from .worker import serve

BATCH, CONTEXT = 512, 4096  # as llama.cpp's


class IkLlama:
    """One context."""

    def __init__(self, library: ctypes.CDLL, model: int, flash: bool, threads: int) -> None:
        self._library, self._past = library, 0
        self._context = library.ik_open(model, CONTEXT, BATCH, threads, flash)
        if not self._context:
            raise SystemExit("ik_llama.cpp could not make a context")

    def feed(self, ids: Sequence[int]) -> None:
        """Evaluate `ids`, a batch at a time."""
        for at in range(0, len(ids), BATCH):
            piece = ids[at : at + BATCH]
            tokens = (ctypes.c_int32 * len(piece))(*piece)
            if failed := self._library.ik_feed(self._context, tokens, len(piece), self._past):
                raise SystemExit(f"ik_llama.cpp's llama_decode: {failed}")
            self._past += len(piece)

    def rewind(self, tokens: int) -> None:
        """Remove the rows of all later positions."""
        self._library.ik_rewind(self._context, tokens)
        self._past = tokens


def opened(path: str) -> ctypes.CDLL:
    """Return the library, its functions declared."""
    library = ctypes.CDLL(path)
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.ik_load.restype, library.ik_load.argtypes = pointer, [ctypes.c_char_p, number]
    library.ik_open.restype, library.ik_open.argtypes = pointer, [pointer, *[number] * 4]
    library.ik_feed.restype, library.ik_feed.argtypes = number, [pointer, pointer, number, number]
    library.ik_rewind.restype, library.ik_rewind.argtypes = None, [pointer, number]
    return library


def main() -> None:
    """Load the file, and work."""
    path, file, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])

    def load() -> Callable[[str], IkLlama]:
        library = opened(path)
        model = library.ik_load(file.encode(), "repacked" in sys.argv[4:])
        if not model:
            raise SystemExit(f"ik_llama.cpp could not load {file}")
        return lambda slot: IkLlama(library, model, slot.startswith("flash"), threads)

    serve(load, lambda: {})


if __name__ == "__main__":
    main()
