"""Which engine computes: the native kernels where they can, onnxruntime else, and why is said."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import refact_edge
from refact_edge.runtime.backends.hybrid import Hybrid
from refact_edge.runtime.backends.native.session import NativeSession
from refact_edge.runtime.backends.native.weights import OtherGraphError
from refact_edge.runtime.backends.onnxruntime import Session
from refact_edge.runtime.console.doctor import examine
from refact_edge.runtime.engine.sampling import Sampling
from refact_edge.runtime.errors import OptionError, RefactEdgeWarning
from refact_edge.runtime.machine import library
from refact_edge.runtime.opening import verdict
from refact_edge.runtime.opening.trial import Trial


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """Have each test find out for itself what there is."""
    verdict.why_not.cache_clear()
    library.opened.cache_clear()
    yield
    verdict.why_not.cache_clear()
    library.opened.cache_clear()


@pytest.fixture
def able() -> None:
    if reason := verdict.why_not():
        pytest.skip(reason)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library.Native.__init__, "__defaults__", (tmp_path / "none.so",))


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernels compute wrongly."""
    right = library.Native.product

    def off(self: library.Native, *given: Any) -> Any:
        return right(self, *given) + 1

    monkeypatch.setattr(library.Native, "product", off)


def _doctors_line() -> tuple[str, str]:
    (found,) = [one for one in examine(None) if one.subject == "int4 on this cpu"]
    return found.state, found.problem


@pytest.mark.usefixtures("able")
def test_native_kernels_are_taken_by_themselves_for_int4_alone(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle)
    assert isinstance(model.session, NativeSession)
    assert model.engine == f"native kernels ({library.opened().best})"
    assert _doctors_line() == (model.engine, "")
    for variant in ("int8", "fp32"):
        assert isinstance(refact_edge.load(tiny_bundle, variant=variant).session, Session)
    both = refact_edge.load(tiny_bundle, variant="hybrid")
    assert isinstance(both.session, Hybrid)
    assert both.engine.endswith(f"reads, {model.engine} writes")


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
                best = sorted((one.logprob for one in scores[place].top), reverse=True)
                assert best[0] - best[1] < 0.25, (prompt, place)
                break
            compared += 1
    assert compared >= 20


def test_onnxruntime_computes_where_it_is_asked_for(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle, engine="onnxruntime")
    assert isinstance(model.session, Session)
    assert model.engine.startswith("onnxruntime ")


@pytest.mark.usefixtures("absent")
def test_without_the_library_onnxruntime_computes_in_silence(tiny_bundle: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(refact_edge.load(tiny_bundle).session, Session)
    with pytest.raises(OptionError, match=r"engine native cannot be had: .*GCC 11"):
        refact_edge.load(tiny_bundle, engine="native")
    state, problem = _doctors_line()
    assert state.startswith("onnxruntime: the native kernels were not built")
    assert problem == ""


@pytest.mark.usefixtures("able", "wrong")
def test_kernels_that_fail_their_self_test_are_not_used_and_the_user_is_told(
    tiny_bundle: Path,
) -> None:
    verdict.why_not.cache_clear()
    with pytest.warns(RefactEdgeWarning, match="onnxruntime computes: the native kernels fail"):
        assert isinstance(refact_edge.load(tiny_bundle).session, Session)
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
    verdict.why_not.cache_clear()
    assert isinstance(refact_edge.load(tiny_bundle).session, Session)
    assert "(portable)" in _doctors_line()[0]
    assert verdict.why_not(slow=True) == ""


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(("native_ms", "kind"), [(1.0, NativeSession), (3.0, Session)])
def test_load_takes_the_engine_that_won_the_trial(
    tiny_bundle: Path, native_ms: float, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Trial("avx2", native_ms, 2.0, "2026-11-29")
    monkeypatch.setattr(verdict, "trial", lambda: outcome)
    verdict.why_not.cache_clear()
    assert isinstance(refact_edge.load(tiny_bundle).session, kind)
    assert str(outcome) in _doctors_line()[0]


@pytest.mark.usefixtures("able")
def test_a_graph_of_another_make_runs_on_onnxruntime(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from refact_edge.runtime.backends.native import weights

    monkeypatch.setattr(weights, "turn", lambda _graph: None)
    assert isinstance(refact_edge.load(tiny_bundle).session, Session)
    with pytest.raises(OtherGraphError, match="it runs on onnxruntime only"):
        refact_edge.load(tiny_bundle, engine="native")


def test_what_does_not_go_together_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match="engine 'gpu'; expected one of auto, native, onnx"):
        refact_edge.load(tiny_bundle, engine="gpu")
    with pytest.raises(OptionError, match="native kernels compute int4, not int8"):
        refact_edge.load(tiny_bundle, variant="int8", engine="native")


@pytest.mark.usefixtures("able")
def test_a_damaged_bundle_is_refused_by_either_engine(bundle_copy: Path) -> None:
    weights = bundle_copy / "onnx" / "model_q4.onnx_data"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    for engine in ("native", "onnxruntime"):
        with pytest.raises(refact_edge.RefactEdgeError, match="was altered"):
            refact_edge.load(bundle_copy, engine=engine)
    shutil.rmtree(bundle_copy)
