"""The model a layer at a time: the same numbers as the reference, whole."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.layerwise import Layerwise
from refact_edge.export.progress import SILENT
from refact_edge.export.roles import weight_specs
from refact_edge.quant.rotation import rotation

TEXTS = [np.random.default_rng(i).integers(0, 400, 40 + i) for i in range(3)]


def test_its_logits_are_the_references(tiny_checkpoint: Path) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    layers: list[int] = []
    evaluated = Layerwise(found).evaluate(TEXTS, layers.append)
    logits = list(evaluated())
    model = found.architecture.reference(found.checkpoint)
    with torch.inference_mode():
        for ids, got in zip(TEXTS, logits, strict=True):
            want = model(torch.from_numpy(ids)[None])[0].numpy()
            np.testing.assert_allclose(got, want, atol=1e-4)
    assert layers == [1] * found.sizes.layers
    assert all(np.array_equal(*pair) for pair in zip(logits, evaluated(), strict=True))


def test_the_rotated_model_gives_the_same_logits_from_a_rotated_stream(
    tiny_checkpoint: Path,
) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    plain = Layerwise(found).evaluate(TEXTS, lambda _done: None)
    rotated = Layerwise(found, rotated=True).evaluate(TEXTS, lambda _done: None)
    for want, got in zip(plain(), rotated(), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    moments = [
        list(Layerwise(found, rotated=which).calibrate(TEXTS))[-1].moments["head"].second
        for which in (False, True)
    ]
    matrix = rotation(found.sizes.width)
    norm = found.checkpoint.read("ln_f.weight")
    unweighted = moments[0] / np.outer(norm, norm)  # its weights are in the head, once rotated
    assert not np.allclose(moments[1], unweighted, rtol=1e-2)
    np.testing.assert_allclose(matrix.T @ moments[1] @ matrix, unweighted, rtol=1e-3, atol=1e-4)


def test_stages_hold_all_weights_in_the_order_of_the_data_file(tiny_checkpoint: Path) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    specs = weight_specs(found.decoder)
    stages = list(Layerwise(found).calibrate(TEXTS))
    assert [spec for stage in stages for spec in stage.specs] == specs
    for stage in stages:
        for spec in stage.specs:
            np.testing.assert_array_equal(stage.weights[spec.name], found.weight(spec.name))
            assert (spec.name in stage.moments) == (spec.multiplies)


def test_moments_are_those_of_what_each_weight_multiplies(tiny_checkpoint: Path) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    seen: dict[str, list[NDArray[np.float32]]] = {}
    model = found.architecture.reference(found.checkpoint)
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
        name: one
        for stage in Layerwise(found).calibrate(TEXTS)
        for name, one in stage.moments.items()
    }
    names = {role: found.tensor_names(role)[0] for role in moments}
    assert set(names.values()) == seen.keys()
    for name, tensor in names.items():
        rows = np.concatenate(seen[tensor]).astype(np.float64)
        np.testing.assert_allclose(
            moments[name].second, rows.T @ rows / len(rows), rtol=1e-3, atol=1e-5
        )
