"""Bundles whose files are links: judged by what these lead to, as it is now."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linked import Place, as_blobs, in_a_store, linked, relink
from systems import needs_links

import refact_edge
from refact_edge.runtime.backends.weights_file import out_of_reach
from refact_edge.runtime.bundle.contract import (
    MANIFEST,
    TOKENIZER,
    Bundle,
    engine_graph,
    read_bundle,
    weights_file,
)
from refact_edge.runtime.bundle.verified import verify_files
from refact_edge.runtime.console.doctor import examine
from refact_edge.runtime.errors import BundleError, OptionError
from refact_edge.runtime.files import state as filestate
from refact_edge.runtime.files.plain import why_not_plain
from refact_edge.runtime.opening.machine import why_not_native
from refact_edge.runtime.store import folder as cachefolder
from refact_edge.runtime.store import hash_notes, prepack

pytestmark = needs_links
WEIGHTS = weights_file("int4")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cachefolder.ENVIRONMENT, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def links(tiny_bundle: Path, tmp_path: Path) -> Path:
    return linked(tiny_bundle, tmp_path)


def _logits(bundle: Path, **options: Any) -> np.ndarray:
    session = refact_edge.load(bundle, **options).session
    return session.step(np.arange(1, 20), session.new_cache(), 19)


def _altered(file: Path) -> bytes:
    return file.read_bytes()[:-1] + b"!"


@pytest.mark.parametrize("place", [as_blobs, in_a_store])
@pytest.mark.parametrize(
    ("variant", "engine"), [("int4", "auto"), ("int4", "onnxruntime"), ("int8", "auto")]
)
def test_a_bundle_of_links_answers_as_one_of_files(
    demo_bundle: Path, tmp_path: Path, place: Place, variant: str, engine: str
) -> None:
    links = linked(demo_bundle, tmp_path, place)
    expected = _logits(demo_bundle, variant=variant, engine=engine)
    for copied in (False, True):
        found = _logits(links, variant=variant, engine=engine, copy_weights=copied)
        assert np.array_equal(found, expected)
    prepack.make(read_bundle(links), variant)
    assert prepack.find(read_bundle(links), variant) is not None
    assert np.array_equal(_logits(links, variant=variant, engine=engine), expected)
    assert not [finding for finding in examine(links) if finding.problem]


def test_hybrid_reads_links(demo_bundle: Path, tmp_path: Path) -> None:
    links = linked(demo_bundle, tmp_path)
    expected = _logits(demo_bundle, variant="hybrid")
    assert np.array_equal(_logits(links, variant="hybrid"), expected)


def _all_in_one(bundle: Path) -> Path:
    """Link the folder itself, one in it, a file over two links, and another by a hard link."""
    aside = bundle.with_name("aside")
    (bundle / "onnx").rename(aside)
    (bundle / "onnx").symlink_to("../aside")
    weights = aside / Path(WEIGHTS).name
    weights.rename(aside / "kept")
    (aside / "between").symlink_to("kept")
    weights.symlink_to(aside / "between")
    (bundle / TOKENIZER).rename(aside / "tokenizer")
    os.link(aside / "tokenizer", bundle / TOKENIZER)
    link = bundle.with_name("link")
    link.symlink_to(bundle)
    return link


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_links_to_folders_links_to_links_and_hard_links_are_followed(
    bundle_copy: Path, tiny_bundle: Path, engine: str
) -> None:
    link = _all_in_one(bundle_copy)
    expected = _logits(tiny_bundle, variant="int4", engine=engine)
    assert np.array_equal(_logits(link, variant="int4", engine=engine), expected)


@pytest.mark.parametrize("name", [WEIGHTS, engine_graph("int4"), TOKENIZER])
def test_what_a_link_leads_to_is_judged_by_its_content(links: Path, name: str) -> None:
    other = links.parent / "other"
    other.write_bytes(_altered(links / name))
    relink(links / name, other)
    with pytest.raises(BundleError, match=f"{Path(name).name} was altered: its sha256"):
        refact_edge.load(links, variant="int4")
    other.write_bytes(b"short")
    with pytest.raises(BundleError, match="has 5 bytes, the manifest says"):
        refact_edge.load(links, variant="int4", hashes=False)


def _pipe(at: Path) -> None:
    os.mkfifo(at)


def _socket(at: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(at))


def _below_a_file(at: Path) -> None:
    relink(at.with_name("link"), "link2/x")
    at.with_name("link2").touch()


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda at: None, r"is a link to target, where nothing is; fetch that"),
    "below a file": (
        _below_a_file,
        r"is a link to link2/x, where nothing is; fetch that",
    ),
    "itself": (lambda at: at.symlink_to("link"), "is a link that leads back to itself"),
    "a folder": (Path.mkdir, "is a link to a folder; expected a file"),
    "a pipe": (_pipe, "is a link to a pipe; expected a file"),
    "a socket": (_socket, "is a link to a socket; expected a file"),
    "a device": (lambda at: at.symlink_to("/dev/zero"), "is a link to a device; expected a file"),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_link_to_no_file_is_told_in_one_line(
    bundle_copy: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, problem = NO_FILES[kind]
    folder = bundle_copy / "onnx"
    monkeypatch.chdir(folder)
    (folder / "link").symlink_to("target")
    make(folder / "target")
    assert why_not_plain(folder / "link").startswith(problem.replace("\\", ""))
    for name, variant in ((WEIGHTS, "int4"), (TOKENIZER, "int8"), (MANIFEST, None)):
        file, kept = bundle_copy / name, bundle_copy / "kept"
        file.rename(kept)
        file.symlink_to((folder / "link").readlink() if file.parent == folder else "onnx/link")
        with pytest.raises(BundleError, match=f"{file.name} is a link ") as error:
            refact_edge.load(bundle_copy, variant=variant)
        assert "\n" not in str(error.value)
        kept.replace(file)


def test_what_is_no_link_is_told_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert why_not_plain(file) == "is missing"
    assert why_not_plain(tmp_path / "no\0name") == "is missing"
    assert why_not_plain(tmp_path / ("long" * 100)) == "cannot be read: File name too long"
    assert why_not_plain(tmp_path) == "is a folder; expected a file"
    file.symlink_to("\x1b[2J\n" + 40 * "folder/")
    assert why_not_plain(file).startswith("is a link to ?[2J folder/folder/")
    assert len(why_not_plain(file)) < 250
    os.mkfifo(tmp_path / "pipe")
    assert why_not_plain(tmp_path / "pipe") == "is a pipe; expected a file"
    file.unlink()
    file.touch()
    assert why_not_plain(file) == ""


def test_a_link_stays_noted_until_it_changes(links: Path, hashed: list[str]) -> None:
    bundle = read_bundle(links)
    hash_notes.note(bundle, "int4")
    hashed.clear()
    assert hash_notes.is_noted(bundle, "int4")
    assert hashed == []
    if not why_not_native():
        refact_edge.load(links, variant="int4")
        assert Path(WEIGHTS).name not in hashed


def _elsewhere(link: Path) -> None:
    """Have a link lead to a copy with the same size and times."""
    other = link.parent / "other"
    shutil.copy2(link, other)
    relink(link, other)


def _copied(link: Path) -> None:
    """Put a copy in a link's place."""
    shutil.copy2(link, link.with_name("other"))
    link.with_name("other").replace(link)


def _replaced(link: Path) -> None:
    """Replace what a link leads to by a copy with the same size and times."""
    target = link.resolve()
    shutil.copy2(target, target.with_name("other"))
    target.with_name("other").replace(target)


CHANGES: dict[str, Callable[[Path], None]] = {
    "leads elsewhere": _elsewhere,
    "target replaced": _replaced,
    "target touched": lambda link: link.touch(),
    "made anew": lambda link: relink(link, link.readlink()),
    "a copy in its place": _copied,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_link_that_changed_in_any_way_is_hashed_once_more(
    links: Path, change: str, hashed: list[str]
) -> None:
    bundle = read_bundle(links)
    hash_notes.note(bundle, "int4")
    CHANGES[change](links / WEIGHTS)
    hashed.clear()
    assert hash_notes.is_noted(bundle, "int4")
    assert hashed == [Path(WEIGHTS).name]
    assert hash_notes.is_noted(bundle, "int4")
    assert hashed == [Path(WEIGHTS).name]


def _written(link: Path) -> None:
    """Write other bytes into what a link leads to, and put its time back."""
    target = link.resolve()
    state, content = target.stat(), _altered(target)
    target.write_bytes(content)
    os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))


def _led_astray(link: Path) -> None:
    """Have a link lead to other bytes with the same size and times."""
    _elsewhere(link)
    _written(link)


@pytest.mark.parametrize("change", [_written, _led_astray])
def test_a_noted_link_to_other_content_is_refused(
    links: Path, change: Callable[[Path], None]
) -> None:
    bundle = read_bundle(links)
    hash_notes.note(bundle, "int4")
    change(links / WEIGHTS)
    assert not hash_notes.is_noted(bundle, "int4")
    with pytest.raises(BundleError, match="was altered"):
        refact_edge.load(links, variant="int4")


def test_links_of_two_bundles_to_one_file_have_a_note_each(
    tiny_bundle: Path, tmp_path: Path, hashed: list[str]
) -> None:
    bundles: list[Bundle] = []
    for name in ("one", "two"):
        shutil.copytree(linked(tiny_bundle, tmp_path), tmp_path / name / "main", symlinks=True)
        bundles.append(read_bundle(tmp_path / name / "main"))
        shutil.rmtree(tmp_path / "snapshots")
    assert len({(bundle.path / WEIGHTS).resolve() for bundle in bundles}) == 1
    entries = {hash_notes.note(bundle, "int4") for bundle in bundles}
    hashed.clear()
    assert all(hash_notes.is_noted(bundle, "int4") for bundle in bundles)
    assert (len(entries), hashed) == (2, [])


def test_a_write_right_after_the_hashing_changes_a_links_state(tmp_path: Path) -> None:
    link, files = tmp_path / "link", [tmp_path / str(i) for i in range(3)]
    for file in files:
        file.write_bytes(b"0")
    link.symlink_to(files[0])
    for file in files:
        relink(link, files[0])
        state = filestate.settled_state_of(link)
        relink(link, file)
        assert filestate.state_of(link) != state


def test_a_bundle_that_was_moved_aside_is_put_back_behind_its_link(bundle_copy: Path) -> None:
    (bundle_copy.parent / "far").mkdir()
    link = bundle_copy.parent / "far" / "link"
    link.symlink_to("../bundle")
    bundle_copy.rename(bundle_copy.with_name(".bundle.partial-0123abcd.old"))
    assert read_bundle(link).architecture == "gpt_refact"


def test_a_link_that_leads_to_no_bundle_is_told_as_such(tmp_path: Path) -> None:
    link = tmp_path / "link"
    for leads_to, said in (
        ("nowhere", "link is a link to nowhere, where nothing is; fetch that; expected the folder"),
        ("link", "link is a link that leads back to itself; expected the folder of a bundle"),
    ):
        link.unlink(missing_ok=True)
        link.symlink_to(leads_to)
        with pytest.raises(BundleError, match=said):
            read_bundle(link)


def test_a_name_of_the_manifest_leads_out_by_no_dots(links: Path) -> None:
    bundle = read_bundle(links)
    for name in ("../blobs/x", "/etc/passwd", "onnx/../../x"):
        with pytest.raises(BundleError, match="is not a path inside the bundle"):
            verify_files(bundle, [name])


@pytest.mark.parametrize(
    ("graph", "weights", "versions"),
    [
        ("onnx/g", "onnx/w", []),
        ("onnx/g", "blobs/w", ["1.24.1", "1.25.0", "2.0"]),
        ("blobs/g", "blobs/w", ["1.24.1"]),
        ("blobs/g", "onnx/w", []),
        ("store/1/g", "store/2/w", ["1.24.1", "1.25.0", "2.0"]),
    ],
)
def test_weights_are_handed_over_where_onnxruntime_follows_no_link(
    tmp_path: Path, graph: str, weights: str, versions: list[str]
) -> None:
    onnx = tmp_path / "onnx"
    onnx.mkdir()
    for name, kept in (("graph", graph), ("weights", weights)):
        (tmp_path / kept).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / kept).touch()
        (onnx / name).symlink_to(tmp_path / kept)
    released = ("1.24.1", "1.25.0", "2.0")
    found = [one for one in released if out_of_reach(onnx / "graph", onnx / "weights", one)]
    assert found == versions


def test_openvino_which_follows_no_link_says_so(demo_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    links = linked(demo_bundle, tmp_path)
    with pytest.raises(OptionError, match=r"openvino does not follow .*; leave .* cp -rL") as error:
        refact_edge.load(links, variant="int4", prefill="openvino")
    assert "\n" not in str(error.value)
