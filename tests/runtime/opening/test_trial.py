"""Kernels of a kind that nobody timed: taken where they win a trial on this machine, as is kept."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from refact_edge.runtime.backends.native.selftest import (
    right_cached,
    right_product,
    right_product_by_row,
)
from refact_edge.runtime.backends.onnxruntime import import_onnxruntime
from refact_edge.runtime.console.doctor import examine
from refact_edge.runtime.opening import machine as lookups
from refact_edge.runtime.opening import trial
from refact_edge.runtime.opening.cpu_engine import (
    Decision,
    cpu_engine,
    cpu_engine_in_words,
)
from refact_edge.runtime.opening.machine import this_machine
from refact_edge.runtime.store import folder as cachefolder


def _today() -> str:
    """Return the date as notes have it, also where the tests began on another one."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


class ArmLibrary:
    """The library as an ARM machine has it, which computes rightly and takes some time."""

    able = ("neon",)
    best = "neon"

    def __init__(self, path: Path, clock: list[float], token_s: float) -> None:
        self.path, self._clock, self._token_s = path, clock, token_s

    def product(self, cpu: str, codes: Any, scales: Any, x: np.ndarray) -> np.ndarray:
        assert cpu == "neon"
        self._clock[0] += self._token_s * len(x)
        return right_product(codes, scales, x) if codes.shape[0] < 100 else x

    def product_by_row(
        self, cpu: str, codes: Any, scales: Any, x: np.ndarray, terms: int
    ) -> np.ndarray:
        assert cpu == "neon"
        return right_product_by_row(codes, scales, x, terms)

    def cached(self, cpu: str, kv_type: str, x: np.ndarray) -> np.ndarray:
        return right_cached(kv_type, x)


class ArmMachine:
    """An ARM machine; `token_s` is what a token takes its kernels, where onnxruntime takes 1 s."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch, self.trials, self.cache = patch, 0, folder / "cache"
        self.file = folder / "_edge.so"
        self.file.write_bytes(b"first build")
        self.clock = [0.0]
        patch.setenv(cachefolder.ENVIRONMENT, str(self.cache))
        patch.setattr(trial, "import_onnxruntime", lambda: ModuleType("onnxruntime"))
        patch.setattr(trial, "onnxruntime_product", self._onnxruntime_product)
        patch.setattr(trial.hold, "__defaults__", (lambda: self.clock[0],))
        self.install("1.24.1")
        self.start(token_s=0.5)

    def install(self, version: str) -> None:
        self._patch.setattr(trial, "onnxruntime_version", lambda: version)
        self._patch.setattr(lookups, "is_installed", lambda: bool(version))

    def start(self, token_s: float) -> None:
        """Start another process."""
        native = ArmLibrary(self.file, self.clock, token_s)
        self._patch.setattr(lookups, "opened", lambda: native)
        forget()

    def _onnxruntime_product(self, *_: object) -> trial.Product:
        self.trials += 1

        def product(x: np.ndarray) -> np.ndarray:
            self.clock[0] += len(x)
            return x

        return product


def forget() -> None:
    lookups.why_not_native.cache_clear()
    lookups.trial.cache_clear()


def _engine() -> str:
    return cpu_engine(this_machine()).engine


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ArmMachine]:
    yield ArmMachine(monkeypatch, tmp_path)
    forget()


def test_kernels_that_win_are_taken_and_doctor_says_why(arm: ArmMachine) -> None:
    assert _engine() == "native"
    line = f"neon kernels: 2 times as fast as onnxruntime, timed on {_today()}"
    assert cpu_engine_in_words(this_machine()) == f"native kernels (neon): {line}"
    (state,) = [one.state for one in examine(None) if one.subject == "int4 and int8"]
    assert state == cpu_engine_in_words(this_machine())


def test_kernels_that_lose_are_taken_only_when_asked_for(arm: ArmMachine) -> None:
    arm.start(token_s=2)
    line = f"neon kernels: 0.5 times as fast as onnxruntime, timed on {_today()}"
    assert cpu_engine(this_machine()) == Decision("onnxruntime", line)
    assert cpu_engine_in_words(this_machine()).startswith("onnxruntime: neon kernels: 0.5 times")
    assert cpu_engine(this_machine(), "native").engine == "native"


def test_an_outcome_is_kept_for_the_next_process(arm: ArmMachine) -> None:
    first = cpu_engine_in_words(this_machine())
    arm.start(token_s=2)  # would lose now
    assert cpu_engine_in_words(this_machine()) == first
    assert arm.trials == 1


def test_another_library_or_onnxruntime_is_timed_anew(arm: ArmMachine) -> None:
    _engine()
    arm.file.write_bytes(b"second build")
    arm.start(token_s=2)
    assert _engine() == "onnxruntime"
    arm.install("1.25.0")
    arm.start(token_s=0.25)
    assert "4 times as fast" in cpu_engine_in_words(this_machine())
    assert arm.trials == 3


def test_another_cpu_is_timed_anew(arm: ArmMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    _engine()
    monkeypatch.setattr(trial, "cpu_name_and_features", lambda: ("another", ("asimddp",)))
    arm.start(token_s=2)
    assert _engine() == "onnxruntime"


@pytest.mark.parametrize(
    "damage", ["", "[]", '{"trial": 1}', '{"trial": {"kind": "neon", "native_ms": 0.0}}']
)
def test_a_damaged_outcome_is_timed_anew(arm: ArmMachine, damage: str) -> None:
    _engine()
    (entry,) = arm.cache.iterdir()
    (entry / cachefolder.RECORD).write_text(damage)
    arm.start(token_s=0.25)
    assert "4 times as fast" in cpu_engine_in_words(this_machine())
    arm.start(token_s=2)
    assert "4 times as fast" in cpu_engine_in_words(this_machine())


def test_an_outcome_that_another_user_may_have_written_is_not_believed(arm: ArmMachine) -> None:
    if not hasattr(os, "getuid"):
        pytest.skip("this system has no modes of files")
    _engine()
    (entry,) = arm.cache.iterdir()
    entry.chmod(0o777)
    arm.start(token_s=2)
    assert _engine() == "onnxruntime"


def test_where_nothing_can_be_kept_it_is_timed_at_each_start(arm: ArmMachine) -> None:
    arm.cache.write_text("a file where the folder should be")
    for _ in range(2):
        arm.start(token_s=0.5)
        assert _engine() == "native"
        assert ", not kept: " in cpu_engine_in_words(this_machine())
    assert arm.trials == 2


def test_without_onnxruntime_the_kernels_are_taken_untimed(arm: ArmMachine) -> None:
    arm.install("")
    assert _engine() == "native"
    assert cpu_engine_in_words(this_machine()) == "native kernels (neon)"
    assert (arm.trials, arm.cache.exists()) == (0, False)


def test_kernels_that_compute_wrongly_are_not_timed(
    arm: ArmMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "computes_rightly", lambda *_: False)
    assert lookups.FAILED in cpu_engine(this_machine()).reason
    assert arm.trials == 0


def test_warm_clear_removes_an_outcome(arm: ArmMachine) -> None:
    _engine()
    assert cachefolder.clear() > 0
    assert list(arm.cache.iterdir()) == []


def test_a_trial_ends_early_on_a_slow_machine(arm: ArmMachine) -> None:
    native = ArmLibrary(arm.file, arm.clock, 0.5)
    assert trial.hold(native, ModuleType("onnxruntime")) == (24_000, 48_000)
    request_s = (trial.PROMPT + 3) * 1.5  # both, of what is truly computed
    warm_s = (trial.PROMPT + 1) * 1.5
    assert arm.clock[0] == warm_s + trial.LEAST_ROUNDS * request_s


def test_onnxruntime_computes_the_same_product() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (48, 3, 64), np.uint8)
    scales = rng.uniform(0.01, 1, (48, 3)).astype(np.float16)
    x = rng.standard_normal((5, 3 * 128), np.float32)
    right = right_product(codes, scales, x)
    y = trial.onnxruntime_product(import_onnxruntime(), codes, scales)(x)
    assert np.abs(y - right).max() <= 1e-2 * np.abs(right).max()


def test_an_outcome_tells_nothing_of_the_user(arm: ArmMachine) -> None:
    _engine()
    (entry,) = arm.cache.iterdir()
    record = json.loads((entry / cachefolder.RECORD).read_text())
    assert record.keys() == {"conditions", "trial"}
    assert str(Path.home()) not in json.dumps(record)
