"""What an effort is, by its name, and that a bundle tells which one made it."""

from pathlib import Path

import pytest

from refact_edge.export.convert import export_bundle
from refact_edge.export.effort import EFFORTS
from refact_edge.quant.texts.calibration import TEXTS, default_sources
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.errors import OptionError

METHODS = {"usual": "by itself", "more": "after the other"}


@pytest.mark.parametrize("name", METHODS)
def test_a_bundle_tells_how_its_weights_were_rounded(
    name: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    calibration = default_sources()
    export_bundle(tiny_checkpoint, bundle, ["int4"], calibration=calibration, effort=name)
    made_for = read_bundle(bundle).provenance["calibration"]
    assert METHODS[name] in made_for["method"]
    assert made_for["texts"] == EFFORTS[name].times * TEXTS
    folders = {path.name for path in bundle.iterdir() if path.is_dir()}
    assert folders == {"onnx"}, "nothing of the work is left behind"


def test_the_most_is_more_for_three_times_the_text() -> None:
    more, most = EFFORTS["more"], EFFORTS["most"]
    assert (most.times, most.in_sequence) == (3 * more.times, more.in_sequence)


def test_an_effort_that_is_none_is_refused_before_anything_is_written(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="effort 'hard'; expected one of: usual, more, most"):
        export_bundle(tiny_checkpoint, tmp_path / "bundle", ["int4"], effort="hard")
    assert not any(tmp_path.iterdir())
