"""Caches on disk: found by the next process, whole or not at all, and never another model's."""

from __future__ import annotations

import json
import logging
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import CountingSession

import refact_edge
from refact_edge import Model
from refact_edge.runtime import saved as saved_module
from refact_edge.runtime.cache import KvCache
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.prefix import PrefixCache
from refact_edge.runtime.sampling import GREEDY
from refact_edge.runtime.saved import LEAST_TOKENS, Saved

LONG = "def f(x):\n    return x\n\n\n" * 20
IDS = list(range(1, 31)) * 5


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
    again, found = _complete(second, LONG)
    assert again == text
    assert found > LEAST_TOKENS
    edited, kept = _complete(second, LONG[: len(LONG) // 2] + "y = 1\n")
    assert kept > LEAST_TOKENS
    alone = refact_edge.load(tiny_bundle, variant="fp32")
    assert edited == _complete(alone, LONG[: len(LONG) // 2] + "y = 1\n")[0]


def test_rows_of_another_variant_are_not_used(tiny_bundle: Path, tmp_path: Path) -> None:
    first = refact_edge.load(tiny_bundle, variant="fp32", caches=tmp_path)
    _complete(first, LONG)
    first.save_caches()
    assert _complete(refact_edge.load(tiny_bundle, variant="int8", caches=tmp_path), LONG)[1] == 0


def test_files_are_for_the_user_alone_and_no_draft_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "caches"
    saved = Saved(folder, "maker")
    saved.save([_filled(CountingSession(), IDS)])
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_grown_text_takes_the_place_of_its_start_and_others_stay(tmp_path: Path) -> None:
    session, saved = CountingSession(), Saved(tmp_path, "maker")
    other = list(range(30, 0, -1)) * 3
    saved.save([_filled(session, IDS), _filled(session, other)])
    saved.save([_filled(session, [*IDS, 7, 7])])
    again = Saved(tmp_path, "maker")
    assert len(list(tmp_path.iterdir())) == 2
    assert again.longest([*IDS, 7, 7, 9])[1] == len(IDS) + 2
    assert again.longest(other)[1] == len(other)
    assert again.longest([99])[1] == 0


def test_a_short_text_is_not_worth_a_file(tmp_path: Path) -> None:
    Saved(tmp_path, "maker").save([_filled(CountingSession(), [1] * (LEAST_TOKENS - 1))])
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    session = CountingSession()
    Saved(tmp_path, "maker").save([_filled(session, IDS)])
    caches = PrefixCache(session.new_cache, saved=Saved(tmp_path, "maker"))
    assert caches.missing([*IDS[:100], 0, 0]) == 2
    cache = caches.take([*IDS[:100], 0, 0])
    assert (cache.ids, cache.forgotten) == (IDS[:100], IDS[100:])
    for buffer in cache.buffers:
        assert buffer.owner[0, 0, :100, 0].tolist() == IDS[:100]
        assert not buffer.owner[0, 0, 100:].any()


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "another format"])
def test_a_damaged_file_is_passed_over_with_a_line_in_the_log(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = CountingSession()
    Saved(tmp_path, "maker").save([_filled(session, IDS)])
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[-2000] ^= 1  # within the rows
    elif damage == "emptied":
        content = bytearray()
    else:
        content = bytearray(json.dumps({"ids": IDS}).encode())
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING, logger="refact_edge"):
        caches = PrefixCache(session.new_cache, saved=Saved(tmp_path, "maker"))
        cache = caches.take([*IDS, 0])
    assert cache.ids == []
    assert not any(buffer.owner.any() for buffer in cache.buffers)
    assert f"{file} is damaged and not used" in caplog.text
    assert len(caplog.records) == 1
    assert caches.take([*IDS, 0]).ids == []


def test_rows_of_another_shape_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.savez(tmp_path / "a.npz", maker="maker", ids=np.array(IDS), rows=np.zeros((2, 9, 4)))
    caches = PrefixCache(CountingSession().new_cache, saved=Saved(tmp_path, "maker"))
    assert caches.take([*IDS, 0]).ids == []
    assert "holds rows of (2, 9, 4)" in caplog.text


def test_the_oldest_go_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, saved = CountingSession(), Saved(tmp_path, "maker")
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
    asked = ["--bundle", tiny_bundle, "--prefix", LONG, "--caches", tmp_path, "--max-tokens", "4"]
    told = [
        json.loads(subprocess.run([*command, *asked], capture_output=True, check=True).stdout)
        for _ in range(2)
    ]
    assert told[0]["usage"]["cached"] == 0
    assert told[1]["usage"]["cached"] == told[1]["usage"]["prompt"] - 1
