"""Files of caches that are damaged, planted or another user's: never read, and said in one line."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fakes import SIZES, CountingSession, memories
from saved_caches import IDS, MAKER, filled, saved_file, saved_in, take_anew
from systems import needs_modes

from refact_edge.runtime.engine import cache_file
from refact_edge.runtime.engine import disk_cache as saved_module
from refact_edge.runtime.engine.disk_cache import LEAST_TOKENS
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.errors import OptionError


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
    file = saved_file(tmp_path)
    file.write_bytes(_garbled(file, damage))
    cache = take_anew(tmp_path)
    assert cache.ids == []
    assert not any(memory.any() for memory in memories(cache))
    assert f"{file} cannot be used and was removed: it is damaged" in caplog.text
    assert take_anew(tmp_path).ids == []
    assert len(caplog.records) == 1
    assert take_anew(saved_file(tmp_path).parent).ids == IDS


def test_no_byte_can_be_altered_so_that_other_rows_come_back(tmp_path: Path) -> None:
    saved = saved_in(tmp_path)
    ids = IDS[:LEAST_TOKENS]
    saved.save([filled(CountingSession(), ids)])
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
    file = saved_file(tmp_path)
    _plant(file, **planted)
    assert take_anew(tmp_path).ids == []
    assert re.search(reason, caplog.text)
    assert not file.exists()


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_more_than_a_cache_can_hold_is_not_read_to_memory(
    compression: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved_file(tmp_path)
    member = zipfile.ZipInfo("ids.npy")
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name in ("maker.npy", "rows.npy"):
            archive.writestr(name, b"")
        member.compress_type = compression
        archive.writestr(member, bytes(1 << 25))
    tracemalloc.start()
    try:
        assert take_anew(tmp_path).ids == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert "it is larger than any cache" in caplog.text or "it is compressed" in caplog.text


def test_a_directory_that_promises_more_than_the_file_has_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved_file(tmp_path)
    content = bytearray(file.read_bytes())
    entry = content.rindex(b"PK\x01\x02")  # of the rows
    content[entry + 20 : entry + 28] = (1 << 31).to_bytes(4, "little") * 2
    file.write_bytes(content)
    assert take_anew(tmp_path).ids == []
    assert "it is cut off" in caplog.text


@needs_modes
@pytest.mark.parametrize("kind", ["link", "writable", "pipe", "folder"])
def test_what_others_may_have_put_there_is_not_read(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved_file(tmp_path / "caches")
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
    assert take_anew(file.parent).ids == []
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
    file = saved_file(tmp_path)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    with pytest.raises(OptionError, match=f"belongs to user {me}, and you are user {me + 1}"):
        saved_in(tmp_path)
    monkeypatch.setattr(saved_module, "make_folder", lambda _folder: None)
    assert take_anew(tmp_path).ids == []
    assert f"{file} cannot be used and was removed: it belongs to user {me}" in caplog.text


def test_a_file_that_became_another_text_meanwhile_is_not_used(tmp_path: Path) -> None:
    file = saved_file(tmp_path)
    caches = PrefixCache(CountingSession().new_cache, saved=saved_in(tmp_path))
    _plant(file, ids=IDS[::-1])
    assert caches.take([*IDS, 0]).ids == []
