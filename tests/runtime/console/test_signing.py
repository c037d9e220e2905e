"""`sign`, `verify-signature`, and --trust and --digest of other commands, as a user meets them."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("cryptography", reason="the extra trust is not installed")

from keys_made import pair

from refact_edge.runtime.console.cli import cli
from refact_edge.runtime.console.signing import sign, verify_signature
from refact_edge.runtime.errors import BundleError, OptionError


def _run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments)])  # type: ignore[arg-type]


def test_a_bundle_is_signed_and_checked(bundle_copy: Path, tmp_path: Path) -> None:
    own = pair(tmp_path, "own")
    digest = _run(cli, "info", bundle_copy, "--digest").stdout.strip()
    signed = _run(sign, bundle_copy, "--key", own.private)
    assert signed.stdout.startswith(f"{bundle_copy / 'model.sig'}: ")
    assert digest in signed.stdout
    checked = _run(verify_signature, bundle_copy, "--trust", own.public)
    assert f"{bundle_copy}: signed by {own.public}, " in checked.stdout
    assert _run(verify_signature, bundle_copy, "--digest", digest).exit_code == 0
    assert "REFACT_EDGE_TRUST" not in os.environ


def test_weights_that_were_altered_are_told(bundle_copy: Path, tmp_path: Path) -> None:
    own = pair(tmp_path, "own")
    _run(sign, bundle_copy, "--key", own.private)
    weights = bundle_copy / "onnx" / "model_q4.onnx_data"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    error = _run(verify_signature, bundle_copy, "--trust", own.public).exception
    assert isinstance(error, BundleError)
    assert "onnx/model_q4.onnx_data was altered" in str(error)


def test_checking_by_nothing_is_refused(bundle_copy: Path) -> None:
    error = _run(verify_signature, bundle_copy).exception
    assert isinstance(error, OptionError)
    assert "expected --trust KEY or --digest sha256:..." in str(error)


PROBLEM = {
    "task_id": "HumanEval/0",
    "prompt": "def one():\n",
    "canonical_solution": "    return 1\n",
    "test": "def check(one):\n    assert one() == 1\n",
    "entry_point": "one",
}
COMMANDS = [
    ["info"],
    ["warm"],
    ["bench"],
    ["quality", "--checkpoint", "nowhere"],
    ["verify", "--checkpoint", "nowhere"],
    ["serve", "--port", "0"],
    ["complete", "--prefix", "x", "--bundle"],
    ["chat", "hello", "--bundle"],
    ["eval", "humaneval", "problem.jsonl", "--bundle"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_refuses_a_bundle_that_is_not_the_trusted_one(
    command: list[str], tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pair(tmp_path, "own")
    (tmp_path / "problem.jsonl").write_text(json.dumps(PROBLEM))
    monkeypatch.chdir(tmp_path)
    name, *options = command
    error = _run(cli, name, *options, tiny_bundle, "--trust", own.public).exception
    assert isinstance(error, BundleError)
    assert "nobody signed it" in str(error)
