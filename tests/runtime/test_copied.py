"""Weights that are copied into memory do not need their file any more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import refact_edge
from refact_edge.runtime.bundle import contract as layout
from refact_edge.runtime.errors import BundleError

_SCRIPT = """
import os, sys
import refact_edge

bundle, variant, engine, prefill = sys.argv[1:]
GREEDY = refact_edge.Sampling(temperature=0)
PROMPT = "def add(a, b):\\n    return a + b\\n" * 4 + "def sub("

def text(model):
    return "".join(model.complete(PROMPT, "\\n", max_tokens=8, sampling=GREEDY))

options = {"variant": variant, "engine": engine, "prefill": prefill, "hashes": False}
before = text(refact_edge.load(bundle, **options))
model = refact_edge.load(bundle, copy_weights=True, **options)
for name in os.listdir(f"{bundle}/onnx"):
    if name.endswith("_data"):
        os.truncate(f"{bundle}/onnx/{name}", 0)
assert text(model) == before
print("done")
"""


@pytest.mark.parametrize(
    ("variant", "engine", "prefill"),
    [("int4", "native", "same"), ("int4", "onnxruntime", "same"), ("int8", "native", "same"),
     ("int8", "onnxruntime", "same"), ("hybrid", "auto", "same"), ("int4", "native", "openvino")],
)  # fmt: skip
def test_a_file_that_is_cut_short_in_its_place_ends_nothing(
    variant: str, engine: str, prefill: str, demo_bundle: Path, tmp_path: Path
) -> None:
    """Mapped weights would end the process by SIGBUS here."""
    if prefill == "openvino":
        pytest.importorskip("openvino")
    bundle = shutil.copytree(demo_bundle, tmp_path / "bundle")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(bundle), variant, engine, prefill],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_file_that_was_cut_short_is_found_when_it_is_opened_again(bundle_copy: Path) -> None:
    """Also where `warm` has noted that the file needs no hashing, and no hashes are wanted."""
    refact_edge.load(bundle_copy, variant="int4")
    file = bundle_copy / layout.weights_file("int4")
    file.write_bytes(file.read_bytes()[:-64])
    for hashes in (True, False):
        with pytest.raises(BundleError, match=r"model_q4\.onnx_data has \d+ bytes"):
            refact_edge.load(bundle_copy, variant="int4", hashes=hashes)
