"""The model a layer at a time: the same numbers as the reference, whole."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from refact_edge.export.inspect import Inspected, inspect_checkpoint
from refact_edge.export.layerwise import Layerwise
from refact_edge.export.progress import SILENT
from refact_edge.export.weights import load_weight
from refact_edge.quant.rotation import turn

TEXTS = [np.random.default_rng(i).integers(0, 400, 40 + i) for i in range(3)]


def _reference(found: Inspected) -> torch.nn.Module:
    model = found.architecture.reference(found.config)
    specs = found.architecture.weight_specs(found.config, set(found.checkpoint.tensors))
    weights = {spec.name: load_weight(found.checkpoint, spec).reshape(spec.shape) for spec in specs}
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model


def test_its_logits_are_the_references(tiny_checkpoint: Path) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    layers: list[int] = []
    evaluated = Layerwise(found).evaluate(TEXTS, layers.append)
    logits = list(evaluated())
    model = _reference(found)
    with torch.inference_mode():
        for ids, got in zip(TEXTS, logits, strict=True):
            want = model(torch.from_numpy(ids)[None])[0].numpy()
            np.testing.assert_allclose(got, want, atol=1e-4)
    assert layers == [1] * found.sizes.layers
    assert all(np.array_equal(*pair) for pair in zip(logits, evaluated(), strict=True))


def test_the_turned_model_gives_the_same_logits_from_a_stream_that_is_turned(
    tiny_checkpoint: Path,
) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    plain = Layerwise(found).evaluate(TEXTS, lambda _done: None)
    turned = Layerwise(found, turned=True).evaluate(TEXTS, lambda _done: None)
    for want, got in zip(plain(), turned(), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    moments = [
        list(Layerwise(found, turned=which).calibrate(TEXTS))[-1].moments["lm_head.weight"].second
        for which in (False, True)
    ]
    matrix = turn(found.sizes.width)
    norm = found.checkpoint.read("ln_f.weight")
    unweighted = moments[0] / np.outer(norm, norm)  # its weights are in the head, once turned
    assert not np.allclose(moments[1], unweighted, rtol=1e-2)
    np.testing.assert_allclose(matrix.T @ moments[1] @ matrix, unweighted, rtol=1e-3, atol=1e-4)


def test_stages_hold_all_weights_in_the_order_of_the_data_file(tiny_checkpoint: Path) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    specs = found.architecture.weight_specs(found.config, set(found.checkpoint.tensors))
    stages = list(Layerwise(found).calibrate(TEXTS))
    assert [spec for stage in stages for spec in stage.specs] == specs
    for stage in stages:
        for spec in stage.specs:
            np.testing.assert_array_equal(
                stage.weights[spec.name], load_weight(found.checkpoint, spec)
            )
            assert (spec.name in stage.moments) == (spec.multiplies)


def test_moments_are_those_of_what_each_weight_multiplies(tiny_checkpoint: Path) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    seen: dict[str, list[NDArray[np.float32]]] = {}
    model = _reference(found)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(
                lambda _module, given, _out, name=name: seen.setdefault(
                    f"{name}.weight", []
                ).append(given[0][0].numpy())
            )
    with torch.inference_mode():
        for ids in TEXTS:
            model(torch.from_numpy(ids)[None])
    moments = {
        name: found_here
        for stage in Layerwise(found).calibrate(TEXTS)
        for name, found_here in stage.moments.items()
    }
    assert moments.keys() == seen.keys()
    for name, parts in seen.items():
        rows = np.concatenate(parts).astype(np.float64)
        np.testing.assert_allclose(
            moments[name].second, rows.T @ rows / len(rows), rtol=1e-3, atol=1e-5
        )
