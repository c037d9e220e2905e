"""Caches on disk: the next process uses them, whole or not at all, and never another model's."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import CountingSession, memories
from saved_caches import IDS, MAKER, filled, saved_file, saved_in, take_anew
from systems import needs_modes

import refact_edge
from refact_edge import Model
from refact_edge.runtime.engine import disk_cache as saved_module
from refact_edge.runtime.engine.disk_cache import LEAST_TOKENS
from refact_edge.runtime.engine.prefix import PrefixCache
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import OptionError

LONG = "def f(x):\n    return x\n\n\n" * 20


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
    saved = saved_in(folder)
    saved.save([filled(CountingSession(), IDS)])
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_grown_text_takes_the_place_of_its_start_and_others_stay(tmp_path: Path) -> None:
    session, saved = CountingSession(), saved_in(tmp_path)
    other = list(range(30, 0, -1)) * 3
    saved.save([filled(session, IDS), filled(session, other)])
    saved.save([filled(session, [*IDS, 7, 7])])
    again = saved_in(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert again.longest([*IDS, 7, 7, 9])[1] == len(IDS) + 2
    assert again.longest(other)[1] == len(other)
    assert again.longest([99])[1] == 0


def test_a_short_text_is_not_worth_a_file(tmp_path: Path) -> None:
    saved_in(tmp_path).save([filled(CountingSession(), [1] * (LEAST_TOKENS - 1))])
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    session = CountingSession()
    saved_in(tmp_path).save([filled(session, IDS)])
    caches = PrefixCache(session.new_cache, saved=saved_in(tmp_path))
    assert caches.missing([*IDS[:100], 0, 0]) == 2
    cache = caches.take([*IDS[:100], 0, 0])
    assert (cache.ids, cache.forgotten) == (IDS[:100], IDS[100:])
    for memory in memories(cache):
        assert memory[0, 0, :100, 0].tolist() == IDS[:100]
        assert not memory[0, 0, 100:].any()


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


def test_a_file_that_another_process_removed_is_no_complaint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved_file(tmp_path)
    saved = saved_in(tmp_path)
    file.unlink()
    assert PrefixCache(CountingSession().new_cache, saved=saved).take([*IDS, 0]).ids == []
    saved = saved_in(saved_file(tmp_path).parent)
    file.unlink()
    saved.save([filled(CountingSession(), IDS)])
    assert file.exists()
    assert caplog.text == ""


def test_a_file_by_that_name_that_was_not_read_is_written_over(tmp_path: Path) -> None:
    session, saved = CountingSession(), saved_in(tmp_path)
    file = saved_file(tmp_path)
    file.write_bytes(b"planted")
    saved.save([filled(session, IDS)])
    assert take_anew(tmp_path).ids == IDS


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
    saved_in(tmp_path).save([filled(CountingSession(), IDS)])
    assert set(tmp_path.iterdir()) == {mine, new}


def test_the_oldest_go_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, saved = CountingSession(), saved_in(tmp_path)
    saved.save([filled(session, IDS)])
    (old,) = tmp_path.iterdir()
    monkeypatch.setattr(saved_module, "LIMIT_BYTES", old.stat().st_size + 100)
    saved.save([filled(session, IDS[::-1])])
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
