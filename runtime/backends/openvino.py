"""OpenVINO, and nothing else: runs steps of the same graphs over the same caches as onnxruntime.

The only file that imports openvino. Its package for telemetry is kept from being imported; without
it openvino sends and writes nothing.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.contract import INPUT_IDS, LOGITS, LOGITS_TO_KEEP, past_name, present_name
from ..bundle.verified import VerifiedGraph
from ..engine.cache import KvCache
from ..engine.kv_type import graph_type
from ..errors import BundleError, ClosedError, DeviceError, MissingExtraError, one_line
from .weights_file import check_openvino_follows

# On a Sapphire Rapids 2026.1 is 3 nats away from what the graph says, and 2026.2 as near as others.
_RIGHT_SINCE = (2026, 2)
_TELEMETRY = "openvino_telemetry"
_LOOKUP = "GatherBlockQuantized"
# Activations are rounded to bytes, as onnxruntime's kernels do; so many share a scale, which are as
# many as share one in our 4-bit weights.
_GROUP = 128


def import_openvino() -> ModuleType:
    """Import openvino without its telemetry.

    Raises:
        MissingExtraError: when it is not installed.
        DeviceError: when it is of a version whose values are wrong.

    """
    # What stands as None here cannot be imported: openvino then does without.
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]
    try:
        import openvino
        import openvino.frontend.onnx
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        raise MissingExtraError("openvino", "openvino") from error
    module: ModuleType = openvino
    version = module.__version__
    if tuple(map(int, version.split(".")[:2])) < _RIGHT_SINCE:
        raise DeviceError(
            f"openvino {version.partition('-')[0]} is installed, whose values are wrong on some "
            "CPUs; expected 2026.2 or later: pip install --upgrade openvino"
        )
    return module


def new_core(openvino: ModuleType) -> Any:
    """Return a core that knows the operators of our graphs."""
    core = openvino.Core()
    extension = openvino.frontend.onnx.ConversionExtension
    core.add_extension(extension(_LOOKUP, "com.microsoft", _looked_up))
    return core


class OpenVinoSession:
    """A session of openvino: see `engine.session.Session`. One step runs at a time."""

    device = "cpu"

    def __init__(
        self, verified: VerifiedGraph, threads: int | None = None, *, copied: bool = False
    ) -> None:
        """Open a verified int4, which takes some seconds; None threads are one a physical core.

        Weights are mapped, or with `copied` read into memory.

        Raises:
            BundleError: when openvino cannot open the graph.
            OptionError: when its weights are a link out of the graph's folder.
            MissingExtraError: when it is not installed.

        """
        graph = verified.graph_file
        check_openvino_follows(graph, verified.weights_file)
        self.sizes = sizes = verified.sizes
        self._kv_type = graph_type(verified.kv_type)
        self._openvino = openvino = import_openvino()
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # it would take bf16 where the CPU has it
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP,
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = new_core(openvino)
        core.set_property({"ENABLE_MMAP": not copied})
        try:
            self._compiled = core.compile_model(core.read_model(str(graph)), "CPU", settings)
        except Exception as error:  # openvino raises nothing more specific
            reason = one_line(next(reversed(str(error).strip().splitlines()), type(error).__name__))
            raise BundleError(
                f"{graph} cannot be opened by openvino {openvino.__version__}: {reason}"
            ) from error
        self._request: Any = self._compiled.create_infer_request()
        self._lock = threading.Lock()
        self._parts = [
            (past_name(layer, part), present_name(layer, part))
            for layer in range(sizes.layers)
            for part in ("key", "value")
        ]

    @property
    def engine(self) -> str:
        """What computes, in words."""
        return f"openvino {self._openvino.__version__}"

    def new_cache(self) -> KvCache:
        """Return an empty cache for one sequence of at most `sizes.context` tokens."""
        return KvCache.in_memory(self.sizes, self._kv_type)

    def close(self) -> None:
        """Let go of the graph, its threads and its weights."""
        with self._lock:
            self._request = self._compiled = None

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] after the tokens in `cache` and return the last `keep` logits [keep, V]."""
        cache.check_room(len(ids))
        tensor, start = self._openvino.Tensor, len(cache.ids)
        end = start + len(ids)
        buffers = dict(zip(self._parts, cache.buffers, strict=True))
        with self._lock:
            if self._request is None:
                raise ClosedError
            self._request.set_tensor(INPUT_IDS, tensor(np.asarray(ids, np.int64)[None]))
            self._request.set_tensor(LOGITS_TO_KEEP, tensor(np.array(keep, np.int64)))
            for (past, _), buffer in buffers.items():
                # With one head the first rows lie in one piece: they are shared and not copied.
                rows = buffer.owner[:, :, :start]  # type: ignore[index] # memory of a CPU's cache
                self._request.set_tensor(past, tensor(rows, shared_memory=True))
            self._request.infer()
            for (_, present), buffer in buffers.items():
                new = self._request.get_tensor(present).data
                buffer.owner[:, :, start:end] = new  # type: ignore[index]
            logits = np.array(self._request.get_tensor(LOGITS).data[0], np.float32)
        cache.ids.extend(ids.tolist())
        return logits


def _looked_up(node: Any) -> list[Any]:
    """Say in OpenVINO's operators what a lookup in a table of 4 or 8 bits is.

    Its own translation wants scales that are constants, and ours are cast.
    """
    from openvino import opset15 as ops

    table, ids, scales = (node.get_input(i) for i in range(3))
    bits, size = node.get_attribute("bits"), node.get_attribute("block_size")
    rows, axis = ops.gather(table, ids, np.int64(0)), np.int64(0)
    if bits == 4:  # two codes a byte, the lower half first
        low = ops.bitwise_and(rows, np.uint8(15))
        high = ops.bitwise_right_shift(rows, np.uint8(4))
        last = np.int64(-1)
        pairs = ops.concat([ops.unsqueeze(low, last), ops.unsqueeze(high, last)], -1)
        rows = ops.reshape(pairs, np.array([0, -1], np.int64), special_zero=True)
    centred = ops.subtract(ops.convert(rows, "f32"), np.float32(1 << bits - 1))
    steps = ops.unsqueeze(ops.gather(scales, ids, axis), np.int64(-1))
    blocks = ops.reshape(centred, np.array([0, -1, size], np.int64), special_zero=True)
    scaled = ops.multiply(blocks, steps)
    whole = ops.reshape(scaled, np.array([0, -1], np.int64), special_zero=True)
    return [whole.output(0)]
