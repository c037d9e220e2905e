"""Opened plans: every session behaves as the protocol says, and the log tells what was done."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import refact_edge
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.engine.session import Session
from refact_edge.runtime.errors import ClosedError, OptionError
from refact_edge.runtime.opening.machine import this_machine, why_not_native
from refact_edge.runtime.opening.open import OpenOptions, open_plan
from refact_edge.runtime.opening.plan import Wishes, plan
from refact_edge.runtime.opening.prepare import plan_of_graph, prepare
from refact_edge.runtime.store import folder as cachefolder

KINDS = {
    "native": Wishes("int4", "cpu", "native"),
    "onnxruntime": Wishes("int4", "cpu", "onnxruntime"),
    "int8": Wishes("int8", "cpu", "native"),
    "fp32": Wishes("fp32", "cpu"),
    "hybrid": Wishes("hybrid", "cpu"),
    "openvino": Wishes("int4", "cpu", "onnxruntime", "openvino"),
}


def _session(bundle: Path, kind: str) -> Session:
    if KINDS[kind].engine == "native" and (reason := why_not_native()):
        pytest.skip(reason)
    if kind == "openvino":
        pytest.importorskip("openvino")
    opened = read_bundle(bundle)
    return open_plan(opened, plan(opened, KINDS[kind], this_machine()), OpenOptions(threads=1))


@pytest.mark.parametrize("kind", KINDS)
def test_every_session_steps_says_what_it_is_and_can_be_closed(
    kind: str, demo_bundle: Path
) -> None:
    session = _session(demo_bundle, kind)
    assert session.sizes == read_bundle(demo_bundle).sizes
    assert session.device == "cpu"
    assert kind in session.engine or kind in ("int8", "fp32", "hybrid")
    cache, ids = session.new_cache(), np.arange(1, 31)
    assert session.step(ids, cache, 2).shape == (2, session.sizes.vocabulary)
    assert session.step(ids[:1], cache).dtype == np.float32
    assert cache.ids == [*ids.tolist(), 1]
    session.close()
    for count in (1, 30):  # one token and a long step: of hybrid and openvino, either session
        with pytest.raises(ClosedError, match="the model is closed"):
            session.step(ids[:count], session.new_cache())
    session.close()  # which may be called again


def test_the_log_says_which_plan_which_cache_hit_and_how_long_a_step_took(
    tiny_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "refact_edge"):
        model = refact_edge.load(tiny_bundle, variant="fp32")
        for _ in range(2):
            list(model.generate("a b c d", max_tokens=2, allow_empty=False))
    lines = [record.getMessage() for record in caplog.records]
    assert "plan: fp32 on cpu by onnxruntime (fp32 was named)" in lines
    assert any(line.startswith("fp32: the weights are hashed") for line in lines)
    hits = [line for line in lines if line.startswith("prefix: ")]
    assert hits[0].startswith("prefix: 0 of ")
    assert not hits[1].startswith("prefix: 0 of ")
    assert any(line.startswith("step: 1 tokens in ") and line.endswith(" ms") for line in lines)


def test_nothing_is_logged_by_itself(tiny_bundle: Path) -> None:
    code = (
        "import logging, sys, refact_edge\n"
        "refact_edge.load(sys.argv[1])\n"
        "logging.getLogger('refact_edge.runtime').error('for a host program to show')\n"
    )
    command = [sys.executable, "-c", code, str(tiny_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_a_number_of_threads_that_makes_no_sense_is_refused(threads: int) -> None:
    with pytest.raises(OptionError, match=f"threads {threads}; expected 1 to 1024"):
        OpenOptions(threads)


def test_what_is_prepared_is_what_the_plan_opens(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cachefolder.ENVIRONMENT, str(tmp_path))
    bundle, machine = read_bundle(tiny_bundle), this_machine()
    for wishes in (Wishes("hybrid", "cpu"), Wishes("int4", "cpu", "onnxruntime")):
        chosen = plan_of_graph(bundle, wishes, machine)
        for line, part in zip(prepare(bundle, wishes, machine), chosen.parts, strict=True):
            noted = chosen.engine == "native"
            assert line.startswith(f"{part}: weights are {'hashed' if noted else 'laid out'}")
            assert line.endswith(f"{part}-{line[-16:]}") or noted
