"""Asking the CPU how it multiplies bytes."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

import refact_edge
from refact_edge.runtime.backends import onnxruntime as session_module
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession, import_onnxruntime
from refact_edge.runtime.backends.probe import bytes_multiply_exactly, product_model


def test_the_model_is_valid_onnx() -> None:
    model = onnx.load_from_string(product_model())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMulInteger"]


def test_this_cpu_is_judged_by_its_own_product() -> None:
    flags = Path("/proc/cpuinfo")
    known = flags.is_file() and any(
        feature in flags.read_text() for feature in ("avx512_vnni", "avx_vnni", "amx_int8")
    )
    if not known:
        pytest.skip("no CPU feature here from which the right answer is known")
    assert bytes_multiply_exactly(import_onnxruntime())


class _Saturating:
    """An onnxruntime whose product saturates as on a CPU without VNNI."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        pairs = feeds["a"].shape[1] // 2
        return [np.full((len(feeds["a"]), feeds["b"].shape[1]), pairs * 32767, np.int32)]


def test_a_cpu_that_saturates_is_noticed() -> None:
    old = ModuleType("onnxruntime")
    vars(old)["InferenceSession"] = _Saturating
    assert not bytes_multiply_exactly(old)


@pytest.mark.parametrize("exact", [True, False])
def test_exact_kernels_are_asked_for_only_where_they_are_needed(
    exact: bool, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "bytes_multiply_exactly", lambda _: exact)
    model = refact_edge.load(tiny_bundle, variant="int8", engine="onnxruntime")
    assert isinstance(model.session, OnnxruntimeSession)
    options = model.session._session.get_session_options()
    key = "session.x64quantprecision"
    if exact:
        with pytest.raises(RuntimeError, match="does not have"):
            options.get_session_config_entry(key)
    else:
        assert options.get_session_config_entry(key) == "1"
