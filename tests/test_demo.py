"""The demo checkpoint as it is committed, its bundle, and what `make demo` shows of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.runtime.bundle.contract import read_bundle

pytestmark = pytest.mark.usefixtures("importable_checkout")

LIMIT_BYTES = 16 * 2**20


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
    fast = ["--no-calibration", "--no-report"]  # the shipped bundle is made with both
    command = [
        sys.executable,
        "-m",
        "refact_edge.runtime",
        "export",
        str(demo_checkpoint),
        str(tmp_path / "b"),
        *fast,
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
