"""Places of weights, written and read back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from refact_edge.runtime.bundle.places import (
    Part,
    Place,
    places_of,
    places_to_json,
    tensor_name,
)

PLACES = {
    "norm.weight": Place("floats", (96,), {"values": Part("float32", (96,), 0, 384)}),
    "positions": Place("floats", (8, 96), {"values": Part("float16", (8, 96), 4096, 1536)}),
    "head": Place(
        "rows",
        (448, 96),
        {
            "codes": Part("int8", (96, 448), 8192, 43008),
            "scales": Part("float32", (448,), 53248, 1792),
        },
        terms=2,
    ),
    "embedding": Place(
        "blocks",
        (448, 96),
        {
            "codes": Part("uint8", (448, 48), 57344, 21504),
            "scales": Part("float16", (448, 1), 81920, 896),
        },
        bits=4,
        block=128,
    ),
}


def test_what_is_written_is_read() -> None:
    assert places_of(json.loads(json.dumps(places_to_json(PLACES)))) == PLACES


def test_a_weights_values_bear_its_own_name() -> None:
    assert tensor_name("head", "values") == "head"
    assert tensor_name("head", "codes") == "head.codes"


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda p: p.update(head=5), "head is 5, expected an object"),
    (lambda p: p["head"].update(form="x"), "head has form 'x', expected one of floats"),
    (lambda p: p["head"].update(form=["x"]), r"head has form \['x'\]"),
    (lambda p: p["head"].pop("terms"), "head has {}, expected terms"),
    (lambda p: p["head"].update(terms=3), "head has {'terms': 3}, expected terms"),
    (lambda p: p["embedding"].update(bits=True), "embedding has .*, expected bits of"),
    (lambda p: p["head"]["parts"].pop("codes"), "head has other parts than"),
    (lambda p: p["head"]["parts"]["codes"].pop("type"), "head has codes .*, expected type, shape"),
    (lambda p: p["head"]["parts"]["codes"].update(type="int4"), "codes of type 'int4'"),
    (lambda p: p["head"]["parts"]["codes"].update(offset=-1), "codes with offset -1"),
    (lambda p: p["head"]["parts"]["scales"].update(offset=2), "scales at 2, .* no place for"),
    (lambda p: p["head"]["parts"]["codes"].update(length=1), "codes of 1 bytes for"),
    (lambda p: p["head"].update(shape=[96, 448]), r"codes int8 \[96, 448\], expected int8"),
    (lambda p: p["head"].update(shape=[448]), r"head of shape \[448\] is no matrix"),
    (lambda p: p["norm.weight"].update(shape=[2**21]), "has shape"),
    (lambda p: p.update(head=5, embedding=6), "embedding is 6, .*; head is 5|head is 5, .*is 6"),
]


@pytest.mark.parametrize(("edit", "complaint"), FAULTS)
def test_places_that_hold_no_weight_are_refused_and_listed(
    edit: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    content = json.loads(json.dumps(places_to_json(PLACES)))
    edit(content)
    with pytest.raises(ValueError, match=complaint):
        places_of(content)
