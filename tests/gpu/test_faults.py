"""What a GPU may lack, each played by the stand-in: one line says it, and auto goes on without."""

from __future__ import annotations

from pathlib import Path

import pytest
from standin import StandIn

NO_MEMORY = "the GPU has not enough memory left"
FAULTS = {
    "no-device": "the NVIDIA driver sees no GPU",
    "old-driver": "the NVIDIA driver is for CUDA 12.0 and the installed onnxruntime for 13",
    "no-kernel": "the installed onnxruntime has no kernels for this GPU's compute capability",
}
ON_CPU = "computed on cpu, the same logits"


def _said(standin: StandIn, *arguments: object, **settings: object) -> list[str]:
    completed, _ = standin.run("answers.py", *arguments, **settings)
    assert (completed.returncode, completed.stderr) == (0, ""), completed.stderr[-2000:]
    return completed.stdout.splitlines()


@pytest.mark.parametrize("fault", FAULTS)
def test_auto_says_what_is_missing_in_one_line_and_runs_on_the_cpu(
    standin: StandIn, refact: Path, fault: str
) -> None:
    warning, result = _said(standin, refact, "auto", fault=fault)
    assert warning.startswith(f"warned: running on cpu: {FAULTS[fault]}")
    assert result == ON_CPU
    (refusal,) = _said(standin, refact, "cuda", fault=fault)
    assert refusal.startswith(f"refused: cuda was asked for and is not usable: {FAULTS[fault]}")


def test_a_card_that_others_have_filled_is_left_out(standin: StandIn, refact: Path) -> None:
    fault = standin.scratch / "filled"
    fault.touch()
    warning, result = _said(standin, refact, "auto", fault=fault)
    assert (warning.startswith(f"warned: running on cpu: {NO_MEMORY}"), result) == (True, ON_CPU)
    (refusal,) = _said(standin, refact, "cuda", fault=fault)
    assert refusal.startswith(f"refused: cuda was asked for and is not usable: {NO_MEMORY}")


def test_a_card_that_is_too_small_is_not_tried(standin: StandIn, refact: Path) -> None:
    warning, result = _said(standin, refact, "auto", memory=300_000_000)
    assert "takes 1.3 GB, and a card that computes nothing has 0.3 GB" in warning
    assert result == ON_CPU


def test_when_memory_ends_in_mid_answer_auto_goes_on_from_the_same_tokens(
    standin: StandIn, refact: Path
) -> None:
    warning, result = _said(standin, refact, "auto", fault=standin.scratch / "later")
    assert warning.startswith(f"warned: {NO_MEMORY}")
    assert warning.endswith("going on on the CPU, where what was read is evaluated anew")
    assert result == ON_CPU
    (standin.scratch / "later").unlink()
    (refusal,) = _said(standin, refact, "cuda", fault=standin.scratch / "later")
    assert refusal.startswith(f"refused: {NO_MEMORY}")


def test_without_a_fault_the_card_computes(standin: StandIn, refact: Path) -> None:
    assert _said(standin, refact, "auto") == ["computed on cuda"]
