"""Weights as a table of roles makes them of a checkpoint's tensors."""

import numpy as np
import pytest
from decoders import decoder

from refact_edge.export.sources import Facts, Heads, Shared, Source, Stacked, Transposed, Whole
from refact_edge.runtime.bundle.decoder import weight_shapes

BIGCODE, NEOX = (
    Facts(one, weight_shapes(one)) for one in (decoder("gpt_bigcode"), decoder("gpt_neox"))
)
Q, KV, UP = "layers.0.attention.q", "layers.0.attention.kv", "layers.0.mlp.up"


def _tensors(source: Source, role: str, facts: Facts) -> dict[str, np.ndarray]:
    """Return tensors of the shapes that a source wants, of different numbers."""
    shapes = source.shapes(role, facts)
    return {
        name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 1e6 * i
        for i, (name, shape) in enumerate(shapes.items())
    }


def test_rows_that_several_roles_share_are_taken_apart() -> None:
    source = Shared("qkv", (Q, KV))
    tensors = _tensors(source, Q, BIGCODE)
    assert tensors["qkv"].shape == (96 + 32, 96)
    parts = [source.weight(role, BIGCODE, tensors.__getitem__) for role in (Q, KV)]
    np.testing.assert_array_equal(np.concatenate(parts), tensors["qkv"])


@pytest.mark.parametrize("suffix", ["", ".bias"])
def test_heads_that_lie_side_by_side_are_taken_apart(suffix: str) -> None:
    tensors = _tensors(Heads("qkv", (0,)), f"{Q}{suffix}", NEOX)
    whole = tensors["qkv"]
    assert len(whole) == 3 * 96
    q = Heads("qkv", (0,)).weight(f"{Q}{suffix}", NEOX, tensors.__getitem__)
    kv = Heads("qkv", (1, 2)).weight(f"{KV}{suffix}", NEOX, tensors.__getitem__)
    np.testing.assert_array_equal(q[16:32], whole[48:64])  # queries of the second head
    np.testing.assert_array_equal(kv[:16], whole[16:32])  # keys of the first
    np.testing.assert_array_equal(kv[96 + 16 : 96 + 32], whole[80:96])  # values of the second


def test_matrices_that_lie_as_inputs_by_outputs_are_transposed() -> None:
    source = Transposed(Whole("c_fc"))
    tensors = _tensors(source, UP, BIGCODE)
    assert tensors["c_fc"].shape == (96, 384)
    np.testing.assert_array_equal(
        source.weight(UP, BIGCODE, tensors.__getitem__), tensors["c_fc"].T
    )
    shared = Transposed(Shared("c_attn", (Q, KV)))
    assert shared.shapes(KV, BIGCODE) == {"c_attn": (96, 128)}
    np.testing.assert_array_equal(
        shared.weight(KV, BIGCODE, _tensors(shared, KV, BIGCODE).__getitem__).shape, (32, 96)
    )


def test_stacked_tensors_are_rows_one_after_the_other_and_names_hold_the_layer() -> None:
    source = Stacked(("h.{}.k", "h.{}.v")).at("3")
    tensors = _tensors(source, KV, BIGCODE)
    assert list(tensors) == ["h.3.k", "h.3.v"]
    weight = source.weight(KV, BIGCODE, tensors.__getitem__)
    np.testing.assert_array_equal(weight, np.concatenate(list(tensors.values())))
    assert Transposed(Shared("h.{}.a", (Q, KV))).at("3").shapes(Q, BIGCODE) == {"h.3.a": (96, 128)}
