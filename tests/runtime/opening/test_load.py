"""What `load` opens on this machine: the plan's engine, and doctor says the same."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import refact_edge
from refact_edge.runtime.backends.hybrid import HybridSession
from refact_edge.runtime.backends.native import library, session
from refact_edge.runtime.backends.native.fits import OtherGraphError
from refact_edge.runtime.backends.native.session import NativeSession
from refact_edge.runtime.backends.onnxruntime import OnnxruntimeSession
from refact_edge.runtime.console.doctor import examine
from refact_edge.runtime.engine.sampling import Sampling
from refact_edge.runtime.errors import OptionError, RefactEdgeWarning
from refact_edge.runtime.opening import machine as lookups
from refact_edge.runtime.opening.cpu_engine import cpu_engine
from refact_edge.runtime.opening.machine import this_machine
from refact_edge.runtime.opening.trial import Trial


@pytest.fixture(autouse=True)
def looked_up_anew() -> Iterator[None]:
    """Have each test look for itself what there is."""
    lookups.why_not_native.cache_clear()
    library.opened.cache_clear()
    yield
    lookups.why_not_native.cache_clear()
    library.opened.cache_clear()


@pytest.fixture
def able() -> None:
    if (decision := cpu_engine(this_machine())).engine != "native":
        pytest.skip(decision.reason)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library.Native.__init__, "__defaults__", (tmp_path / "none.so",))


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernels compute wrongly."""
    right = library.Native.product

    def off(self: library.Native, *arguments: Any) -> Any:
        return right(self, *arguments) + 1

    monkeypatch.setattr(library.Native, "product", off)


def _doctors_line() -> tuple[str, str]:
    (line,) = [one for one in examine(None) if one.subject == "int4 and int8"]
    return line.state, line.problem


@pytest.mark.usefixtures("able")
def test_native_kernels_are_taken_by_themselves_for_int4_and_int8(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle)
    assert isinstance(model.session, NativeSession)
    assert model.engine == f"native kernels ({library.opened().best})"
    assert _doctors_line() == (model.engine, "")
    assert isinstance(refact_edge.load(tiny_bundle, variant="int8").session, NativeSession)
    fp32 = refact_edge.load(tiny_bundle, variant="fp32")
    assert isinstance(fp32.session, OnnxruntimeSession)
    both = refact_edge.load(tiny_bundle, variant="hybrid")
    assert isinstance(both.session, HybridSession)
    assert both.engine == model.engine


@pytest.mark.usefixtures("able")
def test_greedy_text_is_onnxruntimes_up_to_the_first_near_tie(demo_bundle: Path) -> None:
    """A near tie: the chosen logit is less than 0.25 ahead, as far as onnxruntime's own differ."""
    greedy = Sampling(temperature=0)
    prompts = ["def add(a, b):\n    return ", "import os\n\nclass Reader:\n    def ", "for i in "]
    compared = 0
    for prompt in prompts:
        texts = []
        for engine in ("native", "onnxruntime"):
            model = refact_edge.load(demo_bundle, variant="int4", engine=engine)
            stream = model.complete(
                prompt, "\n", max_tokens=24, sampling=greedy, stop=(), top_logprobs=2
            )
            "".join(stream)
            texts.append((stream.ids, stream.scores))
        (mine, scores), (theirs, _) = texts
        for place, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if a != b:
                best = sorted((logprob for _, logprob in scores[place].top), reverse=True)
                assert best[0] - best[1] < 0.25, (prompt, place)
                break
            compared += 1
    assert compared >= 20


def test_onnxruntime_computes_where_it_is_asked_for(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle, engine="onnxruntime")
    assert isinstance(model.session, OnnxruntimeSession)
    assert model.engine.startswith("onnxruntime ")


@pytest.mark.usefixtures("absent")
def test_without_the_library_onnxruntime_computes_in_silence(tiny_bundle: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(refact_edge.load(tiny_bundle).session, OnnxruntimeSession)
    with pytest.raises(OptionError, match=r"engine native cannot be had: .*GCC 11"):
        refact_edge.load(tiny_bundle, engine="native")
    state, problem = _doctors_line()
    assert state.startswith("onnxruntime: the native kernels were not built")
    assert problem == ""


@pytest.mark.usefixtures("able", "wrong")
def test_kernels_that_fail_their_self_test_are_not_used_and_the_user_is_told(
    tiny_bundle: Path,
) -> None:
    lookups.why_not_native.cache_clear()
    with pytest.warns(RefactEdgeWarning, match="onnxruntime computes: the native kernels fail"):
        assert isinstance(refact_edge.load(tiny_bundle).session, OnnxruntimeSession)
    with pytest.raises(OptionError, match=r"engine native cannot be had: .*fail their self-test"):
        refact_edge.load(tiny_bundle, engine="native")
    state, problem = _doctors_line()
    assert "fail their self-test" in state
    assert "please report it" in problem


@pytest.mark.usefixtures("able")
def test_slow_kernels_are_taken_only_when_asked_for(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library.Native, "best", property(lambda _self: "portable"))
    lookups.why_not_native.cache_clear()
    assert isinstance(refact_edge.load(tiny_bundle).session, OnnxruntimeSession)
    assert "(portable)" in _doctors_line()[0]
    assert cpu_engine(this_machine(), "native").engine == "native"


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(("native_ms", "kind"), [(1.0, NativeSession), (3.0, OnnxruntimeSession)])
def test_load_takes_the_engine_that_won_the_trial(
    tiny_bundle: Path, native_ms: float, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Trial("avx2", native_ms, 2.0, "2026-11-29")
    monkeypatch.setattr(lookups, "trial", lambda: outcome)
    lookups.why_not_native.cache_clear()
    assert isinstance(refact_edge.load(tiny_bundle).session, kind)
    assert str(outcome) in _doctors_line()[0]


@pytest.mark.usefixtures("able")
def test_a_graph_of_another_make_runs_on_onnxruntime(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OtherGraphError("another model; it runs on onnxruntime only")

    monkeypatch.setattr(session, "build_program", refuse)
    assert isinstance(refact_edge.load(tiny_bundle).session, OnnxruntimeSession)
    with pytest.raises(OtherGraphError, match="it runs on onnxruntime only"):
        refact_edge.load(tiny_bundle, engine="native")


@pytest.mark.usefixtures("able")
def test_a_damaged_bundle_is_refused_by_either_engine(bundle_copy: Path) -> None:
    weights = bundle_copy / "onnx" / "model_q4.onnx_data"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    for engine in ("native", "onnxruntime"):
        with pytest.raises(refact_edge.RefactEdgeError, match="was altered"):
            refact_edge.load(bundle_copy, engine=engine)
    shutil.rmtree(bundle_copy)
