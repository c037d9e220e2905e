"""Calibrated exports, and the report on what their variants lost."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from linked import linked
from runner import runner_apart
from systems import needs_links

from refact_edge.export import calibration, cli, quality
from refact_edge.export.budget import Limit
from refact_edge.export.convert import export_bundle
from refact_edge.export.layerwise import Layerwise
from refact_edge.export.quality import default_data, measure_bundle
from refact_edge.export.scratch import ENDING
from refact_edge.quant.report import report_texts
from refact_edge.quant.texts.calibration import default_sources
from refact_edge.quant.texts.sources import Source
from refact_edge.runtime.bundle.contract import MANIFEST, read_bundle
from refact_edge.runtime.errors import BundleError, EvalError, OptionError
from refact_edge.runtime.opening.load import load


@pytest.fixture(scope="module")
def calibrated(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "calibrated"
    names, data = ["fp32", "int8", "int4"], default_data()
    sources = default_sources()
    export_bundle(demo_checkpoint, folder, names, calibration=sources, data=data, effort="least")
    return folder


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrate and measure on a few texts only: enough for what is not about figures."""
    all_calibration = calibration.calibrated_texts
    monkeypatch.setattr(calibration, "calibrated_texts", lambda *parts: all_calibration(*parts)[:6])
    monkeypatch.setattr(quality, "report_texts", lambda *parts: report_texts(*parts)[:20])


@pytest.fixture(scope="module")
def measured(calibrated: Path) -> dict[str, Any]:
    return read_bundle(calibrated).quality


def test_fp32_loses_nothing_and_fewer_bits_lose_more(measured: dict[str, Any]) -> None:
    lost = {name: found["mean_kl"] for name, found in measured["variants"].items()}
    assert lost["fp32"] < 1e-6 < lost["int8"] < lost["int4"] < 0.1
    assert measured["variants"]["fp32"]["top1_agreement"] > 0.9999
    int8, int4 = (measured["variants"][name] for name in ("int8", "int4"))
    assert int8["mean_kl"] <= 5e-4
    assert int8["top1_agreement"] >= 0.985
    assert int4["mean_kl"] <= 0.012
    assert not measured["full_precision"]["at_chance"]


def test_calibration_takes_a_third_off_what_int4_loses_on_other_files(
    demo_checkpoint: Path, demo_bundle: Path, measured: dict[str, Any]
) -> None:
    found = measure_bundle(demo_checkpoint, demo_bundle, data=default_data(), variants=["int4"])
    assert found["sha256"] == measured["sha256"]
    assert measured["variants"]["int4"]["mean_kl"] < 0.65 * found["variants"]["int4"]["mean_kl"]


def test_the_manifest_tells_what_was_calibrated_on_and_which_tensors_lost_most(
    calibrated: Path, demo_bundle: Path
) -> None:
    provenance = read_bundle(calibrated).provenance["calibration"]
    assert provenance["texts"] == 32
    assert 12_000 < provenance["tokens"] <= 32 * 512
    assert (provenance["set"]["name"], provenance["set"]["version"]) == ("calibration-set", 1)
    assert read_bundle(calibrated).quality["set"]["name"] == "report-set"
    plain = read_bundle(demo_bundle).provenance["calibration"]
    assert (plain["texts"], "set" in plain) == (0, False)
    worst = read_bundle(calibrated).variants["int4"].report["worst"]
    errors = [entry["output_error"] for entry in worst]
    assert len(worst) == 10
    assert errors == sorted(errors, reverse=True)


@pytest.mark.slow
@pytest.mark.usefixtures("few_texts")
def test_the_same_export_gives_the_same_bytes(demo_checkpoint: Path, tmp_path: Path) -> None:
    sources, data = default_sources()[:6], default_data()[:4]
    manifests = []
    for name in ("a", "b"):
        export_bundle(
            demo_checkpoint,
            tmp_path / name,
            ["int4"],
            calibration=sources,
            data=data,
            effort="least",  # for others see test_effort.py
        )
        manifests.append((tmp_path / name / MANIFEST).read_bytes())
    assert manifests[0] == manifests[1]
    named = json.loads(manifests[0])["provenance"]["calibration"]["set"]
    assert (named["name"], named["files"]) == ("the user's own files", 6)


def test_the_command_prints_a_table_or_one_object(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    text = "".join(
        f"def area_{i}(width, height):\n    return width * height\n\n" for i in range(40)
    )
    (tmp_path / "shapes.py").write_text(text)
    arguments = [str(tiny_bundle), "--checkpoint", str(tiny_checkpoint), "--data", str(tmp_path)]
    shown = CliRunner().invoke(cli.quality, [*arguments, "--variants", "int8,int4"])
    assert shown.exit_code == 0, shown.output
    assert "nothing of quality" in shown.stdout  # random weights
    asked = runner_apart().invoke(cli.quality, [*arguments, "--variants", "int4", "--json"])
    found = json.loads(asked.stdout)["variants"]
    assert list(found) == ["int4"]
    assert found["int4"].keys() >= {"mean_kl", "p99_kl", "top1_agreement", "bits_per_byte", "bytes"}


def test_a_bundle_of_another_checkpoint_is_refused(
    tiny_checkpoint: Path, demo_bundle: Path
) -> None:
    with pytest.raises(BundleError, match="was made from other files"):
        measure_bundle(tiny_checkpoint, demo_bundle, data=default_data())


@pytest.mark.parametrize("content", [None, b"\x00\x01\x02" * 500])
def test_a_calibration_folder_without_source_is_refused_at_the_door(
    content: bytes | None, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    if content is not None:
        (folder / "data.py").write_bytes(content)
    arguments = [str(tiny_checkpoint), str(tmp_path / "bundle"), "--calibrate", str(folder)]
    done = CliRunner().invoke(cli.export, arguments)
    assert isinstance(done.exception, EvalError)
    assert "holds no source file" in str(done.exception)
    assert not (tmp_path / "bundle").exists()


def test_sources_without_a_place_for_a_hole_leave_nothing_behind(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    sources = [Source("dots.py", ".\n" * 40)]
    with pytest.raises(EvalError, match="no place for a hole"):
        export_bundle(tiny_checkpoint, tmp_path / "bundle", ["int4"], calibration=sources)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("few_texts")
def test_a_limit_of_bytes_is_kept_and_spent_where_it_counts(
    demo_checkpoint: Path, tmp_path: Path
) -> None:
    limit = Limit(bytes=5_050_000)
    sources = default_sources()
    export_bundle(demo_checkpoint, tmp_path / "b", ["int4"], calibration=sources, limit=limit)
    bundle = read_bundle(tmp_path / "b")
    assert 4_900_000 < bundle.variants["int4"].bytes <= 5_050_000
    mix = bundle.variants["int4"].report["mix"]
    assert len(mix) > 1
    assert sum(map(len, mix.values())) == 2 + 5 * bundle.sizes.layers
    assert "".join(load(tmp_path / "b").complete("def add(a, b):\n    return "))


@pytest.mark.slow
@pytest.mark.usefixtures("few_texts")
def test_a_limit_of_loss_is_kept(demo_checkpoint: Path, tmp_path: Path) -> None:
    sources, data, kept = default_sources()[:6], default_data()[:4], tmp_path / "b"
    limit = Limit(kl=0.03)
    export_bundle(
        demo_checkpoint,
        kept,
        ["int8", "int4"],
        calibration=sources,
        data=data,
        effort="least",
        limit=limit,
    )
    bundle = read_bundle(kept)
    assert 0.005 < bundle.quality["variants"]["int4"]["mean_kl"] <= 0.03
    assert bundle.variants["int4"].bytes < bundle.variants["int8"].bytes
    assert [file.name for file in tmp_path.iterdir()] == ["b"]  # no trial is left
    assert not (kept / "trial").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kl", "-1"], "--kl -1; expected nats above 0"),
        (["--kl", "nan"], "expected nats above 0"),
        (["--kl", "0.01", "--bytes", "1MB"], "exclude each other"),
        (["--kl", "0.01", "--no-report"], "needs the report"),
        (["--kl", "0.01", "--no-calibration"], "needs variant int4 and calibration"),
        (["--kl", "0.01", "--variants", "int8"], "needs variant int4 and calibration"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_at_the_door(
    options: list[str], said: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = [str(tiny_checkpoint), str(tmp_path / "bundle"), *options]
    done = CliRunner().invoke(cli.export, arguments)
    assert isinstance(done.exception, OptionError)
    assert said in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("few_texts")
@pytest.mark.parametrize(("effort", "reads"), [("least", 2), ("more", 2), ("more", 5)])
def test_an_interrupted_calibration_leaves_no_bundle_and_can_be_started_again(
    effort: str,
    reads: int,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = default_sources()[:6]
    weights, numbers = Layerwise.weights, itertools.count()

    def interrupted(self: Layerwise, number: int) -> dict[str, Any]:
        if next(numbers) == reads:
            raise KeyboardInterrupt
        return weights(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Layerwise, "weights", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export_bundle(
                tiny_checkpoint, tmp_path / "b", ["int4"], calibration=sources, effort=effort
            )
    left = [] if effort == "least" else [f"b{ENDING}"]
    assert [path.name for path in tmp_path.iterdir()] == left
    for name in ("b", "other"):
        export_bundle(
            tiny_checkpoint, tmp_path / name, ["int4"], calibration=sources, effort=effort
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "other"]
    again, other = ((tmp_path / name / MANIFEST).read_bytes() for name in ("b", "other"))
    assert again == other


def test_a_limit_that_cannot_be_kept_says_what_can_be(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = [str(tiny_checkpoint), str(tmp_path / "bundle"), "--bytes"]
    done = CliRunner().invoke(cli.export, [*arguments, "20KB"])
    assert isinstance(done.exception, OptionError)
    assert "the smallest has" in str(done.exception)
    for option, said in (("much", "size 'much'; expected"), ("1MB", "needs variant int4")):
        done = CliRunner().invoke(cli.export, [*arguments, option, "--variants", "int8"])
        assert said in str(done.exception)
    assert not list(tmp_path.iterdir())


@needs_links
@pytest.mark.usefixtures("few_texts")
def test_a_bundle_of_links_is_measured(
    demo_bundle: Path, demo_checkpoint: Path, tmp_path: Path
) -> None:
    data = default_data()
    found, expected = (
        measure_bundle(demo_checkpoint, bundle, data=data, variants=["int8"])
        for bundle in (linked(demo_bundle, tmp_path), demo_bundle)
    )
    assert found == expected
