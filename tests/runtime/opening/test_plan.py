"""The plan, as a table: what is opened for some wishes on some machine, or why nothing is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planned import INSTALL, VARIANTS, Facts, bundle_of

from refact_edge.runtime.errors import (
    BundleError,
    DeviceError,
    MissingExtraError,
    OptionError,
)
from refact_edge.runtime.opening.plan import USUAL_KV_TYPE, Failures, Wishes, plan

LAPTOP = Facts()
NO_ORT = Facts(without_onnxruntime=INSTALL, has_openvino=False)
GPU = Facts(has_cuda=True)
NO_DRIVER = Facts(has_cuda=True, cuda_problem="there is no NVIDIA driver")
CPU_WHEEL = Facts(cuda_problem="the installed onnxruntime offers only CPUExecutionProvider")
UNBUILT = Facts(native_kind="", native_problem="the native kernels were not built")
FAILING = Facts(native_problem="the native kernels fail their self-test", native_fails=True)
PORTABLE = Facts(native_kind="portable", native_is_slower=True, native_timing="portable is slower")
LOST = Facts(native_kind="neon", native_is_slower=True, native_timing="neon: 0.5 times as fast")
WON = Facts(native_kind="neon", native_timing="neon: 2 times as fast")
BARE = replace(UNBUILT, without_onnxruntime=INSTALL)


FULL, ODD = bundle_of(*VARIANTS), bundle_of(*VARIANTS, width=96)
UNLIKE = bundle_of("int8", "int4")
UNLIKE.variants["int4"] = replace(UNLIKE.variants["int4"], kv_type="float16")
HALF_AND_4, ODD_4 = bundle_of("fp16", "int4"), bundle_of("int4", width=96)

# What is wished for, on which machine, of which bundle; and variant, engine, device and prefill.
PLANS = {
    "nothing": (Wishes(), LAPTOP, FULL, "int4 native cpu same"),
    "int4": (Wishes("int4"), LAPTOP, FULL, "int4 native cpu same"),
    "int8": (Wishes("int8"), LAPTOP, FULL, "int8 native cpu same"),
    "fp32": (Wishes("fp32"), LAPTOP, FULL, "fp32 onnxruntime cpu same"),
    "fp16 on a cpu": (Wishes("fp16"), LAPTOP, FULL, "fp16 onnxruntime cpu same"),
    "hybrid": (Wishes("hybrid"), LAPTOP, FULL, "hybrid native cpu same"),
    "no int4": (Wishes(), LAPTOP, bundle_of("fp32", "int8"), "int8 native cpu same"),
    "only fp32": (Wishes(), LAPTOP, bundle_of("fp32"), "fp32 onnxruntime cpu same"),
    "onnxruntime": (Wishes(engine="onnxruntime"), LAPTOP, FULL, "int4 onnxruntime cpu same"),
    "int8 by onnxruntime": (
        Wishes("int8", engine="onnxruntime"), LAPTOP, FULL, "int8 onnxruntime cpu same"
    ),
    "native int8": (Wishes("int8", engine="native"), LAPTOP, FULL, "int8 native cpu same"),
    "native, int8 alone": (
        Wishes(engine="native"), LAPTOP, bundle_of("fp32", "int8"), "int8 native cpu same"
    ),
    "int8, kernels unbuilt": (Wishes("int8"), UNBUILT, FULL, "int8 onnxruntime cpu same"),
    "native": (Wishes(engine="native"), LAPTOP, FULL, "int4 native cpu same"),
    "native hybrid": (
        Wishes("hybrid", engine="native"), LAPTOP, FULL, "hybrid native cpu same"
    ),
    "hybrid by onnxruntime": (
        Wishes("hybrid", engine="onnxruntime"), LAPTOP, FULL, "hybrid onnxruntime cpu same"
    ),
    "openvino": (Wishes(prefill="openvino"), LAPTOP, FULL, "int4 native cpu openvino"),
    "openvino and onnxruntime": (
        Wishes(engine="onnxruntime", prefill="openvino"), LAPTOP, FULL,
        "int4 onnxruntime cpu openvino",
    ),
    "openvino, kernels unbuilt": (
        Wishes(prefill="openvino"), UNBUILT, FULL, "int4 onnxruntime cpu openvino"
    ),
    "kernels unbuilt": (Wishes(), UNBUILT, FULL, "int4 onnxruntime cpu same"),
    "self-test fails": (Wishes(), FAILING, FULL, "int4 onnxruntime cpu same"),
    "portable kernels": (Wishes(), PORTABLE, FULL, "int4 onnxruntime cpu same"),
    "portable by name": (Wishes(engine="native"), PORTABLE, FULL, "int4 native cpu same"),
    "a lost trial": (Wishes(), LOST, FULL, "int4 onnxruntime cpu same"),
    "a lost trial, by name": (Wishes(engine="native"), LOST, FULL, "int4 native cpu same"),
    "a lost trial, hybrid": (Wishes("hybrid"), LOST, FULL, "hybrid onnxruntime cpu same"),
    "a won trial": (Wishes(), WON, FULL, "int4 native cpu same"),
    "no onnxruntime": (Wishes(), NO_ORT, FULL, "int4 native cpu same"),
    "no onnxruntime, portable": (
        Wishes(), replace(PORTABLE, without_onnxruntime=INSTALL), FULL, "int4 native cpu same"
    ),
    "a gpu": (Wishes(), GPU, FULL, "fp16 onnxruntime cuda same"),
    "a gpu by name": (Wishes(device="cuda"), GPU, FULL, "fp16 onnxruntime cuda same"),
    "a gpu left out": (Wishes(device="cpu"), GPU, FULL, "int4 native cpu same"),
    "int4 on a gpu": (Wishes("int4"), GPU, FULL, "int4 onnxruntime cuda same"),
    "int8 on a gpu": (Wishes("int8"), GPU, FULL, "int8 onnxruntime cuda same"),
    "hybrid beside a gpu": (Wishes("hybrid"), GPU, FULL, "hybrid native cpu same"),
    "native beside a gpu": (Wishes(engine="native"), GPU, FULL, "int4 native cpu same"),
    "openvino beside a gpu": (Wishes(prefill="openvino"), GPU, FULL, "int4 native cpu openvino"),
    "onnxruntime on a gpu": (Wishes(engine="onnxruntime"), GPU, FULL, "fp16 onnxruntime cuda same"),
    "a gpu without a driver": (Wishes(), NO_DRIVER, FULL, "int4 native cpu same"),
    "fp16 without a driver": (Wishes("fp16"), NO_DRIVER, FULL, "fp16 onnxruntime cpu same"),
    "hybrid without a driver": (Wishes("hybrid"), NO_DRIVER, FULL, "hybrid native cpu same"),
    "a bad width, fp16 there": (Wishes(), GPU, ODD, "fp16 onnxruntime cuda same"),
    "a bad width, int4 alone": (Wishes(), GPU, ODD_4, "int4 native cpu same"),
    "a bad width, int4 named": (Wishes("int4"), GPU, ODD, "int4 native cpu same"),
    "a bad width on a cpu": (Wishes(), LAPTOP, ODD, "int4 native cpu same"),
}  # fmt: skip

# What is wished for, and the type of the caches: a graph's own but by the native kernels alone.
TYPES = {
    "nothing": (Wishes(), FULL, USUAL_KV_TYPE),
    "int8 named": (Wishes(kv_type="int8"), FULL, "int8"),
    "fp32 named": (Wishes(kv_type="fp32"), FULL, "fp32"),
    "onnxruntime": (Wishes(engine="onnxruntime"), FULL, "fp32"),
    "its own type named": (Wishes("fp32", kv_type="fp32"), FULL, "fp32"),
    "a graph of halves": (Wishes(engine="onnxruntime"), UNLIKE, "fp16"),
    "hybrid": (Wishes("hybrid"), FULL, USUAL_KV_TYPE),
    "hybrid by onnxruntime": (Wishes("hybrid", engine="onnxruntime"), FULL, "fp32"),
    "openvino": (Wishes(prefill="openvino"), FULL, "fp32"),
}

ERRORS = {
    "a cache of int8 for onnxruntime": (
        Wishes("fp32", kv_type="int8"), LAPTOP, FULL, OptionError,
        "cache type int8: fp32 has caches of fp32 where onnxruntime or openvino computes",
    ),
    "a cache of fp16 for openvino": (
        Wishes(prefill="openvino", kv_type="fp16"), LAPTOP, FULL, OptionError,
        "int4 has caches of fp32",
    ),
    "hybrid on a gpu": (Wishes("hybrid", "cuda"), GPU, FULL, DeviceError, "hybrid is for CPUs"),
    "native on a gpu": (
        Wishes(device="cuda", engine="native"), GPU, FULL, OptionError, "kernels are for CPUs"
    ),
    "openvino on a gpu": (
        Wishes(device="cuda", prefill="openvino"), GPU, FULL, DeviceError, "prefills on CPUs only"
    ),
    "native fp32": (
        Wishes("fp32", engine="native"), LAPTOP, FULL, OptionError,
        "compute int4 and int8, not fp32; take one of these variants, or engine onnxruntime",
    ),
    "openvino int8": (
        Wishes("int8", prefill="openvino"), LAPTOP, FULL, OptionError, "not int8; take variant int4"
    ),
    "openvino hybrid": (
        Wishes("hybrid", prefill="openvino"), LAPTOP, FULL, OptionError, "int4, not hybrid"
    ),
    "a variant that is not there": (
        Wishes("int8"), LAPTOP, HALF_AND_4, OptionError, "no variant 'int8'; it has: fp16, int4"
    ),
    "half of hybrid": (
        Wishes("hybrid"), LAPTOP, HALF_AND_4, OptionError, "'int8', and hybrid is int8 and int4"
    ),
    "hybrid of unlike caches": (
        Wishes("hybrid"), LAPTOP, UNLIKE, BundleError,
        "int8 and int4 over one cache, and theirs are of float32 and float16; export",
    ),
    "native without int4": (
        Wishes(engine="native"), LAPTOP, bundle_of("fp32"), OptionError, "no variant 'int4'"
    ),
    "fp16 alone on a cpu": (
        Wishes(), LAPTOP, bundle_of("fp16"), BundleError, "holds only fp16, which is not chosen on"
    ),
    "no gpu": (
        Wishes(device="cuda"), CPU_WHEEL, FULL, DeviceError,
        "cuda was asked for and is not usable: the installed onnxruntime offers only CPU",
    ),
    "no driver": (
        Wishes(device="cuda"), NO_DRIVER, FULL, DeviceError, "not usable: there is no NVIDIA driver"
    ),
    "a bad width": (
        Wishes("int4", "cuda"), GPU, ODD, DeviceError, "wrong values .* rows of 96 .* take fp16"
    ),
    "native, unbuilt": (
        Wishes(engine="native"), UNBUILT, FULL, OptionError,
        "engine native cannot be had: the native kernels were not built",
    ),
    "native, failing": (
        Wishes(engine="native"), FAILING, FULL, OptionError, "cannot be had: .* fail their self-"
    ),
    "fp32 without onnxruntime": (
        Wishes("fp32"), NO_ORT, FULL, MissingExtraError, "onnxruntime is not installed; install it"
    ),
    "hybrid by onnxruntime without it": (
        Wishes("hybrid", engine="onnxruntime"), NO_ORT, FULL, MissingExtraError,
        "onnxruntime is not installed",
    ),
    "cuda without onnxruntime": (
        Wishes(device="cuda"), NO_ORT, FULL, MissingExtraError, r"not installed; .*edge\[gpu\]"
    ),
    "neither engine": (
        Wishes(), BARE, FULL, MissingExtraError, "onnxruntime is not installed"
    ),
    "openvino, a bad width": (
        Wishes(prefill="openvino"), LAPTOP, ODD, OptionError, "cannot look up rows of 96"
    ),
    "no openvino": (
        Wishes(prefill="openvino"), NO_ORT, FULL, MissingExtraError, r"refact-edge\[openvino\]"
    ),
}  # fmt: skip

WARNED = {
    "fp16 on a cpu": "fp16 has no kernels on a CPU",
    "self-test fails": "onnxruntime computes: the native kernels fail their self-test",
    "a gpu without a driver": "running on cpu: there is no NVIDIA driver",
    "fp16 without a driver": "running on cpu: there is no NVIDIA driver",
    "a bad width, int4 alone": "running on cpu: onnxruntime looks up wrong values",
    "a bad width, int4 named": "running on cpu: onnxruntime looks up wrong values",
}


@pytest.mark.parametrize("case", PLANS)
def test_a_plan_is_what_the_table_says(case: str) -> None:
    wishes, machine, bundle, expected = PLANS[case]
    chosen = plan(bundle, wishes, machine)
    assert " ".join((chosen.variant, chosen.engine, chosen.device, chosen.prefill)) == expected
    warned = chosen.warnings[0] if chosen.warnings else ""
    assert warned.startswith(WARNED.get(case, ""))
    assert bool(warned) == (case in WARNED)


@pytest.mark.parametrize("case", TYPES)
def test_caches_are_of_the_type_that_the_table_says(case: str) -> None:
    wishes, bundle, expected = TYPES[case]
    assert plan(bundle, wishes, LAPTOP).kv_type == expected


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_planned_is_refused_with_the_reason(case: str) -> None:
    wishes, machine, bundle, kind, words = ERRORS[case]
    with pytest.raises(kind, match=words):
        plan(bundle, wishes, machine)


def test_unknown_words_are_refused_with_those_there_are() -> None:
    for wrong, words in (
        ({"device": "tpu"}, "device 'tpu'; expected one of auto, cpu, cuda"),
        ({"kv_type": "int2"}, "cache type 'int2'; expected one of fp32, fp16, int8"),
        ({"engine": "gpu"}, "engine 'gpu'; expected one of auto, native, onnxruntime"),
        ({"prefill": "tpu"}, "prefill 'tpu'; expected one of same, openvino"),
    ):
        with pytest.raises(OptionError, match=words):
            Wishes(**wrong)


def test_a_cuda_that_does_not_start_is_planned_without() -> None:
    failed = Failures(cuda="libcudart.so.13 is missing")
    chosen = plan(FULL, Wishes(), GPU, failed)
    assert (chosen.variant, chosen.engine, chosen.device) == ("int4", "native", "cpu")
    assert chosen.warnings == ("running on cpu: libcudart.so.13 is missing",)
    with pytest.raises(DeviceError, match="is not usable: libcudart"):
        plan(FULL, Wishes(device="cuda"), GPU, failed)


def test_a_graph_that_the_kernels_do_not_compute_is_planned_for_onnxruntime_in_silence() -> None:
    failed = Failures(native="the graph has other slopes")
    chosen = plan(FULL, Wishes("hybrid"), LAPTOP, failed)
    assert (chosen.engine, chosen.warnings) == ("onnxruntime", ())
    assert "onnxruntime computes hybrid: the graph has other slopes" in chosen.reasons
    with pytest.raises(MissingExtraError):
        plan(FULL, Wishes(), NO_ORT, failed)


def test_reasons_say_why_this_variant_and_this_engine() -> None:
    assert plan(FULL, Wishes(), WON).reasons == (
        "int4 is the bundle's best on cpu",
        "native kernels (neon) compute int4: neon: 2 times as fast",
    )
    assert plan(FULL, Wishes("fp32"), WON).reasons == ("fp32 was named",)
    assert str(plan(FULL, Wishes("hybrid"), WON)) == "hybrid on cpu by the native kernels"
    with_openvino = plan(FULL, Wishes(prefill="openvino"), WON)
    assert str(with_openvino) == "int4 on cpu by the native kernels, prefill by openvino"


def test_hybrid_has_two_parts() -> None:
    assert plan(FULL, Wishes("hybrid"), LAPTOP).parts == ("int8", "int4")


class Asked(Facts):
    """A machine that tells which of its facts were asked for."""

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("_"):
            ASKED.add(name)
        return super().__getattribute__(name)


ASKED: set[str] = set()


@pytest.mark.parametrize(
    ("wishes", "costly"),
    [
        (Wishes("fp32", device="cpu"), set()),
        (Wishes(device="cpu", engine="onnxruntime"), set()),
        (Wishes("int4", engine="native"), {"native_problem", "native_kind"}),
        (Wishes(), {"native_problem", "native_is_slower", "native_timing", "native_kind"}),
    ],
)
def test_what_costs_a_lookup_is_asked_for_only_where_the_plan_depends_on_it(
    wishes: Wishes, costly: set[str]
) -> None:
    """CUDA imports onnxruntime, the kernels' problem is a self-test, their speed may be a trial."""
    ASKED.clear()
    plan(FULL, wishes, Asked())
    assert {name for name in ASKED if name.startswith(("native_", "cuda_"))} == costly
