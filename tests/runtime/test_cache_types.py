"""Models with caches of each type, and with less context than they could have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from runner import runner_apart

import refact_edge
from refact_edge.runtime.console.cli import cli
from refact_edge.runtime.console.doctor import examine
from refact_edge.runtime.engine.kv_type import KV_TYPES
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import DeviceError, OptionError
from refact_edge.runtime.opening.machine import ThisMachine
from refact_edge.runtime.opening.plan import USUAL_KV_TYPE

PROMPT = "def add(first, second):\n    total = first\n" * 12


def _complete(model: refact_edge.Model, prefix: str = PROMPT) -> tuple[str, int]:
    """Return a text, and how many tokens of its prompt were not evaluated."""
    stream = model.complete(prefix, max_tokens=8, stop=(), sampling=GREEDY)
    return "".join(stream), stream.usage.cached


@pytest.mark.parametrize("name", KV_TYPES)
def test_a_prompt_comes_back_from_disk_as_it_was_evaluated(
    name: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    def open_model() -> refact_edge.Model:
        return refact_edge.load(
            tiny_bundle, variant="int4", engine="native", caches=tmp_path, kv_type=name
        )

    first = open_model()
    text, cached = _complete(first)
    assert cached == 0
    first.save_caches()
    again, cached = _complete(open_model())
    assert again == text
    assert cached > 64


def test_rows_of_another_type_are_not_read(tiny_bundle: Path, tmp_path: Path) -> None:
    for name in KV_TYPES:
        model = refact_edge.load(
            tiny_bundle, variant="int4", engine="native", caches=tmp_path, kv_type=name
        )
        assert _complete(model)[1] == 0
        model.save_caches()
    assert len(list(tmp_path.iterdir())) == len(KV_TYPES)


def test_int4_has_the_usual_type_by_itself(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle, variant="int4", engine="native")
    rows = KV_TYPES[USUAL_KV_TYPE].row_bytes(model.bundle.sizes)
    assert model.session.new_cache().row_bytes == rows


@pytest.mark.parametrize(("variant", "engine"), [("int4", "native"), ("fp32", "auto")])
def test_less_context_is_what_a_model_has(variant: str, engine: str, tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle, variant=variant, engine=engine, context=200)
    assert model.context_tokens == model.session.sizes.context == 200
    assert model.session.new_cache().context == 200
    whole = refact_edge.load(tiny_bundle, variant=variant, engine=engine)
    short = "def add(first, second):\n"
    assert _complete(model, short) == _complete(whole, short)
    with pytest.raises(OptionError, match="max_tokens 200; expected 1 to 199"):
        model.complete(short, max_tokens=200)


def test_a_context_beyond_the_models_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match="context 641; expected 128 to 640"):
        refact_edge.load(tiny_bundle, context=641)


def test_a_model_that_does_not_fit_is_refused_with_what_would(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ThisMachine, "available_memory", 10_000)
    with pytest.raises(DeviceError, match=r"takes .* MB of memory .* 0\.0 MB are available"):
        refact_edge.load(tiny_bundle)


def test_commands_take_both_options(tiny_bundle: Path) -> None:
    fixed = ["complete", "--bundle", str(tiny_bundle), "--prefix", "a", "--max-tokens", "4"]
    options = ["--cache-type", "int8", "--context", "200", "--engine", "native"]
    assert runner_apart().invoke(cli, [*fixed, *options]).exit_code == 0
    wrong = runner_apart().invoke(cli, [*fixed, "--cache-type", "int2"])
    assert "cache type 'int2'; expected one of fp32, fp16, int8" in f"{wrong.exception}"


def test_info_and_doctor_say_what_caches_take(tiny_bundle: Path) -> None:
    """Of 2 layers with one head of 16, and 640 tokens of context."""
    lines = runner_apart().invoke(cli, ["info", str(tiny_bundle)]).stdout.splitlines()
    assert (
        "KV caches: fp32 256 bytes a token, 0.2 MB for 640; "
        "fp16 128 bytes a token, 0.1 MB for 640; int8 80 bytes a token, 0.1 MB for 640"
    ) in lines
    states = {finding.subject.strip(): finding for finding in examine(tiny_bundle)}
    assert f"KV caches: {states['KV caches'].state}" in lines
    memory = states["memory, full context"]
    assert re.match(r"[\d.]+ MB of .* available: weights .*, a cache of \w+ 0\.\d MB", memory.state)
    assert memory.problem == ""


def test_doctor_says_that_a_model_does_not_fit(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ThisMachine, "available_memory", 10_000)
    (memory,) = (one for one in examine(tiny_bundle) if "memory" in one.subject)
    assert "are available; nothing of this bundle fits" in memory.problem
