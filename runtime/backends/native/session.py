"""A session without onnxruntime: a step in C, over int4's or int8's weights as they lie there.

Nothing is laid out or copied: the file is mapped, and read as the step goes. Results do not depend
on which tokens are evaluated together, to the last bit.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...bundle.verified import Verified
from ...engine.cache import KvCache
from ...engine.kv_type import FP32, KvType
from ...errors import ClosedError, OptionError
from ...machine.cores import fast_cores
from ...machine.forks import ForkableLock
from .fits import OtherGraphError
from .library import Native, opened
from .program import Program, build_program

INT4, INT8 = VARIANTS = ("int4", "int8")


class NativeSession:
    """A session of int4 or int8 on a CPU: see `engine.session.Session`. Steps run one at a time."""

    device = "cpu"

    def __init__(
        self,
        verified: Verified,
        *,
        threads: int | None = None,
        cpu: str | None = None,
        native: Native | None = None,
        copied: bool = False,
        kv_type: KvType = FP32,
    ) -> None:
        """Map a verified variant, or read a copy of its weights into memory.

        `cpu` names one of the ways to compute, and `kv_type` is that of the caches, in which also
        the tokens of a step itself are read.

        Raises:
            OtherGraphError: when the kernels do not take such a model.
            OptionError: when there is no library, or this CPU cannot do what `cpu` names.
            MemoryError: when there is no memory for its threads.

        """
        self.sizes, self.kv_type = verified.sizes, kv_type
        rows = self.sizes.context, kv_type.row_bytes(self.sizes), 2 * self.sizes.layers
        self._layout = rows  # of its caches
        self._edge = ctypes.c_void_p()  # as `close` may come before there is more
        self._lock = ForkableLock()
        self._native = native or opened()
        self.cpu = cpu or self._native.best
        self.decoder = verified.variant.decoder
        self.program: Program | None = self._read_program(verified, copied)
        if self.cpu not in self._native.able:
            raise OptionError(f"this CPU cannot compute as {self.cpu!r}")
        self._open(self.program, threads or fast_cores())

    def _read_program(self, verified: Verified, copied: bool) -> Program:
        if verified.kv_type != "float32":
            raise OtherGraphError(f"a cache of {verified.kv_type}; it runs on onnxruntime only")
        path = verified.weights_file
        data: npt.NDArray[np.uint8] = (
            np.fromfile(path, np.uint8) if copied else np.memmap(path, np.uint8, mode="r")
        )
        places = verified.variant.weights
        decoder = replace(self.decoder, context=self.sizes.context)
        return build_program(decoder, places, data, self._native.constants, self.kv_type.name)

    def _open(self, program: Program, threads: int) -> None:
        done = self._native.functions.edge_open(
            ctypes.byref(program.c), threads, self.cpu.encode(), ctypes.byref(self._edge)
        )
        if done == self._native.constants["EDGE_NO_MEMORY"]:
            raise MemoryError(f"no memory for {threads} threads of the native kernels")
        if done != self._native.constants["EDGE_DONE"]:
            raise OtherGraphError(
                "the bundle has sizes that the native kernels do not take; it runs on onnxruntime "
                "only"
            )

    @property
    def engine(self) -> str:
        """What computes, in words."""
        return f"native kernels ({self.cpu})"

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End its threads, give back its memory and let go of the bundle's file.

        Windows replaces and removes no file that is mapped.
        """
        with self._lock:
            edge, self._edge = self._edge, ctypes.c_void_p()
            if edge:
                self._native.functions.edge_close(edge)
            self.program = None  # which held the file

    def new_cache(self) -> KvCache:
        """Return an empty cache."""
        return KvCache.in_memory(self.sizes, self.kv_type)

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V]."""
        if (cache.context, cache.row_bytes, len(cache.buffers)) != self._layout:
            raise ValueError("the cache is another model's")
        cache.check_room(len(ids))
        ids = np.ascontiguousarray(ids, np.int64)
        if not 0 < keep <= len(ids):
            raise ValueError(f"keep {keep} of {len(ids)} tokens")
        if int(ids.min()) < 0 or int(ids.max()) >= self.sizes.vocabulary:
            raise ValueError(f"ids {ids}; expected some from 0 to {self.sizes.vocabulary - 1}")
        logits = np.empty((keep, self.sizes.vocabulary), np.float32)
        buffers = (ctypes.c_void_p * len(cache.pointers))(*cache.pointers)
        with self._lock:
            if not self._edge:
                raise ClosedError
            done = self._native.functions.edge_step(
                self._edge,
                ids.ctypes.data,
                len(ids),
                len(cache.ids),
                buffers,
                keep,
                logits.ctypes.data,
            )
        if done == self._native.constants["EDGE_NO_MEMORY"]:
            raise MemoryError(f"no memory for a step of {len(ids)} tokens")
        if done != self._native.constants["EDGE_DONE"]:
            raise ValueError(f"a step of {len(ids)} tokens behind {len(cache.ids)} is refused")
        cache.ids.extend(ids.tolist())
        return logits
