"""The bill of materials that travels with a bundle."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from refact_edge.export.bom import BOM
from refact_edge.export.card import Card, read_card
from refact_edge.export.convert import export_bundle
from refact_edge.export.quality import default_data
from refact_edge.runtime.bundle.contract import read_bundle

CARD = """---
license: apache-2.0
datasets:
- bigcode/the-stack
- rombodawg/code
base_model: smallcloudai/Refact-1_6B-fim
---
# A model
"""


def _exported(checkpoint: Path, folder: Path, card: str | None, data: Any = ()) -> dict[str, Any]:
    """Export a copy of a checkpoint with a card, and return the bill of the bundle."""
    copy = Path(shutil.copytree(checkpoint, folder / "checkpoint"))
    if card is not None:
        (copy / "README.md").write_text(card)
    export_bundle(copy, folder / "bundle", ["int4"], data=data, name="tiny")
    text = (folder / "bundle" / BOM).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill: dict[str, Any] = json.loads(text)
    return bill


def _model(bill: Mapping[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = bill["metadata"]["component"]
    return model


def test_a_bundle_tells_what_it_was_made_from_and_by_whose_rules(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model = _model(_exported(tiny_checkpoint, tmp_path, CARD))
    assert (model["type"], model["name"]) == ("machine-learning-model", "tiny")
    assert model["licenses"] == [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}]
    (ancestor,) = model["pedigree"]["ancestors"]
    assert ancestor["name"] == "smallcloudai/Refact-1_6B-fim"
    files = {file["name"]: file["hashes"][0]["content"] for file in ancestor["components"]}
    source = read_bundle(tmp_path / "bundle").provenance["source"]
    assert files == {entry["file"]: entry["sha256"] for entry in source}
    named = [entry["name"] for entry in model["modelCard"]["modelParameters"]["datasets"]]
    assert named == ["bigcode/the-stack", "rombodawg/code"]
    assert [entry["name"] for entry in model["properties"]] == ["refact-edge:int4"]


def test_what_was_measured_is_told(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = _model(_exported(tiny_checkpoint, tmp_path, None, default_data()))
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    figures = read_bundle(tmp_path / "bundle").quality["variants"]["int4"]
    assert metrics[0]["value"] == str(figures["mean_kl"])
    assert {metric["slice"] for metric in metrics} == {"int4"}


def test_a_checkpoint_without_a_card_states_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = _model(_exported(tiny_checkpoint, tmp_path, None))
    assert "licenses" not in model
    assert "datasets" not in model["modelCard"]["modelParameters"]


def test_the_bill_is_one_of_the_bundles_files_and_the_same_each_time(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = _exported(tiny_checkpoint, tmp_path / "a", CARD)
    assert one == _exported(tiny_checkpoint, tmp_path / "b", CARD)
    assert BOM in read_bundle(tmp_path / "a" / "bundle").files


CARDS = [
    ("license: mit", Card()),
    ("---\nlicense: [mit, apache-2.0]\n---\n", Card("mit OR apache-2.0")),
    (
        "---\nlicense: other\nlicense_name: their-own\nlicense_link: LICENSE\n---\n",
        Card("their-own", "LICENSE"),
    ),
    ("---\n- a list\n---\n", Card()),
    ("---\n: : :\n\t---\n", Card()),
    ("---\nlicense: {a: b}\ndatasets: [1, code]\n---\n", Card(datasets=("code",))),
    ("---\nlicense: !!python/object/apply:os.system [true]\n---\n", Card()),
]


@pytest.mark.parametrize(("text", "card"), CARDS)
def test_a_card_is_read_as_far_as_it_says_something(text: str, card: Card, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)
    assert read_card(tmp_path) == card


def test_a_folder_without_a_card_has_none(tmp_path: Path) -> None:
    assert read_card(tmp_path) == Card()
