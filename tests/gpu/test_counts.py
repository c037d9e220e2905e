"""What each token asks of a GPU: few kernels a layer, all of halves, one launch, no copies."""

from __future__ import annotations

import re

import pytest
from standin import MARK, Event, StandIn

CARDS = (75, 86, 89, 90, 120)
FLASH, UNFUSED = "flash_fwd_splitkv_kernel", "UnfusedSoftmaxKernel"
WITHOUT_FLASH = "attention_kernel_batched_impl"
MOST = {"fp16": 15, "int4": 16}  # kernels a layer
BIASED = {"fp16": 18, "int4": 19}  # with ALiBi as a bias
_FLOAT_KERNEL = re.compile(r"<float\b|Sgemm|Kernel<float")


def steps_of(events: list[Event]) -> list[list[Event]]:
    """Return the events of each step that a program marked."""
    steps: list[list[Event]] = []
    for event in events:
        if event.kind == MARK:
            steps.append([])
        elif steps:
            steps[-1].append(event)
    return steps[:-1]


def layer_of(captured: list[Event], attention: str) -> list[Event]:
    """Return what lies between the attention of one layer and that of the next."""
    places = [number for number, event in enumerate(captured) if attention in event.words]
    return captured[places[0] : places[1]]


def _captured(standin: StandIn, bundle: object, variant: str, form: str, sm: int) -> list[Event]:
    completed, events = standin.run("steps.py", bundle, variant, form, 100, 1, 1, 3, 3, sm=sm)
    assert completed.returncode == 0, completed.stderr[-2000:]
    assert completed.stderr == ""
    # One token was captured when the session was opened.
    before = events[: next(i for i, event in enumerate(events) if event.kind == MARK)]
    captured = [event for event in before if event.captured]
    _, first, again, drafted, drafted_again = steps_of(events)
    for step in (first, again, drafted_again):
        kinds = [event.kind for event in step]
        assert kinds.count("GRAPH") == 1
        assert "KERNEL" not in kinds
        assert "LIBRARY" not in kinds
    assert [event.kind for event in drafted].count("GRAPH") == 1
    for event in [*captured, *(event for event in drafted if event.captured)]:
        assert event.kind in ("KERNEL", "LIBRARY", "MEMSET") or _is_bias(event), event
    return captured


def _is_bias(event: Event) -> bool:
    """Whether it puts a bias where cuBLAS adds a product to it: nothing of it leaves the card."""
    return event.kind == "COPY" and event.words.startswith("queued device-device ")


def _kernels(events: list[Event]) -> list[str]:
    """Return all that takes a launch, but for zeros that are written."""
    return [event.words for event in events if event.kind != "MEMSET"]


@pytest.mark.parametrize("variant", MOST)
@pytest.mark.parametrize("sm", [card for card in CARDS if card >= 80])
def test_a_layer_is_few_kernels_of_halves_around_flash_attention(
    standin: StandIn, refact: object, variant: str, sm: int
) -> None:
    captured = _captured(standin, refact, variant, "folded", sm)
    layer = _kernels(layer_of(captured, FLASH))
    assert len(layer) <= MOST[variant], layer
    assert not [kernel for kernel in _kernels(captured) if _FLOAT_KERNEL.search(kernel)]


@pytest.mark.parametrize("variant", MOST)
def test_cards_before_flash_attention_add_alibi_to_scores(
    standin: StandIn, refact: object, variant: str
) -> None:
    captured = _captured(standin, refact, variant, "bias", 75)
    layer = _kernels(layer_of(captured, UNFUSED))
    assert len(layer) <= BIASED[variant], layer
    assert not [kernel for kernel in layer if _FLOAT_KERNEL.search(kernel)]


@pytest.mark.parametrize("variant", MOST)
@pytest.mark.parametrize("sm", CARDS)
def test_rotary_positions_cost_no_kernel_of_their_own(
    standin: StandIn, qwen: object, variant: str, sm: int
) -> None:
    captured = _captured(standin, qwen, variant, "folded", sm)
    has_flash = sm >= 80
    layer = _kernels(layer_of(captured, FLASH if has_flash else WITHOUT_FLASH))
    assert len(layer) <= MOST[variant] + (0 if has_flash else 3), layer
    assert not [kernel for kernel in _kernels(captured) if _FLOAT_KERNEL.search(kernel)]
