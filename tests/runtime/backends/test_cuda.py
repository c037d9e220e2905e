"""CUDA: why it cannot be used, in words; and, where it can, the CPU's answers."""

from __future__ import annotations

import ctypes
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from edited import edit_manifest
from loaded import greedy

import refact_edge
from refact_edge.export.convert import export_bundle
from refact_edge.runtime.backends import cuda
from refact_edge.runtime.backends import onnxruntime as session_module
from refact_edge.runtime.backends.gpu import GpuSession
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import verify_gpu
from refact_edge.runtime.engine.generation import Generation, Request
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import DeviceError, RefactEdgeWarning
from refact_edge.runtime.opening import machine

Logits = npt.NDArray[np.float32]


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


NEAR_TIE = 0.05  # the two best logits: in halves a choice may change there


@pytest.mark.usefixtures("gpu")
@pytest.mark.filterwarnings("ignore:fp16 has no kernels on a CPU")
@pytest.mark.parametrize("variant", ["fp16", "int4"])
def test_a_gpu_gives_the_logits_that_its_graph_has_on_a_cpu_however_a_prompt_is_cut(
    demo_checkpoint: Path, tmp_path: Path, variant: str
) -> None:
    export_bundle(demo_checkpoint, tmp_path / "bundle", [variant])
    on_gpu = refact_edge.load(tmp_path / "bundle", variant=variant, device="cuda").session
    verified = verify_gpu(read_bundle(tmp_path / "bundle"), variant)
    on_cpu = GpuSession(verified, session_module.SessionOptions())
    ids = np.random.default_rng(0).integers(0, on_cpu.sizes.tokens, 300)
    expected = on_cpu.step(ids, on_cpu.new_cache(), len(ids))
    cache = on_gpu.new_cache()
    assert on_gpu.device == "cuda"
    _assert_same(on_gpu.step(ids, cache, len(ids)), expected)
    for start in (200, 5, 292, 299):
        cache.rewind(start)
        _assert_same(on_gpu.step(ids[start:], cache, len(ids) - start), expected[start:])


def _assert_same(logits: Logits, expected: Logits) -> None:
    """See that logits point the same way, and have the same first choice but near a tie."""
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((logits * expected).sum(axis=1) / lengths).min() >= 0.9999
    best = np.sort(expected, axis=1)[:, -2:]
    clear = best[:, 1] - best[:, 0] >= NEAR_TIE
    np.testing.assert_array_equal(logits.argmax(1)[clear], expected.argmax(1)[clear])
    assert clear.mean() > 0.5 or len(clear) < 10


@pytest.mark.usefixtures("gpu")
def test_200_greedy_tokens_are_full_precisions_up_to_a_near_tie(
    demo_checkpoint: Path, tmp_path: Path
) -> None:
    export_bundle(demo_checkpoint, tmp_path / "bundle", ["fp32", "fp16"])
    expected = greedy(tmp_path / "bundle", "fp32", list(range(300, 400)), 200)
    session = refact_edge.load(tmp_path / "bundle", variant="fp16", device="cuda").session
    request = Request(list(range(300, 400)), GREEDY, 200, stop_ids=frozenset())
    new = list(Generation(session, PrefixCache(session.new_cache), request))
    expected.assert_same(new, NEAR_TIE)


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
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundles of before there were graphs for GPUs."""
    older = tmp_path / "older"
    shutil.copytree(tiny_bundle, older)
    edit_manifest(older, _without_gpu_graphs)
    monkeypatch.setattr(machine, "has_cuda_library", lambda: True)
    monkeypatch.setattr(machine, "why_not_cuda", lambda: "")
    with pytest.raises(DeviceError, match=r"wrong values .* rows of 96 .*take fp16"):
        refact_edge.load(older, variant="int4", device="cuda")
    with pytest.warns(RefactEdgeWarning, match="running on cpu: .* rows of 96") as caught:
        model = refact_edge.load(older, variant="int4")
    assert (len(caught), model.device) == (1, "cpu")


def _without_gpu_graphs(manifest: dict[str, Any]) -> None:
    files = manifest["files"]
    manifest["files"] = {name: files[name] for name in files if not name.startswith("onnx/gpu")}


def test_what_is_for_cpus_alone_says_nothing_of_a_gpu(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(machine, "has_cuda_library", lambda: True)
    monkeypatch.setattr(machine, "why_not_cuda", lambda: "the NVIDIA driver sees no GPU")
    assert refact_edge.load(tiny_bundle, variant="hybrid").device == "cpu"
    assert not recwarn.list
