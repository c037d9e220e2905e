"""Bundles that earlier versions wrote: each is read, or says what to do.

`tests/bundles/format-N.zip` is int4 of the tests' tiny checkpoint as the first version with that
format exported it; such files are added and never made anew. docs/bundle-format.md has the table.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refact_edge.runtime.bundle.contract import FORMAT, read_bundle
from refact_edge.runtime.bundle.manifest import MANIFEST
from refact_edge.runtime.bundle.verified import verify_files
from refact_edge.runtime.errors import BundleError
from refact_edge.runtime.opening.load import load

BUNDLES = Path(__file__).parents[2] / "bundles"
READ = [2]
IDS = np.arange(5, 13, dtype=np.int64)
# Of each second position, where no other choice is near.
FIRST_CHOICES = {2: [42, 302, 70, 218]}


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[int], Path]:
    def unpack(number: int) -> Path:
        shutil.unpack_archive(BUNDLES / f"format-{number}.zip", tmp_path)
        return tmp_path

    return unpack


@pytest.mark.parametrize("number", READ)
@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
def test_a_bundle_of_an_earlier_format_still_computes_the_same(
    number: int, engine: str, unpacked: Callable[[int], Path]
) -> None:
    folder = unpacked(number)
    session = load(folder, engine=engine).session
    logits = session.step(IDS, session.new_cache(), len(IDS))
    assert logits[::2].argmax(axis=1).tolist() == FIRST_CHOICES[number]
    bundle = read_bundle(folder)
    verify_files(bundle, bundle.files)


def test_each_format_that_is_read_has_a_bundle() -> None:
    files = {int(file.stem.removeprefix("format-")) for file in BUNDLES.glob("format-*.zip")}
    assert files == set(READ)
    assert FORMAT in files


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(1, "export the model again"), (0, "export the model again"), (3, "update refact-edge")],
)
def test_a_bundle_of_another_format_says_what_to_do(
    number: int, remedy: str, unpacked: Callable[[int], Path]
) -> None:
    folder = unpacked(2)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"format": number}))
    expected = f"format {number}, this runtime reads {FORMAT}; {remedy}"
    with pytest.raises(BundleError, match=re.escape(expected)):
        read_bundle(folder)


def test_the_table_in_the_docs_names_every_format(root: Path) -> None:
    text = (root / "docs" / "bundle-format.md").read_text(encoding="utf-8")
    table = text.partition("## Formats and versions")[2]
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [1, *READ]
