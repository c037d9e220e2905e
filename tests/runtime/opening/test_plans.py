"""Plans for all wishes on all machines: what holds for every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from planned import INSTALL, VARIANTS, Facts, bundle_of

from refact_edge.runtime.bundle.contract import Bundle
from refact_edge.runtime.errors import RefactEdgeError
from refact_edge.runtime.opening.cpu_engine import ENGINES
from refact_edge.runtime.opening.plan import DEVICES, PREFILL, Failures, Plan, Wishes, plan


def _machines() -> Iterator[Facts]:
    for missing, gpu, openvino, kernels, slower in product(
        ("", INSTALL), ("none", "broken", "works"), (True, False),
        ("good", "unbuilt", "failing"), (False, True),
    ):  # fmt: skip
        problem = {"good": "", "unbuilt": "not built", "failing": "fail"}[kernels]
        yield Facts(
            without_onnxruntime=missing,
            has_cuda=gpu != "none" and not missing,
            cuda_problem="" if gpu == "works" else f"cuda {gpu}",
            has_openvino=openvino,
            native_problem=problem,
            native_fails=kernels == "failing",
            native_is_slower=slower,
            native_timing="timed",
        )


MACHINES = list(_machines())
BUNDLES = [
    bundle_of(*VARIANTS),
    bundle_of(*VARIANTS, width=96),
    bundle_of("fp16", "int4"),
    bundle_of("int4", width=96),
    bundle_of("fp32", "int8"),
    bundle_of("fp16"),
]
FAILED = [Failures(), Failures(cuda="not started"), Failures(native="other graph")]


def _check(chosen: Plan, bundle: Bundle, wishes: Wishes, machine: Facts, failed: Failures) -> None:
    """Assert what holds for every plan."""
    assert set(chosen.parts) <= bundle.variants.keys()
    assert wishes.variant in (None, chosen.variant)
    assert wishes.device in ("auto", chosen.device)
    assert chosen.reasons
    assert all("\n" not in reason for reason in chosen.reasons)
    if wishes.engine == "native" or chosen.engine == "native":
        assert (chosen.engine, chosen.device) == ("native", "cpu")
        assert set(chosen.parts) <= {"int4", "int8"}
        assert (machine.native_problem, failed.native) == ("", "")
    if wishes.engine == "auto" and chosen.engine == "native":
        assert machine.without_onnxruntime or not machine.native_is_slower
    if wishes.engine == "onnxruntime":
        assert chosen.engine == "onnxruntime"
    if chosen.engine == "onnxruntime":
        assert not machine.without_onnxruntime
    if chosen.device == "cuda":
        assert machine.has_cuda or wishes.device == "cuda"
        assert (machine.cuda_problem, failed.cuda) == ("", "")
        assert chosen.prefill == "same"
        assert chosen.variant != "int4" or bundle.sizes.width % 128 == 0
    assert (chosen.prefill == "openvino") == (wishes.prefill == "openvino")
    if chosen.prefill == "openvino":
        assert machine.has_openvino
        assert (chosen.variant, bundle.sizes.width % 128) == ("int4", 0)
    gpu_left_out = (
        chosen.device == "cpu" and wishes.device == "auto" and machine.has_cuda
        and not wishes.for_cpu
    )  # fmt: skip
    fp16 = (chosen.variant, chosen.device) == ("fp16", "cpu")
    alarming = (
        set(chosen.parts) <= {"int4", "int8"} and chosen.device == "cpu"
        and chosen.engine == "onnxruntime" and machine.native_fails
        and wishes.engine != "onnxruntime" and not failed.native
    )  # fmt: skip
    assert len(chosen.warnings) == gpu_left_out + fp16 + alarming


@pytest.mark.parametrize("variant", [None, *VARIANTS, "hybrid"])
@pytest.mark.parametrize("device", DEVICES)
def test_every_combination_is_planned_soundly_or_refused_in_one_line(
    variant: str | None, device: str, recwarn: pytest.WarningsRecorder
) -> None:
    plans, refusals = 0, set()
    for engine, prefill, bundle, machine, failed in product(
        ENGINES, PREFILL, BUNDLES, MACHINES, FAILED
    ):
        wishes = Wishes(variant, device, engine, prefill)
        try:
            chosen = plan(bundle, wishes, machine, failed)
        except RefactEdgeError as error:
            refusals.add(str(error))
            continue
        plans += 1
        assert chosen == plan(bundle, wishes, machine, failed)
        _check(chosen, bundle, wishes, machine, failed)
    assert not recwarn.list  # a plan holds its warnings, and gives none
    assert all(len(refusal.splitlines()) == 1 for refusal in refusals)
    assert plans > 0 or (variant, device) == ("hybrid", "cuda")
