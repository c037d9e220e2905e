"""Whether a model fits a machine's memory, and what else would."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planned import Facts, bundle_of

from refact_edge.runtime.bundle.contract import Bundle, Variant
from refact_edge.runtime.errors import DeviceError, OptionError
from refact_edge.runtime.opening.open import OpenOptions, open_wished
from refact_edge.runtime.opening.plan import Wishes, plan
from refact_edge.runtime.opening.room import bounded, check_room, need_of

GB = 10**9
# As a 7B of 32 layers, 32 heads of 128: 512 KiB a token in fp16.
SIZES = {"layers": 32, "heads": 32, "kv_heads": 32, "head_size": 128, "width": 4096}
WEIGHTS = {"fp32": 28 * GB, "int8": 7 * GB, "int4": 4 * GB}


def _bundle() -> Bundle:
    bundle = bundle_of(*WEIGHTS)
    sizes = replace(bundle.sizes, context=16384, vocabulary=32000, **SIZES)
    variants: dict[str, Variant] = {
        name: replace(variant, bytes=WEIGHTS[name]) for name, variant in bundle.variants.items()
    }
    return replace(bundle, sizes=sizes, variants=variants)


BUNDLE = _bundle()


def _refusal(wishes: Wishes, available: int, bundle: Bundle = BUNDLE) -> str:
    """Return why a plan is refused; "" where it is not."""
    try:
        check_room(bundle, plan(bundle, wishes, Facts()), available)
    except DeviceError as error:
        return str(error)
    return ""


def test_what_a_model_takes_is_weights_a_whole_cache_and_memory_to_work_in() -> None:
    need = need_of(BUNDLE, plan(BUNDLE, Wishes("int4", kv_type="fp16"), Facts()))
    assert need.cache_of_token == 2**19
    assert need.cache == 2**33
    assert need.total == 4 * GB + 2**33 + need.working
    assert 0 < need.working < GB


@pytest.mark.parametrize(("kv_type", "token"), [("fp32", 2**20), ("int8", 2**18 * 132 // 128)])
def test_the_cache_counts_by_its_type(kv_type: str, token: int) -> None:
    need = need_of(BUNDLE, plan(BUNDLE, Wishes("int4", kv_type=kv_type), Facts()))
    assert need.cache_of_token == token


def test_a_model_that_fits_is_not_refused() -> None:
    assert not _refusal(Wishes("int4", kv_type="fp16"), 13 * GB)


def test_one_that_does_not_is_refused_with_what_would() -> None:
    refusal = _refusal(Wishes("int4", kv_type="fp16"), 9 * GB)
    assert "int4 with a context of 16384 tokens takes 12." in refusal
    assert "a cache of fp16 8.6 GB" in refusal
    assert "9.0 GB are available; what fits: cache type int8; or context 9" in refusal


def test_a_smaller_variant_is_offered_too() -> None:
    refusal = _refusal(Wishes("int8", engine="onnxruntime"), 14 * GB)
    assert "what fits: context 6" in refusal
    assert "; or variant int4 with context 9" in refusal


def test_where_nothing_fits_it_says_so() -> None:
    assert _refusal(Wishes("int4"), GB).endswith("nothing of this bundle fits")


def test_what_is_offered_fits() -> None:
    available = 9 * GB
    offer = _refusal(Wishes("int4", kv_type="fp16"), available)
    context = int(offer.rpartition("; or context ")[2].partition(";")[0])
    assert not _refusal(Wishes("int4", kv_type="fp16"), available, bounded(BUNDLE, context))
    assert not _refusal(Wishes("int4", kv_type="int8"), available)


def test_a_gpu_and_a_machine_that_says_nothing_are_not_measured() -> None:
    chosen = plan(BUNDLE, Wishes("int4"), Facts())
    check_room(BUNDLE, chosen, None)
    check_room(BUNDLE, replace(chosen, device="cuda"), 1)


def test_it_is_refused_before_any_file_is_opened() -> None:
    """The bundle of this test has no files."""
    wishes = Wishes("int8", engine="onnxruntime")
    with pytest.raises(DeviceError, match=r"takes 24\.5 GB .* what fits: context"):
        open_wished(BUNDLE, wishes, Facts(available_memory=10 * GB), OpenOptions())


def test_a_context_bounds_the_bundle() -> None:
    assert bounded(BUNDLE, None) is BUNDLE
    assert bounded(BUNDLE, 2048).sizes.context == 2048
    assert bounded(BUNDLE, 16384).sizes == BUNDLE.sizes


@pytest.mark.parametrize("context", [-1, 0, 127, 16385])
def test_a_context_that_the_model_cannot_have_is_refused(context: int) -> None:
    with pytest.raises(OptionError, match=f"context {context}; expected 128 to 16384"):
        bounded(BUNDLE, context)
