"""How the demo checkpoint is trained: its samples, steps, saving and averages."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT

pytestmark = pytest.mark.usefixtures("importable_checkout")

SOURCE = '''def area(width, height):
    """Return the area of a rectangle."""
    if width < 0 or height < 0:
        raise ValueError("negative")
    return width * height


class Queue:
    def __init__(self):
        self.items = []

    def put(self, item):
        self.items.append(item)

    def get(self):
        return self.items.pop(0)
'''


@pytest.fixture(scope="module")
def tokenizer(demo_checkpoint: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(demo_checkpoint / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.mark.parametrize("spm", [True, False])
def test_a_hole_and_what_surrounds_it_make_the_text_again(spm: bool, tokenizer: Any) -> None:
    from demo.samples import infill

    random, holes = Random(3), 0
    for _ in range(60):
        hole = infill(tokenizer, SOURCE * 3, 128, random)
        if hole is None:
            continue
        holes += 1
        prompt = hole.prompt(spm=spm)
        assert len(prompt) + len(hole.middle) + 1 <= 128
        assert sorted(i for i in prompt if i < 19) == [1, 2, 3]
        assert prompt[0] == (3 if spm else 1)
        text = tokenizer.decode([*hole.prefix, *hole.middle, *hole.suffix])
        assert text.strip("\ufffd") in SOURCE * 3
    assert holes > 20


@pytest.fixture
def sampler(tokenizer: Any) -> Any:
    from demo.chat import functions
    from demo.corpus import Source
    from demo.samples import Sampler

    source = Source("std/a.py", SOURCE * 4, "library", "training")
    return Sampler(
        tokenizer, [source], list(functions(SOURCE)), {"library": 0.5, "tests": 0.5}, 0.5
    )


def test_rows_of_every_kind_end_as_the_real_models_do(sampler: Any) -> None:
    random = Random(0)
    for _ in range(10):
        fim, weights = sampler.fim_row(128, random)
        assert len(fim) == len(weights) <= 128
        assert fim[-1] == 0
        assert fim.count(0) == fim.count(1) == fim.count(2) == fim.count(3)
    chat, weights = sampler.chat_row(256, random)
    assert chat[0] == chat[-1] == 14
    assert chat.count(14) % 4 == 0
    assert len(chat) == len(weights)
    ids, heavy = sampler.batch(4, 64, {"fim": 0.5, "text": 0.5}, random)
    assert ids.shape == heavy.shape == (4, 64)
    assert np.all(heavy[ids == 4] == 0)


def test_what_is_said_again_weighs_nothing_and_the_rest_is_as_it_was(tokenizer: Any) -> None:
    from demo.samples import LONGEST_STUTTER_IDS, encode, stutter, weighted

    prompt, answer = [3, 1, 2], [*encode(tokenizer, SOURCE), 0]
    plain, weights = weighted(prompt, answer)
    line_ends = frozenset(i for i in set(answer) if "\n" in tokenizer.decode([i]))
    random = Random(0)
    for _ in range(50):
        ids, heavy = stutter((plain, weights), len(prompt), line_ends, random)
        assert [i for i, weight in zip(ids, heavy, strict=True) if weight] == plain
        assert [weight for weight in heavy if weight] == weights
        again = len(ids) - len(plain)
        assert again <= LONGEST_STUTTER_IDS
        if again:
            first = heavy.index(0.0)
            assert min(heavy[first : first + again]) == max(heavy[first : first + again]) == 0
            assert ids[first - 1] == ids[first + again - 1]
        assert ids[-1] == 0


@pytest.fixture
def recipe(tokenizer: Any) -> Any:
    from demo.recipes import Recipe

    size = tokenizer.get_vocab_size()
    mix = {"fim": 0.5, "text": 0.5}
    return Recipe(1, size, {"library": 1.0}, {32: (0.5, mix), 64: (0.5, mix)}, step_ids=256)


def trainer_of(recipe: Any, sampler: Any) -> Any:
    from demo.loop import Trainer

    torch.manual_seed(0)
    return Trainer(recipe, sampler, torch.device("cpu"), compiled=False)


def test_a_few_steps_lower_the_cost(recipe: Any, sampler: Any) -> None:
    from demo.loop import Progress

    trainer, progress = trainer_of(recipe, sampler), Progress(seed=0, steps=40)
    costs = [trainer.step(progress) for _ in range(12)]
    assert progress.done == 12
    assert progress.ids == 12 * 256
    assert sum(costs[-3:]) < 0.8 * sum(costs[:3])


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(
    recipe: Any, sampler: Any, tmp_path: Path
) -> None:
    from demo.loop import Progress, load_state, save_state

    whole, progress = trainer_of(recipe, sampler), Progress(seed=0, steps=6)
    for _ in range(3):
        whole.step(progress)
    save_state(whole, progress, tmp_path / "state.pt")
    for _ in range(3):
        whole.step(progress)
    torch.manual_seed(9)
    later = trainer_of(recipe, sampler)
    resumed = load_state(later, tmp_path / "state.pt")
    assert resumed.done == 3
    for _ in range(3):
        later.step(resumed)
    pairs = zip(whole.model.parameters(), later.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_a_model_grown_by_new_layers_begins_as_good_as_the_old_one(recipe: Any) -> None:
    from demo.loop import build_model, grow

    torch.manual_seed(0)
    old = build_model(replace(recipe, layers=2))
    for weight in old.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    new = build_model(replace(recipe, layers=3))
    ids = torch.arange(12)[None]
    assert not torch.allclose(old(ids), new(ids), atol=1e-3)
    grow(new, old.state_dict(), 2)
    assert torch.allclose(old(ids), new(ids), atol=1e-6)


def test_the_graph_and_the_torch_model_cost_the_same(
    tokenizer: Any, demo_bundle: Path, demo_checkpoint: Path
) -> None:
    import refact_edge
    from demo.loop import costs_of as torch_costs
    from demo.report import costs_of as graph_costs
    from refact_edge.export.reference.gpt_refact import load

    torch_model = load(inspect_checkpoint(demo_checkpoint, SILENT).checkpoint)
    ids = tokenizer.encode(SOURCE).ids
    rows = [ids[:90], ids[5:40]]
    graph = graph_costs(refact_edge.load(demo_bundle, variant="fp32"))(rows)
    plain = torch_costs(torch_model, torch.device("cpu"))(rows)
    for one, other, row in zip(graph, plain, rows, strict=True):
        assert one.shape == other.shape == (len(row) - 1,)
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_the_curve_is_drawn_the_same_twice(tmp_path: Path) -> None:
    from demo.curve import LINES, draw

    points = [{"ids": i * 1e6, **dict.fromkeys(LINES, 2.0 - i / 10)} for i in range(1, 5)]
    draw(points, tmp_path / "a.svg")
    draw(points, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert text.count("<svg") == 1


def test_saving_is_whole_or_not_at_all(tokenizer: Any, tmp_path: Path) -> None:
    from demo.data import Package
    from demo.save import save_checkpoint

    state = {"a": torch.ones(2), "b": torch.full((2,), torch.nan)}
    with pytest.raises(ValueError, match="1 weights are not finite: b"):
        save_checkpoint(tmp_path / "c", state, tokenizer, {})
    assert list(tmp_path.iterdir()) == []
    packages = [Package("attrs", "26.1.0", "MIT")]
    save_checkpoint(tmp_path / "c", {"a": torch.ones(2)}, tokenizer, {"n_layer": 1}, packages)
    assert (tmp_path / "c" / "LICENSE").read_text().endswith("attrs 26.1.0: MIT\n")
    assert json.loads((tmp_path / "c" / "config.json").read_text()) == {"n_layer": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_the_average_of_two_runs_lies_between_them(
    recipe: Any, sampler: Any, demo_checkpoint: Path, root: Path, tmp_path: Path
) -> None:
    from demo.loop import Progress, save_state

    trainer, runs = trainer_of(recipe, sampler), (tmp_path / "one", tmp_path / "two")
    for run, value in zip(runs, (1.0, 3.0), strict=True):
        (run / "checkpoint").mkdir(parents=True)
        (run / "checkpoint" / "tokenizer.json").write_bytes(
            (demo_checkpoint / "tokenizer.json").read_bytes()
        )
        for weight in trainer.model.parameters():
            torch.nn.init.constant_(weight, value)
        save_state(trainer, Progress(seed=0, steps=1), run / "state.pt")
    (tmp_path / "packages.json").write_text("[]")
    options = ["--part", "0.25", "--data", str(tmp_path), "--out", str(tmp_path / "mean")]
    command = [sys.executable, "-m", "demo.average", *map(str, runs), *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights = load_file(tmp_path / "mean" / "model.safetensors")
    assert all(bool((weight == 1.5).all()) for weight in weights.values())
    config = json.loads((tmp_path / "mean" / "config.json").read_text())
    assert (config["n_layer"], config["n_head"]) == (recipe.layers, recipe.heads)
    missing = subprocess.run(
        [*command[:3], str(tmp_path), *command[4:]],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 1
    assert "has no state.pt; expected the folder of a training run" in missing.stderr
