"""Which variant and device `load` takes by itself, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

import refact_edge
from refact_edge import Sampling
from refact_edge.runtime.backends import cuda
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, import_onnxruntime
from refact_edge.runtime.engine.kv_type import FP16
from refact_edge.runtime.errors import BundleError, DeviceError, OptionError, RefactEdgeWarning
from refact_edge.runtime.opening import demo, machine


def test_without_a_bundle_the_command_that_makes_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CHECKOUT", tmp_path / "none")
    monkeypatch.setattr(demo, "find_spec", lambda _name: None)
    with pytest.raises(BundleError, match=r"there is no demo bundle; .* make demo"):
        refact_edge.load()


def test_what_is_no_path_is_refused_in_one_line() -> None:
    with pytest.raises(BundleError, match=r"nope\?x is no path; expected the folder"):
        refact_edge.load("nope\0x")
    with pytest.raises(OptionError, match="bundle ''; expected the folder of a bundle, or None"):
        refact_edge.load("")


def test_the_variant_follows_the_device_and_fp16_is_never_chosen_on_cpu(
    tiny_bundle: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from refact_edge.export.convert import export_bundle

    assert refact_edge.load(tiny_bundle).variant == "int4"
    assert refact_edge.load(tiny_bundle).device == "cpu"
    export_bundle(tiny_checkpoint, tmp_path / "half", ["fp16"])
    with pytest.raises(BundleError, match=r"holds only fp16.*export int4 or int8"):
        refact_edge.load(tmp_path / "half")
    with pytest.warns(RefactEdgeWarning, match="fp16 has no kernels on a CPU"):
        half = refact_edge.load(tmp_path / "half", variant="fp16")
    assert isinstance(half.session, OnnxruntimeSession)
    assert half.session.kv_type == FP16


def test_cuda_where_there_is_none_fails_with_the_reason(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        import_onnxruntime(),
        "get_available_providers",
        lambda: ["CPUExecutionProvider"],
    )
    with pytest.raises(DeviceError, match=r"offers only CPUExecutionProvider.*refact-edge\[gpu\]"):
        refact_edge.load(tiny_bundle, device="cuda")
    with pytest.raises(OptionError, match="device 'tpu'; expected one of auto, cpu, cuda"):
        refact_edge.load(tiny_bundle, device="tpu")


@pytest.fixture
def broken_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there is a GPU and that no session starts on it."""
    onnxruntime = import_onnxruntime()
    create = onnxruntime.InferenceSession._create_inference_session

    def fail_on_cuda(self: object, providers: list[Any], *rest: object) -> None:
        names = [one if isinstance(one, str) else one[0] for one in providers]  # some with options
        if "CUDAExecutionProvider" in names:
            raise RuntimeError("libcudart.so.13: cannot open shared object file")
        create(self, providers, *rest)

    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(machine, "has_cuda_library", lambda: True)
    monkeypatch.setattr(cuda, "why_not", lambda _: "")
    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", fail_on_cuda)


@pytest.mark.usefixtures("broken_cuda")
def test_a_cuda_that_does_not_start_falls_back_with_one_warning_and_to_a_cpu_variant(
    tiny_bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(RefactEdgeWarning, match="running on cpu: .*libcudart") as caught:
        model = refact_edge.load(tiny_bundle)
    assert len(caught) == 1
    assert (model.device, model.variant) == ("cpu", "int4")
    hot = Sampling(temperature=1.5, top_k=0, seed=5)
    assert len(list(model.generate("a", max_tokens=3, sampling=hot))) <= 3
    with pytest.raises(DeviceError, match=r"cuda was asked for and is not usable: .*libcudart"):
        refact_edge.load(tiny_bundle, device="cuda")
    assert capfd.readouterr() == ("", "")


def test_every_variant_answers(tiny_bundle: Path) -> None:
    for variant in ("fp32", "int8", "int4"):
        model = refact_edge.load(tiny_bundle, variant=variant)
        free = Sampling(temperature=1, top_k=0, seed=1)
        stream = model.generate("def f(", max_tokens=8, sampling=free, allow_empty=False)
        assert "".join(stream) == stream.text
        assert stream.usage.new > 0
