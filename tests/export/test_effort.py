"""What an effort is, by its name, and that a bundle tells which one made it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refact_edge.export.convert import export_bundle
from refact_edge.export.effort import EFFORTS, effort_for
from refact_edge.export.progress import Advance, Track
from refact_edge.export.scratch import ENDING
from refact_edge.quant.texts.calibration import TEXTS, default_sources
from refact_edge.runtime.bundle.contract import read_bundle, weights_file
from refact_edge.runtime.errors import OptionError

METHODS = {"least": "by itself", "more": "after the other"}


@pytest.mark.parametrize("name", METHODS)
def test_a_bundle_tells_how_its_weights_were_rounded(
    name: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    calibration = default_sources()
    export_bundle(tiny_checkpoint, bundle, ["int4"], calibration=calibration, effort=name)
    made_for = read_bundle(bundle).provenance["calibration"]
    assert METHODS[name] in made_for["method"]
    assert made_for["texts"] == TEXTS
    assert ("in_sequence" in made_for) == EFFORTS[name].in_sequence
    folders = {path.name for path in bundle.iterdir() if path.is_dir()}
    assert folders == {"onnx"}, "nothing of the work is left behind"


@contextmanager
def _interrupted_after(steps: int, counted: list[int]) -> Iterator[Track]:
    """Yield what breaks off after so many steps of rounding; `counted` gets all that come."""

    @contextmanager
    def track(label: str, _total: int) -> Iterator[Advance]:
        def advance(amount: int) -> None:
            if "loss minds" in label or "rounding" in label:
                counted.append(amount)
                if len(counted) == steps:
                    raise KeyboardInterrupt

        yield advance

    yield track


def test_an_export_that_is_broken_off_anywhere_goes_on_and_makes_the_same_bundle(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    calibration = default_sources()[:3]
    steps: list[int] = []

    def export(name: str, end: int) -> Path:
        steps.clear()
        bundle = tmp_path / name
        with _interrupted_after(end, steps) as track:
            export_bundle(
                tiny_checkpoint,
                bundle,
                ["int8", "int4"],
                calibration=calibration,
                effort="more",
                track=track,
            )
        return bundle

    whole = export("whole", 0)
    assert len(steps) > 20
    for end in (1, 2, 4, 8, 16):  # what was done before is told as one step, or as its weights
        with pytest.raises(KeyboardInterrupt):
            export("broken", end)
        assert not (tmp_path / "broken").exists()
        assert (tmp_path / f"broken{ENDING}").is_dir()
    broken = export("broken", 0)
    manifests = [(path / "refact_edge.json").read_text() for path in (broken, whole)]
    assert manifests[0] == manifests[1], "which has the hashes of all files"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "whole"]


@pytest.mark.parametrize(
    ("weights", "name"), [(1.3e8, "most"), (4.9e8, "more"), (1.6e9, "more"), (6.7e9, "least")]
)
def test_a_large_model_is_not_made_to_wait_for(weights: float, name: str) -> None:
    assert effort_for(int(weights)) == EFFORTS[name]


def test_rows_are_rounded_alike_whatever_the_effort(tiny_checkpoint: Path, tmp_path: Path) -> None:
    hashes = []
    for name in ("least", "more"):
        bundle = tmp_path / name
        sources = default_sources()
        done = export_bundle(tiny_checkpoint, bundle, ["int8"], calibration=sources, effort=name)
        assert "in_sequence" not in done.manifest["provenance"]["calibration"]
        hashes.append(done.manifest["files"][weights_file("int8")]["sha256"])
    assert hashes[0] == hashes[1]


def test_the_most_is_more_for_three_times_the_text() -> None:
    more, most = EFFORTS["more"], EFFORTS["most"]
    assert (most.times, most.in_sequence) == (3 * more.times, more.in_sequence)


def test_an_effort_that_is_none_is_refused_before_anything_is_written(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="effort 'hard'; expected one of: least, more, most"):
        export_bundle(tiny_checkpoint, tmp_path / "bundle", ["int4"], effort="hard")
    assert not any(tmp_path.iterdir())
