"""CUDA: why it cannot be used, in words; and, where it can, the CPU's answers."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import refact_edge
from refact_edge.export.convert import export_bundle
from refact_edge.runtime.backends import cuda
from refact_edge.runtime.backends import onnxruntime as session_module
from refact_edge.runtime.errors import DeviceError, RefactEdgeWarning
from refact_edge.runtime.opening import machine


class Driver:
    """What ctypes gives of a driver: each call's answer."""

    def __init__(self, started: int, devices: int) -> None:
        self._started, self._devices = started, devices

    def cuInit(self, flags: int) -> int:  # noqa: N802, as the driver calls it
        return self._started

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._devices
        return 0


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Yield an onnxruntime with a CUDA provider that cannot be loaded, and a driver with a GPU."""
    cuda.why_not.cache_clear()
    module = ModuleType("onnxruntime")
    module.__file__ = str(tmp_path / "__init__.py")
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"no library")
    vars(module)["preload_dlls"] = lambda: sys.stdout.write("Failed to load")
    real = ctypes.CDLL
    monkeypatch.setattr(
        ctypes,
        "CDLL",
        lambda name, **how: Driver(0, 1) if name == "libcuda.so.1" else real(name, **how),
    )
    yield module
    cuda.why_not.cache_clear()


def _drive(monkeypatch: pytest.MonkeyPatch, driver: Driver | OSError) -> None:
    def open_library(*_: object, **__: object) -> Driver:
        if isinstance(driver, OSError):
            raise driver
        return driver

    monkeypatch.setattr(ctypes, "CDLL", open_library)


@pytest.mark.skipif(sys.platform != "linux", reason="asks for Linux's libraries")
def test_what_cuda_lacks_is_said_and_not_printed(
    wheel: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "libonnxruntime_providers_cuda.so" in cuda.why_not(wheel)
    assert cuda.why_not(wheel).endswith("pip install 'onnxruntime-gpu[cuda,cudnn]'")
    assert capfd.readouterr() == ("", "")
    for driver, words in (
        (Driver(100, 0), "the NVIDIA driver sees no GPU; "),
        (Driver(0, 0), "the NVIDIA driver sees no GPU; "),
        (Driver(35, 0), "the NVIDIA driver does not start (CUDA error 35); "),
        (OSError("libcuda.so.1: no such file"), "there is no NVIDIA driver (libcuda.so.1: no "),
        (Driver(0, 1), ""),
    ):
        cuda.why_not.cache_clear()
        _drive(monkeypatch, driver)
        assert cuda.why_not(wheel).startswith(words)
        assert bool(cuda.why_not(wheel)) == bool(words)


def test_without_a_usable_gpu_auto_warns_once_and_runs_on_the_cpu(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = session_module.import_onnxruntime()
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(machine, "has_cuda_library", lambda: True)
    monkeypatch.setattr(cuda, "why_not", lambda _: "the NVIDIA driver sees no GPU")
    with pytest.warns(RefactEdgeWarning, match="running on cpu: .* sees no GPU") as caught:
        model = refact_edge.load(tiny_bundle)
    assert (len(caught), model.device, model.variant) == (1, "cpu", "int4")
    with pytest.raises(DeviceError, match=r"cuda was asked for and is not usable: .* sees no GPU"):
        refact_edge.load(tiny_bundle, device="cuda")
    refact_edge.load(tiny_bundle, device="cpu")  # without a word


@pytest.fixture(scope="session")
def gpu() -> None:
    if not session_module.has_cuda_library():
        pytest.skip("the installed onnxruntime comes without CUDA")
    if reason := session_module.why_not_cuda():
        pytest.skip(f"CUDA cannot be used here: {reason}")


# Of logits: fp32 is multiplied in TF32 there; int4's activations are rounded on CPUs alone.
TOLERANCE = {"fp32": 0.1, "fp16": 0.2, "int4": 1.0}


@pytest.mark.usefixtures("gpu")
@pytest.mark.filterwarnings("ignore:fp16 has no kernels on a CPU")
@pytest.mark.parametrize("variant", TOLERANCE)
def test_a_gpu_gives_the_cpus_logits_however_a_prompt_is_cut(
    demo_checkpoint: Path, tmp_path: Path, variant: str
) -> None:
    export_bundle(demo_checkpoint, tmp_path / "bundle", [variant])
    on_gpu = refact_edge.load(tmp_path / "bundle", variant=variant, device="cuda").session
    on_cpu = refact_edge.load(tmp_path / "bundle", variant=variant, device="cpu").session
    ids = np.random.default_rng(0).integers(0, on_cpu.sizes.tokens, 300)
    expected = on_cpu.step(ids, on_cpu.new_cache(), len(ids))
    cache = on_gpu.new_cache()
    assert on_gpu.device == "cuda"
    np.testing.assert_allclose(
        on_gpu.step(ids, cache, len(ids)), expected, atol=TOLERANCE[variant], rtol=0
    )
    for start in (200, 5, 299):
        cache.rewind(start)
        logits = on_gpu.step(ids[start:], cache, len(ids) - start)
        np.testing.assert_allclose(logits, expected[start:], atol=TOLERANCE[variant], rtol=0)


@pytest.mark.usefixtures("gpu")
def test_a_gpu_is_taken_by_itself_and_reuses_what_it_read(
    demo_checkpoint: Path, tmp_path: Path
) -> None:
    export_bundle(demo_checkpoint, tmp_path / "bundle", ["fp16", "int4"])
    with pytest.warns(RefactEdgeWarning, match="caches are not kept on cuda"):
        model = refact_edge.load(tmp_path / "bundle", caches=tmp_path)
    assert (model.device, model.variant) == ("cuda", "fp16")
    prefix, greedy = "def add(a, b):\n    return a", refact_edge.Sampling(temperature=0)
    first = model.complete(prefix, max_tokens=12, sampling=greedy)
    text = "".join(first)
    again = model.complete(prefix, max_tokens=12, sampling=greedy)
    assert "".join(again) == text
    assert again.usage.cached > 0


def test_int4_with_rows_that_a_gpu_would_look_up_wrongly_does_not_run_there(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has_cuda_library", lambda: True)
    monkeypatch.setattr(machine, "why_not_cuda", lambda: "")
    with pytest.raises(DeviceError, match=r"wrong values .* rows of 96 .*take fp16"):
        refact_edge.load(tiny_bundle, variant="int4", device="cuda")
    with pytest.warns(RefactEdgeWarning, match="running on cpu: .* rows of 96") as caught:
        model = refact_edge.load(tiny_bundle, variant="int4")
    assert (len(caught), model.device) == (1, "cpu")


def test_what_is_for_cpus_alone_says_nothing_of_a_gpu(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(machine, "has_cuda_library", lambda: True)
    monkeypatch.setattr(machine, "why_not_cuda", lambda: "the NVIDIA driver sees no GPU")
    assert refact_edge.load(tiny_bundle, variant="hybrid").device == "cpu"
    assert not recwarn.list
