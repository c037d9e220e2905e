"""Whether kernels of a kind that we never timed beat onnxruntime on this machine.

One trial of less than a second settles it: both compute the product of a small request, one after
the other, on one thread each. Its outcome lies in the cache folder, so that later starts need none,
and holds for one CPU, one build of the library and one onnxruntime.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..backends.native.library import BLOCK
from ..backends.onnxbytes import Operator, one_operator
from ..backends.onnxruntime import import_onnxruntime
from ..backends.wheels import onnxruntime_version
from ..errors import BundleError, DeviceError, MissingExtraError
from ..machine.cpu import cpu_name_and_features
from ..store.folder import cache_folder, read_record, write_entry

ROWS, COLS = 4096, 2048  # 4 MB of codes: more than the caches of most cores hold
PROMPT, ANSWER = 32, 16  # tokens of the request
ROUNDS, LEAST_ROUNDS, LIMIT_S = 5, 2, 0.5
_SINGLES = 3  # of which the median stands for all that are decoded
_FORMAT = 1
# What else the machine does takes no part in a thread's own time; Windows counts it too coarsely.
OWN_TIME = time.perf_counter if sys.platform == "win32" else time.thread_time

Array = npt.NDArray[np.float32]
Product = Callable[[Array], Array]


class Kernels(Protocol):
    """What a trial needs of the library: see `library.Native`."""

    path: Path

    @property
    def best(self) -> str:
        """The kind that is tried."""
        ...

    def product(
        self, cpu: str, codes: npt.NDArray[np.uint8], scales: npt.NDArray[np.float16], x: Array
    ) -> Array:
        """Return x [T, cols] times the weights [rows, cols]."""
        ...


@dataclass(frozen=True)
class Trial:
    """What a request's product took by both; `note` says why no file keeps that, if none does."""

    kind: str
    native_ms: float
    onnxruntime_ms: float
    date: str
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times as fast as onnxruntime the kernels are."""
        return self.onnxruntime_ms / self.native_ms

    @property
    def faster(self) -> bool:
        """Whether the kernels are the faster engine."""
        return self.ratio > 1

    def __str__(self) -> str:
        line = f"{self.kind} kernels: {self.ratio:.2g} times as fast as onnxruntime"
        return f"{line}, timed on {self.date}" + (f", not kept: {self.note}" if self.note else "")


def settle(native: Kernels) -> Trial | None:
    """Return the trial in the cache folder, or hold one and keep it there.

    None where there is no onnxruntime that could be the faster one.
    """
    version = onnxruntime_version()
    if not version:
        return None
    conditions = _conditions(native, version)
    entry = _entry(conditions)
    if (before := _read(entry, conditions)) is not None:
        return before
    try:
        native_ms, onnxruntime_ms = hold(native, import_onnxruntime())
    except (MissingExtraError, DeviceError):  # installed, and still not to be had
        return None
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    trial = Trial(native.best, native_ms, onnxruntime_ms, date)
    record = {"conditions": conditions, "trial": asdict(trial)}
    try:
        write_entry(entry, lambda _: record, lambda: _read(entry, conditions) is not None)
    except BundleError as error:
        return replace(trial, note=str(error))
    return trial


def hold(
    native: Kernels, onnxruntime: ModuleType, clock: Callable[[], float] = OWN_TIME
) -> tuple[float, float]:
    """Return the milliseconds of a request by the kernels and by onnxruntime: medians of rounds."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (ROWS, COLS // BLOCK, BLOCK // 2), np.uint8)
    scales = rng.uniform(0.01, 1, codes.shape[:2]).astype(np.float16)
    prompt = rng.standard_normal((PROMPT, COLS), np.float32)
    engines: tuple[Product, Product] = (
        lambda x: native.product(native.best, codes, scales, x),
        onnxruntime_product(onnxruntime, codes, scales),
    )
    for product in engines:  # what an engine does once is done before anything is timed
        product(prompt)
        product(prompt[:1])
    times: tuple[list[float], list[float]] = ([], [])
    start = clock()
    for number in range(ROUNDS):
        for index in (number % 2, 1 - number % 2):
            times[index].append(1e3 * _request_s(engines[index], prompt, clock))
        if number + 1 >= LEAST_ROUNDS and clock() - start > LIMIT_S:
            break
    return statistics.median(times[0]), statistics.median(times[1])


def onnxruntime_product(
    onnxruntime: ModuleType, codes: npt.NDArray[np.uint8], scales: npt.NDArray[np.float16]
) -> Product:
    """Return onnxruntime's MatMulNBits on one thread: codes [rows, blocks, bytes] of 4 bits."""
    rows, blocks, width = codes.shape
    attributes = {
        "K": blocks * BLOCK, "N": rows, "bits": 8 * width // BLOCK, "block_size": BLOCK,
        "accuracy_level": 4,
    }  # fmt: skip
    constants: dict[str, npt.NDArray[Any]] = {
        "codes": codes,
        "scales": scales.astype(np.float32),
    }
    operator = Operator("MatMulNBits", "com.microsoft", attributes)
    model = one_operator(operator, {"x": "float32"}, ("y", "float32"), constants)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def product(x: Array) -> Array:
        (y,) = session.run(None, {"x": x})
        result: Array = y
        return result

    return product


def _request_s(product: Product, prompt: Array, clock: Callable[[], float]) -> float:
    """Time a prompt and single tokens, and return what all of a request takes."""
    stamps = [clock()]
    for x in (prompt, *[prompt[:1]] * _SINGLES):
        product(x)
        stamps.append(clock())
    prefill, *singles = (end - start for start, end in pairwise(stamps))
    return prefill + ANSWER * statistics.median(singles)


def _conditions(native: Kernels, version: str) -> dict[str, Any]:
    """Return what an outcome holds for."""
    name, features = cpu_name_and_features()
    return {
        "format": _FORMAT,
        "machine": platform.machine(),
        "cpu": [name, *features],
        "kind": native.best,
        "library": hashlib.sha256(native.path.read_bytes()).hexdigest(),
        "onnxruntime": version,
    }


def _entry(conditions: dict[str, Any]) -> Path:
    key = hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()
    return cache_folder() / f"timed-{key[:16]}"


def _read(entry: Path, conditions: dict[str, Any]) -> Trial | None:
    """Return an entry's trial; None where there is none, or none that can be relied on."""
    try:
        record = read_record(entry)
        trial = Trial(**record["trial"])
        times = (trial.native_ms, trial.onnxruntime_ms)
        sound = all(isinstance(ms, float) and 0 < ms < math.inf for ms in times)
    except (ValueError, KeyError, TypeError):
        return None
    return trial if sound and record.get("conditions") == conditions else None
