"""Which form of which variant a GPU is given, by what it computes and how much it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planned import Facts, bundle_of

from refact_edge.runtime.backends.cuda import Card
from refact_edge.runtime.bundle.contract import Bundle, gpu_graph
from refact_edge.runtime.errors import DeviceError
from refact_edge.runtime.opening.card_room import card_in_words, need_on_card
from refact_edge.runtime.opening.plan import Wishes, plan

GRAPHS = tuple(gpu_graph(name, folded=form) for name in ("fp16", "int4") for form in (True, False))
A5000 = Card("RTX A5000", 86, 24 * 10**9)
T4 = Card("Tesla T4", 75, 16 * 10**9)
SMALL = Card("a small one", 86, 2 * 10**9)


def _bundle() -> Bundle:
    bundle = bundle_of("fp32", "fp16", "int4", files=GRAPHS)
    sizes = {"fp32": 6 * 10**9, "fp16": 3 * 10**9, "int4": 9 * 10**8}
    variants = {n: replace(v, bytes=sizes[n]) for n, v in bundle.variants.items()}
    return replace(bundle, variants=variants)


@pytest.mark.parametrize(
    ("card", "expected"),
    [(A5000, "fp16 cuda folded"), (T4, "fp16 cuda bias"), (SMALL, "int4 cuda folded")],
)
def test_the_best_that_fits_is_taken_in_the_cards_own_form(card: Card, expected: str) -> None:
    chosen = plan(_bundle(), Wishes(), Facts(has_cuda=True, card=card))
    assert f"{chosen.variant} {chosen.device} {chosen.gpu_form}" == expected
    assert ("Tesla T4 is sm_75" in " ".join(chosen.reasons)) == (card is T4)


def test_a_driver_that_tells_of_no_card_is_believed_to_have_a_large_one() -> None:
    chosen = plan(_bundle(), Wishes(), Facts(has_cuda=True))
    assert (chosen.variant, chosen.gpu_form) == ("fp16", "folded")


def test_a_bundle_without_graphs_for_gpus_runs_by_the_engines() -> None:
    chosen = plan(bundle_of("fp16"), Wishes(), Facts(has_cuda=True, card=A5000))
    assert (chosen.device, chosen.gpu_form) == ("cuda", "")
    assert "has no graph for GPUs" in " ".join(chosen.reasons)


def test_what_is_too_large_for_the_card_runs_on_the_cpu_or_is_refused() -> None:
    machine = Facts(has_cuda=True, card=replace(SMALL, memory=10**9))
    chosen = plan(_bundle(), Wishes(), machine)
    assert (chosen.device, chosen.variant) == ("cpu", "int4")
    (warning,) = chosen.warnings
    assert "fp16 with a context of 9 tokens takes 3.7 GB, and a small one has 1.0 GB" in warning
    with pytest.raises(DeviceError, match=r"int4 with .* takes 1.6 GB, and a small one has 1.0"):
        plan(_bundle(), Wishes("int4", "cuda"), machine)


def test_what_would_fit_is_said_in_a_line() -> None:
    bundle = _bundle()
    assert card_in_words(bundle, SMALL) == (
        "with 9 tokens of context fp16 takes 3.7 GB, 0 MB of them a cache, which is too much; "
        "int4 takes 1.6 GB, 0 MB of them a cache; it has 2.0 GB"
    )
    long = replace(bundle, sizes=replace(bundle.sizes, layers=32, context=10**6))
    assert "int4 takes 3.1 GB, 1536 MB of them a cache, which is too much; context 260400 " in (
        card_in_words(long, SMALL)
    )
    assert "no variant of this bundle has a graph" in card_in_words(bundle_of("fp16"), SMALL)


def test_a_cache_of_refacts_whole_context_is_counted() -> None:
    bundle, sizes = _bundle(), replace(_bundle().sizes, layers=32, context=4096, kv_heads=1)
    grown = replace(bundle, sizes=sizes)
    row = 2 * (4 + 8)  # bytes of a head of 4 with its 8 numbers for ALiBi
    extra = need_on_card(grown, "fp16") - need_on_card(bundle, "fp16")
    assert extra == 2 * row * (32 * 4096 - 9)
