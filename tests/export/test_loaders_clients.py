"""onnxruntime-genai and transformers.js open a bundle and say what our engine says."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loadable import LOADABLE
from loaded import NEAR, greedy

import refact_edge
from refact_edge.export.labels import label_of
from refact_edge.runtime.bundle.contract import standard_graph

CLIENTS = Path(__file__).parent / "clients"
TEXT = "def f(path):\n    return 12 + len(path)\n"
IDS = [31, 45, 60, 170, 221, 99]
COUNT = 40
SENTENCEPIECE = ("mistral", "gemma", "mpt", "chatglm")
DTYPES = {"fp32": "fp32", "int8": "int8", "int4": "q4"}


def _run(command: list[str], home: Path) -> dict[str, Any]:
    """Run a client and return the object it prints last."""
    environment = os.environ | {"HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _ends(bundle: Path) -> list[int]:
    """Return the tokens at which loaders stop."""
    ends: list[int] = json.loads((bundle / "generation_config.json").read_text())["eos_token_id"]
    return ends if isinstance(ends, list) else [ends]


@pytest.fixture(scope="module")
def transformers_js(root: Path) -> list[str]:
    """Return the command, up to the bundle."""
    library = root / "build" / "clients" / "node_modules" / "@huggingface" / "transformers"
    node = shutil.which("node")
    if node is None or not library.is_dir():
        pytest.skip("no transformers.js: make test-clients installs it")
    return [node, str(CLIENTS / "transformers.cjs"), str(library)]


@pytest.fixture(scope="module")
def genai() -> list[str]:
    """Return the command, up to the bundle."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        pytest.skip("no onnxruntime-genai: make test-clients installs it")
    return [sys.executable, str(CLIENTS / "genai.py")]


@pytest.mark.parametrize("variant", DTYPES)
@pytest.mark.parametrize("name", LOADABLE)
def test_onnxruntime_genai_knows_the_type_and_gives_the_same_tokens(
    name: str, variant: str, genai: list[str], loadable_bundles: dict[str, Path], tmp_path: Path
) -> None:
    bundle = loadable_bundles[name]
    arguments = [str(bundle), standard_graph(variant), str(COUNT), json.dumps(IDS), TEXT]
    said = _run([*genai, *arguments], tmp_path)
    assert said["type"] == label_of(name).genai
    ours = greedy(bundle, variant, IDS, COUNT).up_to(_ends(bundle))
    ours.assert_same(said["new"], NEAR[variant])
    # Its own tokenizer reads byte-level BPE alone: once it reads more, the docs are to say so.
    own = refact_edge.load(bundle).tokens.encode(TEXT)
    assert (said["encoded"] == own) == (name not in SENTENCEPIECE)


@pytest.mark.parametrize("variant", DTYPES)
@pytest.mark.parametrize("name", LOADABLE)
def test_transformers_js_knows_the_type_and_gives_the_same_tokens(
    name: str,
    variant: str,
    transformers_js: list[str],
    loadable_bundles: dict[str, Path],
    tmp_path: Path,
) -> None:
    bundle = loadable_bundles[name]
    arguments = [str(bundle), DTYPES[variant], str(COUNT), json.dumps(IDS), TEXT]
    said = _run([*transformers_js, *arguments], tmp_path)
    assert said["type"] == label_of(name).model_type
    ours = greedy(bundle, variant, IDS, COUNT).up_to(_ends(bundle))
    ours.assert_same(said["new"], NEAR[variant])
    assert said["encoded"] == refact_edge.load(bundle).tokens.encode(TEXT)
