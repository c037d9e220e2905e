"""onnxruntime, and nothing else: opens a verified graph and runs one step over a KV cache.

The only file that imports onnxruntime. Version 1.29 and later write a device id under the home
folder and may send data out from the moment of the import; only the environment variable set
here, before the import, prevents it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.contract import (
    INPUT_IDS,
    LOGITS,
    LOGITS_TO_KEEP,
    check_shapes,
    past_name,
    present_name,
)
from ..bundle.verified import VerifiedGraph
from ..engine.cache import Allocation, KvCache, row_width
from ..engine.kv_type import graph_type
from ..errors import (
    BundleError,
    ClosedError,
    DeviceError,
    MissingExtraError,
    RefactEdgeWarning,
    one_line,
)
from ..machine.cores import fast_cores
from . import cuda, denormals
from .absence import remedy
from .probe import bytes_multiply_exactly
from .weights_file import give, out_of_reach

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# By itself onnxruntime takes twice the memory each time, up to twice what there has to be.
_CAPTURED = {"enable_cuda_graph": "1", "arena_extend_strategy": "kSameAsRequested"}
_ERRORS_ONLY, FATAL_ONLY = 3, 4
PREPACKED_WEIGHTS = "weights.bin"
TELEMETRY = "ORT_DISABLE_TELEMETRY"


def warn_of_telemetry() -> None:
    """Warn when the host program imported onnxruntime first, with its telemetry on; once."""
    if "onnxruntime" in sys.modules and os.environ.get(TELEMETRY) != "1":
        warnings.warn(
            "onnxruntime was imported before refact-edge opened a model, with its telemetry on: it "
            f"may write under the home folder and send data; set {TELEMETRY}=1 before that import",
            RefactEdgeWarning,
            stacklevel=4,
        )
        os.environ[TELEMETRY] = "1"


def import_onnxruntime() -> ModuleType:
    """Import onnxruntime with its telemetry off.

    Raises:
        MissingExtraError: when no onnxruntime wheel is installed.

    """
    os.environ[TELEMETRY] = "1"
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        raise MissingExtraError("onnxruntime", "cpu", remedy()) from error
    except ImportError as error:
        # Installed, but a library of the system is missing or too old.
        raise DeviceError(f"onnxruntime is installed and cannot be loaded: {error}") from error
    module: ModuleType = onnxruntime
    return module


# How long a thread spins before it sleeps; onnxruntime's own second of it takes a busy core's time
# from whoever has work. Steps of the 1.6B shape take about as long as with it on idle cores and 0.6
# to 0.75 as long beside a busy one (`python -m bench.busy`). Versions that do not know the setting
# leave it aside.
SPIN_US = "10"


def ask_for_exact_products(settings: Any) -> None:
    """Have bytes multiplied exactly by a session of onnxruntime, also where that is slower."""
    with denormals.as_zeros():  # a process's first session sets its thread's state for good
        exact = bytes_multiply_exactly(import_onnxruntime())
    if not exact:
        settings.add_session_config_entry("session.x64quantprecision", "1")


@dataclass(frozen=True)
class SessionOptions:
    """How a graph is run.

    Args:
        device: cpu or cuda.
        threads: None means one a fast physical core.
        saved_as: where to keep the graph as it was laid out for this machine, with its weights in
            `PREPACKED_WEIGHTS` beside it; see `prepack.py`.
        copied: whether the weights are read into memory and not mapped.
        entries: more of onnxruntime's own settings, for measuring.

    """

    device: str = "cpu"
    threads: int | None = None
    saved_as: Path | None = None
    copied: bool = False
    entries: Mapping[str, str] = field(default_factory=dict)


def has_cuda_library() -> bool:
    """Whether the installed onnxruntime, if there is one, comes with its CUDA provider.

    onnxruntime is not imported for this, which takes its time.
    """
    spec = importlib.util.find_spec("onnxruntime")
    folders = (spec.submodule_search_locations if spec else None) or ()
    return any(cuda.provider_library(Path(folder)) for folder in folders)


def why_not_cuda() -> str:
    """Say why the installed onnxruntime cannot use CUDA; "" where it can.

    Raises:
        MissingExtraError: when no onnxruntime wheel is installed.
        DeviceError: when the installed one cannot be loaded.

    """
    onnxruntime = import_onnxruntime()
    providers = onnxruntime.get_available_providers()
    if _CUDA not in providers:
        return (
            f"the installed onnxruntime offers only {', '.join(providers)}; install "
            "'refact-edge[gpu]' in place of the cpu extra, or use device cpu"
        )
    return cuda.why_not(onnxruntime)


class OnnxruntimeSession:
    """A session of onnxruntime: see `engine.session.Session`. Steps of several threads overlap."""

    def __init__(self, verified: VerifiedGraph, options: SessionOptions) -> None:
        """Open a graph that was verified.

        Raises:
            BundleError: when onnxruntime cannot open the graph, or it is not what `sizes` says.
            OptionError: when the weights must come from memory and this version takes none there.
            CudaStartError: when device is cuda and CUDA does not start.

        """
        self.sizes, self.device = verified.sizes, options.device
        self._graph = verified.graph_file
        self.kv_type = graph_type(verified.kv_type)
        self._ort = import_onnxruntime()
        self._run_options = self._ort.RunOptions()
        self._run_options.log_severity_level = FATAL_ONLY  # all else is raised, and told by us
        self._session = open_graph(verified, options)
        self._parts = [
            (past_name(layer, part), present_name(layer, part))
            for layer in range(self.sizes.layers)
            for part in ("key", "value")
        ]
        self._check_sizes()

    @property
    def engine(self) -> str:
        """What computes, in words."""
        return f"onnxruntime {self._ort.__version__}"

    @property
    def providers(self) -> list[str]:
        """Execution providers in use, as onnxruntime names them."""
        return list(self._session.get_providers())

    def close(self) -> None:
        """Let go of the graph, its threads and its weights, once no step runs any more."""
        self._session = None

    def new_cache(self) -> KvCache:
        """Return an empty cache for one sequence of at most `sizes.context` tokens."""
        if self.device == "cpu":
            return KvCache.in_memory(self.sizes, self.kv_type)
        return KvCache.allocate(self.sizes, self.kv_type, self._on_device)

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V].

        The new keys and values are written behind the cached rows, and `cache` then holds T more
        tokens. Past and present are two views of one buffer.
        """
        session, new, past = self._session, len(ids), len(cache.ids)
        if session is None:
            raise ClosedError
        if cache.row_bytes != self.kv_type.row_bytes(self.sizes):  # as it has pointers alone
            raise ValueError("the cache is another model's")
        cache.check_room(new)
        width, kv_type = row_width(self.sizes), self.kv_type.dtype
        logits = np.empty((1, keep, self.sizes.vocabulary), np.float32)
        # onnxruntime keeps only pointers: these arrays must live until the run is over.
        rows, count = np.ascontiguousarray(ids[None, :], np.int64), np.array(keep, np.int64)
        binding = session.io_binding()
        binding.bind_cpu_input(INPUT_IDS, rows)
        binding.bind_cpu_input(LOGITS_TO_KEEP, count)
        binding.bind_output(LOGITS, "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        for (past_input, present_output), pointer in zip(self._parts, cache.pointers, strict=True):
            binding.bind_input(past_input, self.device, 0, kv_type, [1, 1, past, width], pointer)
            binding.bind_output(
                present_output, self.device, 0, kv_type, [1, 1, new, width],
                pointer + past * cache.row_bytes,
            )  # fmt: skip
        try:
            with denormals.as_zeros():
                session.run_with_iobinding(binding, self._run_options)
        except Exception as error:
            if not is_onnxruntimes(error):
                raise
            raise BundleError(
                f"{self._graph} cannot be run by {self.engine}: {_reason(error)}; export the model "
                "again"
            ) from error
        cache.ids.extend(ids.tolist())
        first: npt.NDArray[np.float32] = logits[0]
        return first

    def _on_device(self, shape: tuple[int, ...]) -> Allocation:
        value = self._ort.OrtValue.ortvalue_from_shape_and_type(
            list(shape), self.kv_type.dtype, self.device, 0
        )
        return Allocation(value.data_ptr(), value)

    def _check_sizes(self) -> None:
        """Compare the graph with the manifest: the engine hands out memory by these numbers."""
        values = (*self._session.get_inputs(), *self._session.get_outputs())
        check_shapes({value.name: value.shape for value in values}, self.sizes)


def open_graph(verified: VerifiedGraph, options: SessionOptions, *, captured: bool = False) -> Any:
    """Return onnxruntime's own session of a graph; `captured`, its steps may be CUDA graphs.

    Raises:
        BundleError: when onnxruntime cannot open the graph.
        OptionError: when the weights must come from memory and this version takes none there.
        CudaStartError: when device is cuda and CUDA does not start.

    """
    if options.device == "cpu":
        return _open_on([_CPU], verified, options)
    reason = cuda.UNSAID
    own = (_CUDA, _CAPTURED) if captured else _CUDA
    try:
        with cuda.quiet(import_onnxruntime()):
            session = _open_on([own, _CPU], verified, options)
        if _CUDA in session.get_providers():
            return session
    except BundleError as error:
        reason = cuda.in_words(str(error.__cause__ or error))
    raise cuda.CudaStartError(reason)


def _open_on(providers: list[Any], verified: VerifiedGraph, options: SessionOptions) -> Any:
    graph, weights_file, ort = verified.graph_file, verified.weights_file, import_onnxruntime()
    try:
        str(graph).encode()
    except UnicodeEncodeError as error:
        raise BundleError(
            f"{graph}: onnxruntime opens no path that is not UTF-8; rename its folders"
        ) from error
    settings, version = _settings(options), ort.__version__
    copied = options.copied or out_of_reach(graph, weights_file, version)
    weights = give(settings, weights_file, version) if copied else None
    try:
        # Its own fallback would print to standard output and hide the reason.
        return ort.InferenceSession(str(graph), settings, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime raises types of its own, not exported
        first = providers[0] if isinstance(providers[0], str) else providers[0][0]
        raise BundleError(
            f"{graph} cannot be opened by onnxruntime {version} ({first}): {_reason(error)}"
        ) from error
    finally:
        del weights  # onnxruntime has copied of it what it needs


def _settings(options: SessionOptions) -> Any:
    settings = import_onnxruntime().SessionOptions()
    settings.intra_op_num_threads = options.threads or fast_cores()
    settings.inter_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")  # in its threads
    # That CUDA does not start is told by us, as a reason to do without it.
    settings.log_severity_level = _ERRORS_ONLY if options.device == "cpu" else FATAL_ONLY
    if options.saved_as is not None:
        settings.optimized_model_filepath = str(options.saved_as)
        for name, value in (
            ("save_external_prepacked_constant_initializers", "1"),
            ("optimized_model_external_initializers_file_name", PREPACKED_WEIGHTS),
            ("optimized_model_external_initializers_min_size_in_bytes", "1024"),
        ):
            settings.add_session_config_entry(f"session.{name}", value)
    for name, value in options.entries.items():
        settings.add_session_config_entry(name, value)
    ask_for_exact_products(settings)
    return settings


def is_onnxruntimes(error: Exception) -> bool:
    """Whether onnxruntime raised it: a RuntimeError, or one of its own types, without a base."""
    own = type(error).__module__.partition(".")[0] == "onnxruntime"
    return own or isinstance(error, RuntimeError)


def _reason(error: Exception) -> str:
    return one_line(next(iter(str(error).strip().splitlines()), type(error).__name__))
