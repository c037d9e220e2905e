"""Writing bundles: whole or not at all, and always the same."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from systems import needs_links, needs_signals
from tiny import TINY, TINY_TOKENS, Change

from refact_edge.export import beside, variants
from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import fabricate_checkpoint
from refact_edge.export.weights import VariantWriter
from refact_edge.runtime.bundle.contract import MANIFEST, read_bundle
from refact_edge.runtime.errors import BundleError, CheckpointError, ExportError, OptionError


def _files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_the_same_checkpoint_gives_the_same_bytes(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    export_bundle(tiny_checkpoint, tmp_path / "again", ["fp32", "fp16", "int8", "int4"])
    assert _files(tmp_path / "again") == _files(tiny_bundle)


def test_a_variant_is_the_same_whatever_stands_beside_it(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    export_bundle(tiny_checkpoint, tmp_path / "alone", ["int4"])
    alone, all_ = _files(tmp_path / "alone"), _files(tiny_bundle)
    for name in ("onnx/model_q4.onnx", "onnx/engine_q4.onnx", "onnx/model_q4.onnx_data"):
        assert alone[name] == all_[name]


def test_all_graphs_of_a_variant_share_one_data_file(tiny_bundle: Path) -> None:
    names = sorted(file.name for file in (tiny_bundle / "onnx").iterdir())
    every = [
        f"{kind}{suffix}.onnx{end}"
        for suffix in ("", "_fp16", "_int8", "_q4")
        for kind, end in (("model", ""), ("engine", ""), ("model", "_data"))
    ]
    gpus = [f"gpu{suffix}{form}.onnx" for suffix in ("_fp16", "_q4") for form in ("", "_bias")]
    assert names == sorted(every + gpus)


def test_the_report_of_each_variant_orders_them_by_loss(tiny_bundle: Path) -> None:
    variants = read_bundle(tiny_bundle).variants
    losses = [variants[n].report["relative_error"] for n in ("fp32", "fp16", "int8", "int4")]
    assert losses[0] == 0
    assert losses == sorted(losses)
    assert len(variants["int4"].report["worst"]) == 10
    assert variants["int8"].report["bits_per_weight"] < 8.5


def test_the_manifest_names_sources_and_no_place(tiny_bundle: Path, tiny_checkpoint: Path) -> None:
    text = (tiny_bundle / MANIFEST).read_text()
    sources = json.loads(text)["provenance"]["source"]
    assert [s["file"] for s in sources] == ["config.json", "tokenizer.json", "model.safetensors"]
    assert str(tiny_checkpoint.parent) not in text


def test_an_existing_bundle_is_replaced_only_when_forced(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "bundle"
    export_bundle(tiny_checkpoint, target, ["int4"])
    with pytest.raises(
        ExportError, match="exists; choose another folder or replace it with --force"
    ):
        export_bundle(tiny_checkpoint, target, ["int8"])
    export_bundle(tiny_checkpoint, target, ["int8"], force=True)
    assert list(read_bundle(target).variants) == ["int8"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_never_replaced(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ExportError, match="exists and is not a bundle; choose another folder"):
        export_bundle(tiny_checkpoint, tmp_path, ["int4"], force=True)
    assert (tmp_path / "thesis.txt").exists()


def test_files_that_are_not_the_bundles_stop_a_replacement(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "bundle"
    export_bundle(tiny_checkpoint, target, ["int4"])
    (target / "notes").mkdir()
    (target / "notes" / "mine.txt").write_text("precious")
    with pytest.raises(ExportError, match=r"holds 1 files .*notes/mine\.txt; move them away"):
        export_bundle(tiny_checkpoint, target, ["int4"], force=True)
    assert (target / "notes" / "mine.txt").exists()


def test_an_empty_folder_is_filled(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    export_bundle(tiny_checkpoint, tmp_path / "bundle", ["int4"])
    assert list(read_bundle(tmp_path / "bundle").variants) == ["int4"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_failed_replacement_leaves_the_old_bundle(
    tiny_checkpoint: Path, changed_checkpoint: Change, tmp_path: Path
) -> None:
    target = tmp_path / "bundle"
    export_bundle(tiny_checkpoint, target, ["int4"])
    before = _files(target)
    bad = changed_checkpoint(tensors=lambda t: t.pop("lm_head.weight"))
    with pytest.raises(CheckpointError):
        export_bundle(bad, target, ["int4"], force=True)
    assert _files(target) == before


def test_a_full_disk_leaves_nothing_behind(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = VariantWriter.add
    calls: list[object] = []

    def full(self: VariantWriter, *args: Any) -> None:
        calls.append(args)
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, *args)

    monkeypatch.setattr(VariantWriter, "add", full)
    with pytest.raises(ExportError, match=r"no space left on the disk of .*nothing was kept"):
        export_bundle(tiny_checkpoint, tmp_path / "bundle", ["int4"])
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_noticed_before_work_begins(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(ExportError, match=r"no space left: .*bundle needs about \d+ MB"):
        export_bundle(tiny_checkpoint, tmp_path / "bundle", ["int4"])
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(variants, "write_graphs", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_bundle(tiny_checkpoint, tmp_path / "bundle", ["int4"])
    assert list(tmp_path.iterdir()) == []


@needs_signals
def test_a_killed_export_leaves_no_bundle_and_the_next_one_cleans_up(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from refact_edge.export import convert\n"
        "convert.write_side_files = lambda *_: (print('now', flush=True), time.sleep(60))\n"
        "convert.export_bundle(Path(sys.argv[1]), Path(sys.argv[2]), ['int4'])\n"
    )
    target = tmp_path / "bundle"
    command = [sys.executable, "-c", script, str(tiny_checkpoint), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    time.sleep(0.1)
    remains = list(tmp_path.iterdir())
    assert remains
    for left in remains:
        with pytest.raises(BundleError):
            read_bundle(left)
    with pytest.raises(BundleError):
        read_bundle(target)
    export_bundle(tiny_checkpoint, target, ["int4"])
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_an_interrupted_replacement_brings_the_old_bundle_back(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    export_bundle(tiny_checkpoint, target, ["int4"])
    before, rename, calls = _files(target), Path.rename, []

    def interrupted(self: Path, to: Path) -> Path:
        calls.append(to)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(self, to)

    monkeypatch.setattr(beside, "exchange", lambda *_: False)  # as on systems without it
    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_bundle(tiny_checkpoint, target, ["int8"], force=True)
    assert _files(target) == before
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_moved_aside_by_a_killed_export_is_put_back_at_the_next_start(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    target = tmp_path / "bundle"
    export_bundle(tiny_checkpoint, target, ["int4"])
    before = _files(target)
    target.rename(tmp_path / ".bundle.partial-0a1b2c3d.old")
    with pytest.raises(ExportError, match="exists; choose another folder or replace it with"):
        export_bundle(tiny_checkpoint, target, ["int8"])
    assert _files(target) == before
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@needs_links
def test_a_link_to_a_bundle_stays_a_link(tiny_checkpoint: Path, tmp_path: Path) -> None:
    export_bundle(tiny_checkpoint, tmp_path / "real", ["int4"])
    (tmp_path / "link").symlink_to(tmp_path / "real")
    export_bundle(tiny_checkpoint, tmp_path / "link", ["int8"], force=True)
    assert (tmp_path / "link").is_symlink()
    assert list(read_bundle(tmp_path / "real").variants) == ["int8"]


def test_exports_to_one_place_at_once_do_not_disturb_each_other(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from refact_edge.export.convert import export_bundle\n"
        "export_bundle(Path(sys.argv[1]), Path(sys.argv[2]), ['int4'], force=True)\n"
    )
    command = [sys.executable, "-c", script, str(tiny_checkpoint), str(tmp_path / "bundle")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert any(process.returncode == 0 for process in both), errors
    assert list(read_bundle(tmp_path / "bundle").variants) == ["int4"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("name", ["a" * 250, "file/under"])
def test_a_place_that_cannot_be_written_is_named(
    name: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ExportError, match=r"cannot be written: .*(too long|Not a directory|File exists); choose"
    ):
        export_bundle(tiny_checkpoint, tmp_path / name, ["int4"])


def test_an_unknown_variant_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'int3'; expected: fp32, fp16, int8, int4"):
        export_bundle(tmp_path / "nowhere", tmp_path / "bundle", ["int3"])


def test_weights_too_large_for_fp16_are_named(changed_checkpoint: Change, tmp_path: Path) -> None:
    def enlarge(tensors: dict[str, np.ndarray]) -> None:
        tensors["lm_head.weight"][0, 0] = 1e6

    folder = changed_checkpoint(tensors=enlarge)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight holds values beyond 65504.*fp16"):
        export_bundle(folder, tmp_path / "bundle", ["fp16"])
    export_bundle(folder, tmp_path / "bundle", ["int8"])


def test_the_licence_travels_with_the_weights(
    changed_checkpoint: Change, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    done = export_bundle(tiny_checkpoint, tmp_path / "none", ["int4"])
    assert done.licence is None
    assert "has no LICENSE file, and none was named by --license" in done.notes[-1]
    folder = changed_checkpoint()
    (folder / "LICENSE.txt").write_text("terms")
    assert export_bundle(folder, tmp_path / "found", ["int4"]).licence == "LICENSE"
    assert (tmp_path / "found" / "LICENSE").read_text() == "terms"
    other = tmp_path / "other"
    other.write_text("other terms")
    export_bundle(folder, tmp_path / "given", ["int4"], licence=other)
    assert (tmp_path / "given" / "LICENSE").read_text() == "other terms"
    with pytest.raises(ExportError, match="is not a file; expected the licence"):
        export_bundle(folder, tmp_path / "x", ["int4"], licence=tmp_path / "nowhere")


@pytest.mark.parametrize("stated", ["bigscience-openrail-m", "bigcode-openrail-m"])
def test_restrictions_on_use_travel_where_the_card_alone_names_them(
    stated: str, changed_checkpoint: Change, tmp_path: Path
) -> None:
    folder = changed_checkpoint()
    (folder / "README.md").write_text(f"---\nlicense: {stated}\n---\n# A model\n")
    done = export_bundle(folder, tmp_path / "bundle", ["int4"])
    terms = (tmp_path / "bundle" / "LICENSE").read_text("utf-8")
    assert "Attachment A" in terms
    assert terms.count("To generate or disseminate") + terms.count("exploiting, harming") >= 2
    assert f"states {stated} and has no LICENSE file" in done.notes[-1]
    assert "LICENSE" in done.manifest["files"]


def test_the_same_bytes_are_written_where_lines_end_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows would write a carriage return before each line's end, in files that are hashed."""
    write = Path.write_text

    def with_carriage_returns(path: Path, text: str, *given: Any, **options: Any) -> int:
        return write(path, text, *given, **{"newline": "\r\n", **options})

    monkeypatch.setattr(Path, "write_text", with_carriage_returns)
    fabricate_checkpoint(tmp_path / "tiny", decoder=TINY, tokens=TINY_TOKENS, seed=1, shards=2)
    export_bundle(tmp_path / "tiny", tmp_path / "bundle", ["int4"])
    texts = [path for path in tmp_path.rglob("*") if path.suffix in (".json", ".md")]
    assert len(texts) > 8
    assert [path.name for path in texts if b"\r" in path.read_bytes()] == []
