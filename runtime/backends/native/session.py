"""A session without onnxruntime: int4's step in C, over the weights as they lie in the bundle.

Nothing is laid out or copied: the file is mapped, and read as the step goes. Results do not depend
on which tokens are evaluated together, to the last bit.
"""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from ...bundle.onnxfile import OnnxGraph
from ...bundle.verified import Verified
from ...engine.cache import KvCache
from ...errors import OptionError
from ...machine.cores import fast_cores
from ...machine.forks import ForkableLock
from ...machine.library import DONE, NO_MEMORY, CLayer, CMatrix, CModel, Native, opened
from . import weights

VARIANT, ARCHITECTURE = "int4", "gpt_refact"


class NativeSession:
    """A session of int4 on a CPU: see `engine.session.Session`. Steps run one at a time."""

    device = "cpu"

    def __init__(
        self,
        verified: Verified,
        *,
        threads: int | None = None,
        cpu: str | None = None,
        native: Native | None = None,
        copied: bool = False,
    ) -> None:
        """Map a verified int4, or read a copy of its weights into memory.

        `cpu` names one of the ways to compute.

        Raises:
            OtherGraphError: when its graph is not the step that the library takes.
            OptionError: when there is no library, or this CPU cannot do what `cpu` names.
            MemoryError: when there is no memory for its threads.

        """
        self.sizes = verified.sizes
        self._edge = ctypes.c_void_p()  # as `close` may come before there is more
        self._held: list[object] = []  # what the library points at
        self._lock = ForkableLock()
        self._library = (native or opened()).functions
        self.cpu = cpu or (native or opened()).best
        graph_path, data_path = verified.graph_file, verified.weights_file
        self._data: npt.NDArray[np.uint8] = (
            np.fromfile(data_path, np.uint8) if copied else np.memmap(data_path, np.uint8, mode="r")
        )
        known = verified.bundle.architecture, verified.kv_type
        if known != (ARCHITECTURE, "float32"):
            raise weights.OtherGraphError(f"{' with a cache of '.join(known)} is not known here")
        self.model = self._describe(verified.graph)
        if self.cpu not in (native or opened()).able:
            raise OptionError(f"this CPU cannot compute as {self.cpu!r}")
        count = threads or fast_cores()
        done = self._library.edge_open(
            ctypes.byref(self.model), count, self.cpu.encode(), ctypes.byref(self._edge)
        )
        if done == NO_MEMORY:
            raise MemoryError(f"no memory for {count} threads of the native kernels")
        if done != DONE:
            raise weights.OtherGraphError(
                f"{graph_path} has sizes that the native kernels do not take; it runs on "
                "onnxruntime only"
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
                self._library.edge_close(edge)
            self.model = CModel()  # which pointed to the data
            self._data = np.empty(0, np.uint8)
            self._held.clear()

    def new_cache(self) -> KvCache:
        """Return an empty cache."""
        return KvCache.in_memory(self.sizes, np.dtype(np.float32))

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V]."""
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
                raise ValueError("the session is closed")
            done = self._library.edge_step(
                self._edge,
                ids.ctypes.data,
                len(ids),
                len(cache.ids),
                buffers,
                keep,
                logits.ctypes.data,
            )
        if done == NO_MEMORY:
            raise MemoryError(f"no memory for a step of {len(ids)} tokens")
        if done != DONE:
            raise ValueError(f"a step of {len(ids)} tokens behind {len(cache.ids)} is refused")
        cache.ids.extend(ids.tolist())
        return logits

    def _describe(self, graph: OnnxGraph) -> CModel:
        """Return the model as the library sees it: pointers into the mapped file."""
        sizes, turn = self.sizes, weights.turn(graph)
        weights.check_operators(graph, sizes, turned=turn is not None)
        hidden = weights.rows_of(graph, f"{_layer_name(0)}.mlp.gate_up") // 2
        turn_size = turn.dims[0] if turn else 0
        _check_gates(hidden, turn_size)
        layers = (CLayer * sizes.layers)(
            *(self._layer(graph, i, hidden) for i in range(sizes.layers))
        )
        start, length = weights.bytes_of(turn) if turn else (0, 0)
        turned = np.frombuffer(self._data[start : start + length].tobytes(), np.float32)
        slopes = np.array(weights.alibi_slopes(sizes.heads), np.float32)
        self._held += [turned, slopes, layers]
        return CModel(
            layers=sizes.layers,
            heads=sizes.heads,
            head_size=sizes.head_size,
            width=sizes.width,
            hidden=hidden,
            vocabulary=sizes.vocabulary,
            context=sizes.context,
            turn_size=turn_size,
            epsilon=weights.epsilon(graph),
            slopes=slopes.ctypes.data,
            turn=turned.ctypes.data if turn else None,
            norm=self._vector(graph, "norm.weight"),
            embedding=self._matrix(
                graph, "embedding", sizes.vocabulary, sizes.width, whole_blocks=False
            ),
            head=self._matrix(graph, "head", sizes.vocabulary, sizes.width),
            blocks=layers,
            data=self._data.ctypes.data,
            data_bytes=self._data.nbytes,
        )

    def _layer(self, graph: OnnxGraph, index: int, hidden: int) -> CLayer:
        """Return one layer, whose sizes must be those of all others."""
        sizes, at = self.sizes, _layer_name(index)
        inside = sizes.heads * sizes.head_size
        return CLayer(
            norm1=self._vector(graph, f"{at}.norm1.weight"),
            norm2=self._vector(graph, f"{at}.norm2.weight"),
            q=self._matrix(graph, f"{at}.attention.q", inside, sizes.width),
            kv=self._matrix(graph, f"{at}.attention.kv", 2 * sizes.head_size, sizes.width),
            out=self._matrix(graph, f"{at}.attention.out", sizes.width, inside),
            gate_up=self._matrix(graph, f"{at}.mlp.gate_up", 2 * hidden, sizes.width),
            down=self._matrix(graph, f"{at}.mlp.down", sizes.width, hidden),
        )

    def _matrix(
        self, graph: OnnxGraph, name: str, rows: int, cols: int, *, whole_blocks: bool = True
    ) -> CMatrix:
        place = weights.matrix(graph, name, rows, cols, whole_blocks=whole_blocks)
        codes, scales = (self._address(offset) for offset in (place.codes, place.scales))
        return CMatrix(codes, scales, rows, cols, place.bits)

    def _vector(self, graph: OnnxGraph, name: str) -> int:
        return self._address(weights.vector(graph, name, self.sizes.width))

    def _address(self, offset: int) -> int:
        start: int = self._data.ctypes.data
        return start + offset


def _layer_name(index: int) -> str:
    return f"layers.{index}"


def _check_gates(hidden: int, turn_size: int) -> None:
    """Make sure that gates are made in whole pieces: of a block, or of a turn that is larger."""
    piece = max(turn_size, weights.BLOCK)
    even = not turn_size or piece % turn_size == piece % weights.BLOCK == hidden % piece == 0
    if hidden % 16 or turn_size > BIGGEST_TURN or not even:
        raise weights.OtherGraphError(
            f"{hidden} values turned by {turn_size}; runs on onnxruntime only"
        )


BIGGEST_TURN = 1024  # of which rows.h has room for one
