"""What the loss minds, and weights rounded one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from refact_edge.export.fisher import EMBEDDED, Fisher, observe
from refact_edge.export.inspect import Inspected, inspect_checkpoint
from refact_edge.export.layerwise import Layerwise
from refact_edge.export.progress import SILENT
from refact_edge.export.scratch import Scratch
from refact_edge.export.sequential import Sequential
from refact_edge.export.variants import rounding_bytes, specs_in
from refact_edge.export.weights import form_of, quantized, with_relations
from refact_edge.quant.moments import Moments
from refact_edge.quant.pack import unpack
from refact_edge.quant.schemes import SCHEMES
from refact_edge.runtime.bundle.decoder import EMBEDDING

Floats = npt.NDArray[np.float32]
TEXTS = [np.random.default_rng(i).integers(0, 400, 60) for i in range(24)]
OTHERS = [np.random.default_rng(100 + i).integers(0, 400, 60) for i in range(12)]


@pytest.fixture(scope="module")
def checked(demo_checkpoint: Path) -> Inspected:
    return inspect_checkpoint(demo_checkpoint, SILENT)


@pytest.fixture(scope="module")
def model(checked: Inspected) -> Layerwise:
    return Layerwise(checked, rotated=True)


@pytest.fixture(scope="module")
def fisher(
    checked: Inspected, model: Layerwise, tmp_path_factory: pytest.TempPathFactory
) -> Fisher:
    scratch = Scratch(tmp_path_factory.mktemp("fisher"))
    return observe(model, TEXTS, checked.sizes.tokens, scratch, lambda _done: None)


def _log_shares(logits: Iterator[Floats], tokens: int) -> list[Floats]:
    shares = []
    for rows in logits:
        real = rows[:, :tokens].astype(np.float64)
        real -= real.max(axis=1, keepdims=True)
        shares.append(real - np.log(np.exp(real).sum(axis=1, keepdims=True)))
    return shares


def _divergence(
    model: Layerwise, texts: list[npt.NDArray[np.int64]], weights: Mapping[str, Floats], tokens: int
) -> float:
    """Return the mean KL of other weights' choices from the exact model's."""
    evaluated: Callable[..., Callable[[], Iterator[Floats]]] = model.evaluate
    exact = _log_shares(evaluated(texts, lambda _done: None)(), tokens)
    other = _log_shares(evaluated(texts, lambda _done: None, weights)(), tokens)
    pairs = zip(exact, other, strict=True)
    each = [(np.exp(p) * (p - q)).sum(axis=1) for p, q in pairs]
    return float(np.concatenate(each).mean())


def _exact(model: Layerwise) -> dict[str, Floats]:
    return {name: weight for stage in model.stages() for name, weight in stage.weights.items()}


def test_what_the_loss_minds_foretells_how_far_noise_moves_the_choices(
    checked: Inspected, model: Layerwise, fisher: Fisher
) -> None:
    # To second order KL is half of what gradients' moments make of an error's.
    weights, random = _exact(model), np.random.default_rng(0)
    table = weights[EMBEDDING]
    noise = 0.01 * table.std() * random.normal(0, 1, table.shape).astype(np.float32)
    weights[EMBEDDING] = table + noise
    got = _divergence(model, TEXTS, weights, checked.sizes.tokens)
    used = np.concatenate([noise[ids] for ids in TEXTS])
    (second,) = fisher.moments(EMBEDDED)
    foretold = 0.5 * float(np.einsum("te,ef,tf->", used, second, used)) / len(used)
    assert 0.5 < got / foretold < 2, (got, foretold)


def test_streams_are_those_of_the_exact_model(model: Layerwise, fisher: Fisher) -> None:
    embedded = list(model.embedded(TEXTS, model.weights(0)))
    for got, want in zip(fisher.stream(0), embedded, strict=True):
        np.testing.assert_array_equal(got, want)


def test_the_folder_takes_about_what_was_foretold(
    checked: Inspected, model: Layerwise, tmp_path: Path
) -> None:
    observe(model, TEXTS, checked.sizes.tokens, Scratch(tmp_path), lambda _done: None)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    foretold = rounding_bytes(checked.decoder, [], TEXTS)
    assert 0.95 < size / foretold < 1.1, (size, foretold)


def test_moments_come_back_within_the_digits_of_halves(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    gradients = (random.normal(0, 1, (50, 8)) * 10.0 ** np.arange(-8, 0)).astype(np.float32)
    gradients[:, 3] = 0  # an output that nothing minds
    moments = Moments()
    moments.add(gradients)
    fisher = Fisher(Scratch(tmp_path), TEXTS)
    fisher.save_moments("layers.0.mlp.down", [moments])
    (got,) = fisher.moments("layers.0.mlp.down")
    sizes = np.sqrt(np.diagonal(moments.second))
    assert (np.abs(got - moments.second) <= 1e-3 * np.outer(sizes, sizes)).all()


@pytest.mark.slow
def test_one_after_the_other_loses_less_than_each_by_itself(
    checked: Inspected, model: Layerwise, fisher: Fisher, tmp_path: Path
) -> None:
    scheme = SCHEMES["int4"]
    specs = {spec.name: spec for spec in specs_in(checked.decoder, scheme)}
    by_itself = {
        spec.name: unpack(
            quantized(stage.weights[spec.name], form_of(specs[spec.name], scheme), relations)
        )
        for stage in model.calibrate(TEXTS)
        for spec, relations in with_relations(stage)
    }
    in_sequence = {
        result.spec.name: unpack(result.packed)
        for results in Sequential(model, scheme, TEXTS, fisher).run(specs, Scratch(tmp_path))
        for result in results
    }
    assert in_sequence.keys() == by_itself.keys()
    tokens = checked.sizes.tokens
    lost = [_divergence(model, OTHERS, weights, tokens) for weights in (in_sequence, by_itself)]
    assert lost[0] < 0.85 * lost[1], lost
