"""The demo checkpoint as it is committed, and the parts that train it."""

import json
import os
import subprocess
import sys
import sysconfig
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
from refact_edge.runtime.bundle.contract import read_bundle

LIMIT_BYTES = 16 * 2**20


@pytest.fixture(autouse=True)
def _importable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root))


def test_the_checkpoint_is_small_and_what_it_says_it_is(demo_checkpoint: Path) -> None:
    assert sum(file.stat().st_size for file in demo_checkpoint.iterdir()) <= LIMIT_BYTES
    inspected = inspect_checkpoint(demo_checkpoint, SILENT)
    tensors, decoder = inspected.checkpoint.tensors, inspected.decoder
    assert {info.type for info in tensors.values()} == {"BF16"}
    assert len(tensors) == 3 + 7 * decoder.layers
    assert decoder.context >= 1024
    assert decoder.width % 256 == decoder.mlp.hidden % 256 == 0
    assert (demo_checkpoint / "LICENSE").is_file()


def test_its_bundle_carries_the_licence_and_both_default_variants(
    demo_checkpoint: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "refact_edge.runtime",
        "export",
        str(demo_checkpoint),
        str(tmp_path / "b"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(read_bundle(tmp_path / "b").variants) == ["int8", "int4"]
    assert (tmp_path / "b" / "LICENSE").is_file()
    assert "LICENSE" not in done.stderr


@pytest.mark.parametrize("variant", ["fp32", "int8", "int4"])
def test_it_has_learned_something(variant: str, demo_bundle: Path) -> None:
    import refact_edge
    from demo.show import PREFIX, SUFFIX

    model = refact_edge.load(demo_bundle, variant=variant)
    greedy = refact_edge.Sampling(temperature=0)
    stream = model.complete(PREFIX, SUFFIX, sampling=greedy)
    assert "".join(stream) == "return NotImplemented"
    assert stream.finish == "stop"


def test_show_prints_each_command_and_then_its_answer(root: Path, demo_bundle: Path) -> None:
    from refact_edge.runtime.opening.demo import find_demo

    if find_demo() is None:
        pytest.skip("the demo's bundle was not exported: make demo")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "demo.show"]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("$ refact-edge") == 2
    assert "return NotImplemented\n" in done.stdout
    assert "def " in done.stdout.split("$ refact-edge chat")[1]


def committed_list(root: Path) -> list[str]:
    lines = (root / "demo" / "held_out.txt").read_text().splitlines()
    return [line.split()[0] for line in lines if not line.startswith("#")]


def test_the_committed_list_of_held_out_modules_follows_the_rule(root: Path) -> None:
    from demo.corpus import split_of

    names = committed_list(root)
    assert len(names) == 30
    assert {split_of(name, "library") for name in names} == {"held-out"}
    assert split_of("std/os.py", "library") == "training"
    assert split_of(names[0], "packages") == "training"


def test_the_library_at_hand_holds_out_the_same_modules(root: Path) -> None:
    from demo.corpus import read_library

    if sys.version_info[:2] != (3, 11):
        pytest.skip("the list is of CPython 3.11")
    sources = read_library(Path(sysconfig.get_path("stdlib")))
    found = {source.name for source in sources if source.split == "held-out"}
    assert found == set(committed_list(root))


def test_copies_of_held_out_and_of_earlier_files_are_dropped() -> None:
    from demo.corpus import Source, without_copies

    def lines(word: str, count: int) -> str:
        return "".join(
            f"{word}_{i} = function_{word}(argument_{i}, 'value')\n" for i in range(count)
        )

    def training(name: str, text: str) -> Source:
        return Source(name, text, "packages", "training")

    kept = [
        Source("std/held.py", lines("held", 10), "library", "held-out"),
        training("own.py", lines("own", 10)),
        training("little.py", lines("held", 2) + lines("little", 8)),
        training("half.py", lines("own", 5) + lines("half", 5)),
    ]
    copies = [
        training("leak.py", lines("held", 3) + lines("leak", 7)),
        training("same.py", lines("own", 10)),
        training("most.py", lines("own", 7) + lines("most", 3)),
    ]
    found = without_copies([*kept, *copies])
    assert [source.name for source in found.sources] == [source.name for source in kept]
    assert found.dropped == 3


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: MIT\nLicense: other\n", "MIT"),
        ("License: BSD-3-Clause\n", "BSD-3-Clause"),
        ("License: " + "text " * 40 + "\nClassifier: License :: OSI Approved :: ISC\n", "ISC"),
        ("Name: nothing\n", "see its files"),
    ],
)
def test_a_packages_licence_is_read_from_its_metadata(metadata: str, licence: str) -> None:
    from demo.data import licence_of

    assert licence_of(metadata) == licence


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

    found = Tokenizer.from_file(str(demo_checkpoint / "tokenizer.json"))
    found.encode_special_tokens = True
    return found


@pytest.mark.parametrize("spm", [True, False])
def test_a_hole_and_what_surrounds_it_make_the_text_again(spm: bool, tokenizer: Any) -> None:
    from demo.samples import infill

    random, found = Random(3), 0
    for _ in range(60):
        hole = infill(tokenizer, SOURCE * 3, 128, random)
        if hole is None:
            continue
        found += 1
        prompt = hole.prompt(spm=spm)
        assert len(prompt) + len(hole.middle) + 1 <= 128
        assert sorted(i for i in prompt if i < 19) == [1, 2, 3]
        assert prompt[0] == (3 if spm else 1)
        text = tokenizer.decode([*hole.prefix, *hole.middle, *hole.suffix])
        assert text.strip("\ufffd") in SOURCE * 3
    assert found > 20


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


@pytest.mark.parametrize("command", ["train", "report"])
def test_without_the_texts_it_says_how_to_gather_them(
    command: str, root: Path, tmp_path: Path, demo_bundle: Path
) -> None:
    options = ["--out", tmp_path / "run"] if command == "train" else [demo_bundle]
    done = subprocess.run(
        [sys.executable, "-m", f"demo.{command}", *options, "--data", tmp_path],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "make train-data" in done.stderr
    assert "Traceback" not in done.stderr


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
