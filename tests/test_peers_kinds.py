"""Holding all engines to one kind of CPU: which library that is, who takes part, what is said."""

from dataclasses import replace
from pathlib import Path

import click
import pytest

from bench.peers import build, engines, ik_build, limits, prepare, report, tables
from bench.peers.engines import IK, ONE_KIND, Files, groups
from bench.peers.kinds import KINDS, kind_for
from bench.peers.limits import Limits
from bench.peers.measure import Measured
from bench.peers.process import WorkerError
from bench.peers.work import DEPTHS

FILES = Files(Path("folder"), Path("peers/bin/python"), 2, "avx2", forced=True)


def test_without_a_wish_the_best_kind_of_this_machine_is_taken() -> None:
    assert kind_for(None, ["avxvnni", "avx2", "portable"]) == "avxvnni"


def test_a_kind_that_this_machine_lacks_is_one_line_that_says_what_it_has() -> None:
    with pytest.raises(click.ClickException) as raised:
        kind_for("amx", ["avx2", "portable"])
    assert raised.value.message == (
        "this CPU cannot compute as amx; take --isa avx2, or another machine"
    )
    assert raised.value.exit_code == 1
    with pytest.raises(click.ClickException, match="nothing to compare"):
        kind_for(None, ["portable"])


@pytest.mark.parametrize(
    ("kind", "library"),
    [("avx2", "haswell"), ("avxvnni", "alderlake"), ("avx512vnni", "icelake")],
)
def test_llama_cpp_is_held_to_the_same_kind(kind: str, library: str) -> None:
    files = replace(FILES, kind=kind)
    assert engines._command("Q4_0", files)[-1] == f"libggml-cpu-{library}"
    assert all(engines._command(ours, files)[-1] == kind for ours in ("int4", "int8", "hybrid"))


def test_engines_that_cannot_be_held_to_a_kind_take_no_part_in_it() -> None:
    (group,) = groups(FILES)
    assert group.name == ONE_KIND
    assert {runner.engine for runner in group.runners} == {"int4", "int8", "Q4_0", "Q8_0"}
    (group,) = groups(replace(FILES, ik=Path("libik.so")))
    assert {runner.engine for runner in group.runners} == {"int4", "int8", "Q4_0", "Q8_0", IK}
    everybody = {
        runner.engine for one in groups(replace(FILES, forced=False)) for runner in one.runners
    }
    assert {"OpenVINO", "int8", "hybrid"} <= everybody


def test_where_a_library_crashes_its_spare_is_taken_and_the_report_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(*_: object) -> None:
        raise WorkerError("it ended without a word")

    monkeypatch.setattr(prepare, "start", crash)
    files = prepare.with_working_library(replace(FILES, kind="amx"))
    assert files.llama_library == "libggml-cpu-zen4"
    assert "issue 20824" in report.markdown(Measured(), files, quick=False)
    assert prepare.with_working_library(FILES) == FILES  # which has none, and is not tried


def test_without_its_source_ik_llama_cpp_is_absent_and_that_is_said(tmp_path: Path) -> None:
    built = ik_build.build_for("avx2", tmp_path, str(tmp_path / "none"))
    assert built.library is None
    assert "holds no CMakeLists.txt" in built.absent
    assert ik_build.SOURCE in built.absent
    measured = Measured(absent={IK: built.absent})
    assert f"{IK} was not measured: {built.absent}" in report.markdown(measured, FILES, quick=True)


def test_the_report_says_which_share_of_the_limits_is_reached() -> None:
    measurements = [Limits(1000, 5e9, 1e11, 8e10), Limits(1000, 1e10, 1.5e11, 9e10)]
    assert limits.in_words(measurements, 2e-7, "avx2") == (
        "Memory is read at 10.0 GB/s, of which single tokens of int4 reach 50%. In registers a "
        "thread makes 150 billion products a second as avx2, and our products with weights in "
        "cache 90 (60%)."
    )
    unknown = [replace(measurements[0], most_products_per_s=None)]
    assert "is not known" in limits.in_words(unknown, None, "avx2")


def test_the_report_of_one_kind_holds_ratios_of_what_was_measured_alone() -> None:
    measured = Measured(limits=[Limits(1000, 5e9, 1e11, 8e10)])
    one, many = f"decode at {DEPTHS[0]}", f"decode at {DEPTHS[0]}, 4 at once"
    for engine, seconds in (("int4", 1.0), ("Q4_0", 2.0), (IK, 1.5)):
        runner = engines.Runner(engine, engine)
        measured.measurements.add(runner, {one: seconds, many: 1.25 * seconds})
    text = report.markdown(measured, FILES, quick=True)
    assert "not measured" not in tables.ratios_of_one_kind(measured.measurements)
    assert f"| {one} | int4 to {IK} | 1.5x |" in text
    for engine in ("int4", "Q4_0", IK):
        assert f"| {many}, against {one} | {engine} to {engine} | 1.25x |" in text
    assert "A quick look" in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_one_of_the_native_kernels(kind: str, root: Path) -> None:
    assert (root / "runtime" / "backends" / "native" / "kernels" / f"cpu_{kind}.c").is_file()


def test_llama_cpps_libraries_are_linked_and_never_copied(tmp_path: Path) -> None:
    package = tmp_path / "lib" / "python3.11" / "site-packages" / "llama_cpp"
    (package / "lib").mkdir(parents=True)
    built = tmp_path / "llama" / "bin"
    built.mkdir(parents=True)
    (built / "libggml.so").write_text("")
    for _ in range(2):  # once more over an older environment
        build.place_libraries(tmp_path, built)
        assert (package / "lib" / "libggml.so").samefile(built / "libggml.so")
