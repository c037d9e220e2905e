"""The demo checkpoint as it is committed, and the parts that train it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.runtime.bundle import read_bundle

LIMIT_BYTES = 16 * 2**20


@pytest.fixture(autouse=True)
def _importable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root))


def test_the_checkpoint_is_small_and_what_it_says_it_is(demo_checkpoint: Path) -> None:
    assert sum(file.stat().st_size for file in demo_checkpoint.iterdir()) <= LIMIT_BYTES
    found = inspect_checkpoint(demo_checkpoint, SILENT)
    assert {info.type for info in found.checkpoint.tensors.values()} == {"BF16"}
    assert len(found.checkpoint.tensors) == 3 + 7 * found.config.layers
    assert found.config.context >= 1024
    assert found.config.width % 256 == found.config.inner % 256 == 0
    assert (demo_checkpoint / "LICENSE").is_file()


def test_its_bundle_carries_the_licence_and_both_default_variants(
    demo_checkpoint: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "refact_edge.runtime",
        "export",
        demo_checkpoint,
        tmp_path / "b",
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
    assert "".join(stream) == " NotImplemented"
    assert stream.finish == "stop"


def test_show_prints_each_command_and_then_its_answer(root: Path, demo_bundle: Path) -> None:
    from refact_edge.runtime.bundle import default_bundle

    if not default_bundle().exists():
        pytest.skip("the demo's bundle was not exported: make demo")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "demo.show"]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("$ refact-edge") == 2
    assert " NotImplemented\n" in done.stdout
    assert "def " in done.stdout.split("$ refact-edge chat")[1]


def test_held_out_files_are_chosen_by_the_published_rule() -> None:
    from demo.corpus import is_held_out, read_corpus

    # md5 of the name, modulo 20
    assert [is_held_out(f"std/{name}.py") for name in ("turtle", "os")] == [True, False]
    corpus = read_corpus()
    held_out = {source.name for source in corpus.held_out}
    assert held_out
    assert not held_out & {source.name for source in corpus.training}
    assert not {source.text for source in corpus.held_out} & {s.text for s in corpus.training}


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


def test_rows_of_every_kind_end_as_the_real_models_do(tokenizer: Any) -> None:
    from demo.corpus import Source
    from demo.samples import Sampler

    sampler = Sampler(tokenizer, [Source("std/a.py", SOURCE * 4)], Random(0))
    fim, _ = sampler.fim_row(128)
    assert fim[-1] == 0
    chat, weights = sampler.chat_row(256)
    assert chat[0] == chat[-1] == 14
    assert chat.count(14) % 4 == 0
    assert len(chat) == len(weights)
    ids, heavy = sampler.batch(4, 64)
    assert ids.shape == heavy.shape == (4, 64)
    assert np.all(heavy[ids == 4] == 0)


def test_a_few_steps_lower_the_loss(tokenizer: Any) -> None:
    from demo.corpus import Source
    from demo.samples import Sampler
    from demo.train import build_model, loss_of, optimizers

    torch.manual_seed(0)
    model = build_model()
    sampler = Sampler(tokenizer, [Source("std/a.py", SOURCE * 4)], Random(0))
    ids, weights = map(torch.from_numpy, sampler.batch(4, 65))
    loss, steppers = loss_of(model), optimizers(model)
    losses = []
    for _ in range(6):
        value = loss(ids, weights)
        value.backward()
        losses.append(value.item())
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
    assert losses[-1] < 0.8 * losses[0]


def test_saving_is_whole_or_not_at_all(tokenizer: Any, tmp_path: Path) -> None:
    from demo.save import save_checkpoint

    state = {"a": torch.ones(2), "b": torch.full((2,), torch.nan)}
    with pytest.raises(ValueError, match="1 weights are not finite: b"):
        save_checkpoint(tmp_path / "c", state, tokenizer, {})
    assert list(tmp_path.iterdir()) == []
    save_checkpoint(tmp_path / "c", {"a": torch.ones(2)}, tokenizer, {"n_layer": 1})
    assert json.loads((tmp_path / "c" / "config.json").read_text()) == {"n_layer": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
