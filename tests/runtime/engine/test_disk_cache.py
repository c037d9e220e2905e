"""Caches on disk: found by the next process, whole or not at all, and never another model's."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fakes import SIZES, CountingSession, memories
from systems import needs_modes

import refact_edge
from refact_edge import Model
from refact_edge.runtime.engine import cache_file
from refact_edge.runtime.engine import disk_cache as saved_module
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.disk_cache import LEAST_TOKENS, Saved
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import OptionError

LONG = "def f(x):\n    return x\n\n\n" * 20
IDS = list(range(1, 31)) * 5
MAKER = "0123456789abcdef" * 4


def _saved(folder: Path) -> Saved:
    return Saved(folder, MAKER, SIZES)


def _filled(session: CountingSession, ids: list[int]) -> KvCache:
    cache = session.new_cache()
    session.step(np.array(ids), cache)
    return cache


def _complete(model: Model, prefix: str) -> tuple[str, int]:
    stream = model.complete(prefix, "\n", max_tokens=6, stop=(), sampling=GREEDY)
    return "".join(stream), stream.usage.cached


def test_what_one_model_read_another_finds_and_writes_the_same(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    first = refact_edge.load(tiny_bundle, variant="fp32", caches=tmp_path / "caches")
    text, cached = _complete(first, LONG)
    assert cached == 0
    first.save_caches()
    second = refact_edge.load(tiny_bundle, variant="fp32", caches=tmp_path / "caches")
    again, cached = _complete(second, LONG)
    assert again == text
    assert cached > LEAST_TOKENS
    edited, saved = _complete(second, LONG[: len(LONG) // 2] + "y = 1\n")
    assert saved > LEAST_TOKENS
    alone = refact_edge.load(tiny_bundle, variant="fp32")
    assert edited == _complete(alone, LONG[: len(LONG) // 2] + "y = 1\n")[0]


def test_rows_of_another_variant_are_not_used(tiny_bundle: Path, tmp_path: Path) -> None:
    first = refact_edge.load(tiny_bundle, variant="fp32", caches=tmp_path)
    _complete(first, LONG)
    first.save_caches()
    assert _complete(refact_edge.load(tiny_bundle, variant="int8", caches=tmp_path), LONG)[1] == 0


@needs_modes
def test_files_are_for_the_user_alone_and_no_draft_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "caches"
    saved = _saved(folder)
    saved.save([_filled(CountingSession(), IDS)])
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_grown_text_takes_the_place_of_its_start_and_others_stay(tmp_path: Path) -> None:
    session, saved = CountingSession(), _saved(tmp_path)
    other = list(range(30, 0, -1)) * 3
    saved.save([_filled(session, IDS), _filled(session, other)])
    saved.save([_filled(session, [*IDS, 7, 7])])
    again = _saved(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert again.longest([*IDS, 7, 7, 9])[1] == len(IDS) + 2
    assert again.longest(other)[1] == len(other)
    assert again.longest([99])[1] == 0


def test_a_short_text_is_not_worth_a_file(tmp_path: Path) -> None:
    _saved(tmp_path).save([_filled(CountingSession(), [1] * (LEAST_TOKENS - 1))])
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    session = CountingSession()
    _saved(tmp_path).save([_filled(session, IDS)])
    caches = PrefixCache(session.new_cache, saved=_saved(tmp_path))
    assert caches.missing([*IDS[:100], 0, 0]) == 2
    cache = caches.take([*IDS[:100], 0, 0])
    assert (cache.ids, cache.forgotten) == (IDS[:100], IDS[100:])
    for memory in memories(cache):
        assert memory[0, 0, :100, 0].tolist() == IDS[:100]
        assert not memory[0, 0, 100:].any()


def _file(folder: Path) -> Path:
    """Return the file of a cache of `IDS`."""
    _saved(folder).save([_filled(CountingSession(), IDS)])
    (file,) = folder.iterdir()
    return file


def _plant(
    file: Path,
    save: Callable[..., None] = np.savez,
    *,
    maker: str = MAKER,
    ids: npt.ArrayLike = IDS,
    rows: npt.ArrayLike | None = None,
) -> None:
    """Write a file of that content in place of one."""
    rows = np.zeros((2, len(np.atleast_1d(ids)), 4), np.float32) if rows is None else rows
    with file.open("wb") as stream:
        save(stream, maker=np.array(maker), ids=np.array(ids), rows=np.array(rows))


def _take(folder: Path) -> KvCache:
    """Return the cache that a new process has for `IDS`."""
    return PrefixCache(CountingSession().new_cache, saved=_saved(folder)).take([*IDS, 0])


def _garbled(file: Path, damage: str) -> bytes | bytearray:
    content = bytearray(file.read_bytes())
    if damage == "cut":
        return content[: len(content) // 2]
    if damage == "flipped":
        content[-2000] ^= 1  # within the rows
        return content
    return b"" if damage == "emptied" else json.dumps({"ids": IDS}).encode()


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "another format"])
def test_a_damaged_file_is_told_once_and_removed(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _file(tmp_path)
    file.write_bytes(_garbled(file, damage))
    cache = _take(tmp_path)
    assert cache.ids == []
    assert not any(memory.any() for memory in memories(cache))
    assert f"{file} cannot be used and was removed: it is damaged" in caplog.text
    assert _take(tmp_path).ids == []
    assert len(caplog.records) == 1
    assert _take(_file(tmp_path).parent).ids == IDS


def test_no_byte_can_be_altered_so_that_other_rows_come_back(tmp_path: Path) -> None:
    saved = _saved(tmp_path)
    ids = IDS[:LEAST_TOKENS]
    saved.save([_filled(CountingSession(), ids)])
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    like = np.zeros(4, np.float32)
    right = cache_file.read_rows(file, MAKER, SIZES, ids, like).copy()
    refused = 0
    places = range(0, len(content), 5)
    for place in places:
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            rows = cache_file.read_rows(file, MAKER, SIZES, ids, like)
        except cache_file.UnusableFileError:
            refused += 1
        else:  # a date, or the like
            assert np.array_equal(rows, right)
    assert refused > len(places) / 2


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        ({"rows": np.zeros((2, 9, 4), np.float32)}, r"rows.npy holds float32 of \(2, 9, 4\), not"),
        ({"rows": np.zeros((2, 150, 4))}, "rows.npy holds float64"),
        ({"rows": np.zeros((4, 150, 2), np.float32)}, r"of \(4, 150, 2\)"),
        ({"ids": [*IDS[1:], 2**44]}, "ids are not at most 300 of this model's"),
        ({"ids": [*IDS[1:], -1]}, "ids are not at most 300 of this model's"),
        ({"ids": [*IDS[1:], SIZES.tokens]}, "ids are not at most 300 of this model's"),
        ({"ids": IDS * 3}, "larger than any cache|ids are not at most 300"),
        ({"ids": [float(one) for one in IDS]}, "ids.npy holds float64"),
        ({"ids": [IDS]}, "ids.npy holds int64 of"),
        ({"ids": 7}, "ids.npy holds int64 of"),
        ({"maker": MAKER[:-1] + "0"}, "it is of another model"),
        ({"maker": MAKER * 20}, "maker.npy holds"),
        ({"save": np.savez_compressed}, "it is compressed"),
        ({"save": lambda stream, **arrays: np.savez(stream, more=1, **arrays)}, "does not hold"),
        ({"save": lambda stream, rows, **rest: np.savez(stream, **rest)}, "does not hold"),
    ],
)
def test_content_that_this_model_cannot_have_saved_is_refused(
    planted: dict[str, Any], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _file(tmp_path)
    _plant(file, **planted)
    assert _take(tmp_path).ids == []
    assert re.search(reason, caplog.text)
    assert not file.exists()


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_more_than_a_cache_can_hold_is_not_read_to_memory(
    compression: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _file(tmp_path)
    member = zipfile.ZipInfo("ids.npy")
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name in ("maker.npy", "rows.npy"):
            archive.writestr(name, b"")
        member.compress_type = compression
        archive.writestr(member, bytes(1 << 25))
    tracemalloc.start()
    try:
        assert _take(tmp_path).ids == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert "it is larger than any cache" in caplog.text or "it is compressed" in caplog.text


def test_a_directory_that_promises_more_than_the_file_has_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _file(tmp_path)
    content = bytearray(file.read_bytes())
    entry = content.rindex(b"PK\x01\x02")  # of the rows
    content[entry + 20 : entry + 28] = (1 << 31).to_bytes(4, "little") * 2
    file.write_bytes(content)
    assert _take(tmp_path).ids == []
    assert "it is cut off" in caplog.text


@needs_modes
@pytest.mark.parametrize("kind", ["link", "writable", "pipe", "folder"])
def test_what_others_may_have_put_there_is_not_read(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _file(tmp_path / "caches")
    if kind == "writable":
        file.chmod(0o666)
    else:
        file.rename(tmp_path / "other")
        if kind == "link":
            file.symlink_to(tmp_path / "other")
        elif kind == "pipe":
            os.mkfifo(file, 0o600)
        else:
            file.mkdir(mode=0o700)
    assert _take(file.parent).ids == []
    reasons = {
        "link": "it is a link",
        "writable": r"others may write to it (mode 666)",
        "pipe": "it is no plain file",
        "folder": "remove it (",
    }
    assert reasons[kind] in caplog.text


@needs_modes
def test_a_file_or_folder_of_somebody_else_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(tmp_path)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    with pytest.raises(OptionError, match=f"belongs to user {me}, and you are user {me + 1}"):
        _saved(tmp_path)
    monkeypatch.setattr(saved_module, "make_folder", lambda _folder: None)
    assert _take(tmp_path).ids == []
    assert f"{file} cannot be used and was removed: it belongs to user {me}" in caplog.text


@needs_modes
@pytest.mark.parametrize(("mode", "trusted"), [(0o755, True), (0o775, False), (0o1777, False)])
def test_a_folder_that_others_may_read_is_used_and_one_they_may_write_to_is_refused(
    mode: int, trusted: bool, tiny_bundle: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(mode)
    if trusted:
        refact_edge.load(tiny_bundle, variant="fp32", caches=tmp_path)
    else:
        with pytest.raises(OptionError, match=rf"mode {mode:o}\).*chmod 700 {tmp_path}"):
            refact_edge.load(tiny_bundle, variant="fp32", caches=tmp_path)


def test_a_file_that_became_another_text_meanwhile_is_not_used(tmp_path: Path) -> None:
    file = _file(tmp_path)
    caches = PrefixCache(CountingSession().new_cache, saved=_saved(tmp_path))
    _plant(file, ids=IDS[::-1])
    assert caches.take([*IDS, 0]).ids == []


def test_a_file_that_another_process_removed_is_no_complaint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _file(tmp_path)
    saved = _saved(tmp_path)
    file.unlink()
    assert PrefixCache(CountingSession().new_cache, saved=saved).take([*IDS, 0]).ids == []
    saved = _saved(_file(tmp_path).parent)
    file.unlink()
    saved.save([_filled(CountingSession(), IDS)])
    assert file.exists()
    assert caplog.text == ""


def test_a_file_by_that_name_that_was_not_read_is_written_over(tmp_path: Path) -> None:
    session, saved = CountingSession(), _saved(tmp_path)
    file = _file(tmp_path)
    file.write_bytes(b"planted")
    saved.save([_filled(session, IDS)])
    assert _take(tmp_path).ids == IDS


def test_files_that_are_not_ours_stay_and_drafts_of_killed_processes_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_module, "LIMIT_BYTES", 0)
    mine = tmp_path / "results.npz"
    np.savez(mine, rows=1)
    old, new = (tmp_path / f".{MAKER[:16]}-{MAKER[:16]}.npz.{name}.partial" for name in "ab")
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    _saved(tmp_path).save([_filled(CountingSession(), IDS)])
    assert set(tmp_path.iterdir()) == {mine, new}


def test_the_oldest_go_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, saved = CountingSession(), _saved(tmp_path)
    saved.save([_filled(session, IDS)])
    (old,) = tmp_path.iterdir()
    monkeypatch.setattr(saved_module, "LIMIT_BYTES", old.stat().st_size + 100)
    saved.save([_filled(session, IDS[::-1])])
    (new,) = tmp_path.iterdir()
    assert new != old


def test_a_file_in_place_of_the_folder_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OptionError, match=r"file cannot be a folder: .*; name another"):
        refact_edge.load(tiny_bundle, caches=tmp_path / "file")


def test_the_command_finds_what_it_read_the_last_time(tiny_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "refact_edge.runtime", "complete", "--json"]
    command += ["--bundle", str(tiny_bundle), "--caches", str(tmp_path)]
    command += ["--prefix", LONG, "--max-tokens", "4"]
    answers = [
        json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        for _ in range(2)
    ]
    assert answers[0]["usage"]["cached"] == 0
    assert answers[1]["usage"]["cached"] == answers[1]["usage"]["prompt"] - 1
