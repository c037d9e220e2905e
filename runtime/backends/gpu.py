"""A GPU by onnxruntime, with the graphs that are made for it; see export/gpu.py.

There is one set of buffers, filled by the cache whose turn it is, as a captured launch has fixed
addresses. Another cache's rows are parked in this computer's memory meanwhile. Steps of few tokens
are captured, a launch each; prompts, of any length, are not.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle import gpu
from ..bundle.contract import INPUT_IDS, LOGITS, past_name, present_name
from ..bundle.verified import VerifiedGpuGraph
from ..engine.cache import KvCache
from ..errors import BundleError, ClosedError, DeviceError, one_line
from .cuda import CudaStartError, in_words, quiet
from .onnxruntime import (
    FATAL_ONLY,
    SessionOptions,
    import_onnxruntime,
    is_onnxruntimes,
    open_graph,
)

# Steps of one new token, and of one with its draft. A step takes the next length that is captured:
# what is written too much lies behind all that is seen, and is written over.
CAPTURED = (1, 4, 8, 16)
_UNCAPTURED = -1  # to onnxruntime: no capture, and no replay

Floats = npt.NDArray[np.float32]
Values = Mapping[str, Any]  # OrtValues by the names of inputs or outputs


class GpuError(DeviceError):
    """A step failed on the GPU, which may be of no more use to this process."""


@dataclass
class GpuCache(KvCache):
    """The cache of one sequence: in the session's buffers, or parked here.

    Args:
        session: whose it is.
        parked: its buffers' content, while another sequence is in them.
        moved: the same tokens' cache on the CPU, once the GPU has failed.

    """

    session: GpuSession | None = None
    parked: list[npt.NDArray[np.float16]] = field(default_factory=list)
    moved: KvCache | None = None

    @property
    def held_bytes(self) -> int:
        """Memory of this computer that it takes."""
        moved = self.moved.held_bytes if self.moved else 0
        return moved + sum(part.nbytes for part in self.parked)

    def copy(self, other: KvCache, rows: int) -> None:
        """Become a copy of the first `rows` rows of another cache."""
        if self.session is None or not isinstance(other, GpuCache):
            return
        self.parked = self.session.content(other)
        self.ids, self.forgotten = other.ids[:rows], other.ids[rows:]


@dataclass(frozen=True)
class _Run:
    """A length of steps: its binding, what is written before it, and what is read after it."""

    binding: Any
    options: Any
    inputs: Values
    outputs: Values


class GpuSession:
    """A session of onnxruntime on a GPU: see `engine.session.Session`. One step runs at a time."""

    def __init__(self, verified: VerifiedGpuGraph, options: SessionOptions) -> None:
        """Open a graph that was verified; on device cpu it computes the same, for tests.

        On a GPU a step is run, so that what it lacks shows now.

        Raises:
            BundleError: when onnxruntime cannot open the graph.
            CudaStartError: when device is cuda, and CUDA does not start or has no room.

        """
        self.sizes, self.device = verified.sizes, options.device
        self._decoder, self._folded = verified.decoder, verified.folded
        self._ort = import_onnxruntime()
        self._session = open_graph(verified, options, captured=options.device == "cuda")
        tables = gpu.tables(self._decoder, self.sizes.context, folded=self._folded)
        self._check_inputs(verified.graph_file, tables)
        self._lock = threading.Lock()
        self._holder: weakref.ref[GpuCache] | None = None  # whose rows are in the buffers
        self._runs: dict[int, _Run] = {}
        try:
            self._allocate(tables)
            if self.device == "cuda":
                with quiet(self._ort):
                    self.step(np.zeros(1, np.int64), self.new_cache())
        except GpuError as error:
            raise CudaStartError(str(error)) from error
        except Exception as error:
            if not is_onnxruntimes(error):
                raise
            raise CudaStartError(in_words(str(error))) from error

    def _check_inputs(self, file: Path, tables: Mapping[str, gpu.Table]) -> None:
        """Compare the graph's inputs with those that will be bound."""
        there = {value.name for value in self._session.get_inputs()}
        parts = [(i, part) for i in range(self.sizes.layers) for part in ("key", "value")]
        own = {INPUT_IDS, gpu.LOGIT_ROWS, gpu.FILLED, gpu.CAPACITY, *tables}
        missing = (own | {past_name(*part) for part in parts}) - there
        if missing:
            raise BundleError(
                f"{file} lacks the inputs {one_line(', '.join(sorted(missing)[:5]))}; export the "
                "model again"
            )

    def _allocate(self, tables: Mapping[str, gpu.Table]) -> None:
        """Take the memory of the cache and the tables."""
        self._buffers = self._new_buffers()
        self._filled = self._on_device(np.zeros(1, np.int32))
        capacity = np.array(self.sizes.context, np.int32)
        self._fixed: Values = {
            gpu.FILLED: self._filled,
            gpu.CAPACITY: self._ort.OrtValue.ortvalue_from_numpy(capacity),
            **{name: self._on_device(table) for name, table in tables.items()},
        }

    @property
    def engine(self) -> str:
        """What computes, in words."""
        return f"onnxruntime {self._ort.__version__}"

    @property
    def providers(self) -> list[str]:
        """Execution providers in use, as onnxruntime names them."""
        return list(self._session.get_providers())

    def close(self) -> None:
        """Let go of the graph, its memory and its threads, once no step runs any more."""
        with self._lock:
            self._session = None
            self._runs, self._buffers, self._fixed = {}, [], {}

    def new_cache(self) -> GpuCache:
        """Return an empty cache for one sequence of at most `sizes.context` tokens."""
        width = self.sizes.kv_heads * gpu.row_size(self._decoder, folded=self._folded)
        return GpuCache(self.sizes.context, 2 * width, [], session=self)

    def step(self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1) -> Floats:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V].

        Raises:
            GpuError: when the GPU fails, as for want of memory; `cache` is as it was.
            PromptError: when they outgrow the context.
            ClosedError: when the session is closed.
            ValueError: when the cache is another's.

        """
        if not isinstance(cache, GpuCache) or cache.session is not self:
            raise ValueError("the cache is another model's")
        cache.check_room(len(ids))
        with self._lock:
            if self._session is None:
                raise ClosedError
            try:
                return self._run(ids, cache, keep)
            except Exception as error:
                if not is_onnxruntimes(error):
                    raise
                raise GpuError(in_words(str(error))) from error

    def _run(self, ids: npt.NDArray[np.int64], cache: GpuCache, keep: int) -> Floats:
        new, past = len(ids), len(cache.ids)
        self._activate(cache)
        fitting = (each for each in CAPTURED if new <= each <= cache.context - past)
        length = next(fitting, 0)
        run = self._captured(length) if length else self._free(new, keep)
        self._write(run, ids, past, length or new)
        self._session.run_with_iobinding(run.binding, run.options)
        last = slice(new - keep, new) if length else slice(0, keep)
        logits = self._read(run.outputs, last, candidates=cache.candidates_suffice)
        cache.ids.extend(ids.tolist())
        return logits

    def content(self, cache: GpuCache) -> list[npt.NDArray[np.float16]]:
        """Return a copy of what is in a cache's buffers, wherever that is."""
        with self._lock:
            if self._holds(cache):
                return self._downloaded()
            return [part.copy() for part in cache.parked]

    def _holds(self, cache: GpuCache) -> bool:
        return self._holder is not None and self._holder() is cache

    def _activate(self, cache: GpuCache) -> None:
        """Have the rows of a cache in the buffers."""
        if self._holds(cache):
            return
        before = self._holder() if self._holder else None
        if before is not None and before.ids:
            before.parked = self._downloaded()
        self._holder = None  # nobody's, should a copy fail on its way
        for buffer, part in zip(self._buffers, cache.parked, strict=False):
            buffer.update_inplace(part)
        cache.parked, self._holder = [], weakref.ref(cache)

    def _downloaded(self) -> list[npt.NDArray[np.float16]]:
        return [np.array(buffer.numpy()) for buffer in self._buffers]

    def _write(self, run: _Run, ids: npt.NDArray[np.int64], past: int, length: int) -> None:
        """Write the new ids, padded to the step's length, and where they lie."""
        padded = np.zeros((1, length), np.int64)
        padded[0, : len(ids)] = ids
        run.inputs[INPUT_IDS].update_inplace(padded)
        if gpu.PLACES in run.inputs:
            run.inputs[gpu.PLACES].update_inplace(np.arange(past, past + length))
        self._filled.update_inplace(np.array([past + length - 1], np.int32))

    def _read(self, outputs: Values, rows: slice, *, candidates: bool) -> Floats:
        if not candidates:
            logits: Floats = outputs[LOGITS].numpy()[rows].astype(np.float32)
            return logits
        values = outputs[gpu.CANDIDATE_LOGITS].numpy()[rows].astype(np.float32)
        places = outputs[gpu.CANDIDATE_IDS].numpy()[rows]
        spread = np.full((len(values), self.sizes.vocabulary), -np.inf, np.float32)
        np.put_along_axis(spread, places, values, axis=1)
        return spread

    def _captured(self, length: int) -> _Run:
        """Return what steps of a captured length are run by; logits are of all their tokens."""
        if length not in self._runs:
            self._runs[length] = self._bound(length, np.arange(length), length)
        return self._runs[length]

    def _free(self, new: int, keep: int) -> _Run:
        """Return what one step of any length is run by; logits are of its last tokens."""
        return self._bound(new, np.arange(new - keep, new), _UNCAPTURED)

    def _bound(self, length: int, logit_rows: npt.NDArray[np.int64], capture: int) -> _Run:
        inputs = {INPUT_IDS: self._on_device(np.zeros((1, length), np.int64))}
        if gpu.PLACES in {value.name for value in self._session.get_inputs()}:
            inputs[gpu.PLACES] = self._on_device(np.zeros(length, np.int64))
        rows, most = len(logit_rows), min(gpu.CANDIDATES, self.sizes.vocabulary)
        outputs = {
            LOGITS: self._empty((rows, self.sizes.vocabulary), np.float16),
            gpu.CANDIDATE_LOGITS: self._empty((rows, most), np.float16),
            gpu.CANDIDATE_IDS: self._empty((rows, most), np.int64),
        }
        binding = self._session.io_binding()
        fixed = {**self._fixed, gpu.LOGIT_ROWS: self._on_device(logit_rows)}
        for name, value in (*fixed.items(), *inputs.items()):
            binding.bind_ortvalue_input(name, value)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        parts = [(i, part) for i in range(self.sizes.layers) for part in ("key", "value")]
        for part, buffer in zip(parts, self._buffers, strict=True):
            binding.bind_ortvalue_input(past_name(*part), buffer)
            binding.bind_ortvalue_output(present_name(*part), buffer)
        options = self._ort.RunOptions()
        options.log_severity_level = FATAL_ONLY  # all else is raised, and told by us
        options.add_run_config_entry("gpu_graph_id", str(capture))
        # A binding has but pointers to what it was given: `fixed` has to live as long.
        return _Run(binding, options, {**fixed, **inputs}, outputs)

    def _new_buffers(self) -> list[Any]:
        """Return the cache's buffers, zeros: what was never written may be multiplied by zero."""
        row = gpu.row_size(self._decoder, folded=self._folded)
        shape = (1, self.sizes.kv_heads, self.sizes.context, row)
        return [self._on_device(np.zeros(shape, np.float16)) for _ in range(2 * self.sizes.layers)]

    def _on_device(self, array: npt.NDArray[Any]) -> Any:
        return self._ort.OrtValue.ortvalue_from_numpy(array, self.device, 0)

    def _empty(self, shape: tuple[int, ...], type: type[np.generic]) -> Any:
        make = self._ort.OrtValue.ortvalue_from_shape_and_type
        return make(list(shape), type, self.device, 0)
