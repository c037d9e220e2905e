"""Bundles of random packed weights, and how long they stay."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import TINY, TINY_TOKENS

from refact_edge import Sampling, load
from refact_edge.export.shape import refact_shape
from refact_edge.export.shapes import fabricate_bundle
from refact_edge.runtime.bench import shapes
from refact_edge.runtime.bench.shapes import Track, find_shape, shaped
from refact_edge.runtime.bundle.contract import (
    read_bundle,
)
from refact_edge.runtime.bundle.verified import verify, verify_files, verify_standard
from refact_edge.runtime.errors import ExportError, OptionError


@contextmanager
def _silent(_label: str, _total: int) -> Iterator[Callable[[int], None]]:
    yield lambda _amount: None


def _fabricate(name: str, folder: Path, variants: list[str], track: Track = _silent) -> None:
    fabricate_bundle(folder, variants, name, refact_shape(TINY, TINY_TOKENS), track=track)


@pytest.fixture(scope="module")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "random"
    _fabricate("refact-1.6b", folder, ["fp32", "fp16", "int8", "int4"])
    return folder


@pytest.mark.parametrize("variant", ["fp32", "int8", "int4"])
def test_a_random_bundle_has_the_bytes_of_an_exported_one_and_runs(
    variant: str, random_bundle: Path, tiny_bundle: Path
) -> None:
    made, exported = read_bundle(random_bundle), read_bundle(tiny_bundle)
    assert made.sizes == exported.sizes
    assert made.variants[variant].bytes == exported.variants[variant].bytes
    model = load(random_bundle, variant=variant, device="cpu")
    stream = model.complete(
        "a", "b", max_tokens=3, stop=(), allow_empty=False, sampling=Sampling(temperature=0)
    )
    assert "".join(stream) == stream.text
    assert stream.usage.new >= 1


def test_a_random_bundle_is_whole_and_says_what_it_is(random_bundle: Path) -> None:
    bundle = read_bundle(random_bundle)
    verify_files(bundle, bundle.side_files())
    for variant in bundle.variants:
        verify(bundle, variant)
        verify_standard(bundle, variant)
    assert bundle.provenance["shape"] == "refact-1.6b"
    assert bundle.provenance["source"][0]["file"] == "random weights, seed 0"
    assert bundle.variants["int4"].report.keys() == {"bits_per_weight"}


def test_the_same_seed_gives_the_same_files(random_bundle: Path, tmp_path: Path) -> None:
    _fabricate("refact-1.6b", tmp_path / "again", ["int4"])
    file = "onnx/model_q4.onnx_data"
    assert read_bundle(tmp_path / "again").files[file] == read_bundle(random_bundle).files[file]


def test_a_folder_in_use_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExportError, match="exists; choose another folder"):
        _fabricate("refact-1.6b", tmp_path, ["int4"])


@pytest.fixture
def _tiny_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "find_shape", lambda _shape: _fabricate)


@pytest.mark.usefixtures("_tiny_shape")
def test_a_made_bundle_is_removed_also_when_interrupted() -> None:
    messages: list[str] = []
    places = []

    def measure(*, interrupted: bool) -> None:
        with shaped("refact-1.6b", None, None, tell=messages.append, track=_silent) as path:
            places.append(path)
            assert read_bundle(path).variants.keys() == {"int4"}
            if interrupted:
                raise KeyboardInterrupt

    measure(interrupted=False)
    with pytest.raises(KeyboardInterrupt):
        measure(interrupted=True)
    assert all(not place.exists() and not place.parent.exists() for place in places)
    assert str(places[0].parent) in messages[0]


@pytest.mark.usefixtures("_tiny_shape")
def test_a_kept_bundle_is_used_again(tmp_path: Path) -> None:
    messages: list[str] = []
    keep = tmp_path / "kept"
    stamps = []
    for _ in range(2):
        with shaped("refact-1.6b", "hybrid", keep, tell=messages.append, track=_silent) as path:
            assert path == keep
            stamps.append((keep / "refact_edge.json").stat().st_mtime_ns)
    assert stamps[0] == stamps[1]
    assert read_bundle(keep).variants.keys() == {"int8", "int4"}
    assert messages[1] == f"using the random weights in {keep}"


def test_a_kept_folder_must_hold_that_shape_and_variant(
    tiny_bundle: Path, random_bundle: Path, tmp_path: Path
) -> None:
    def keep(folder: Path, variant: str) -> None:
        with shaped("refact-1.6b", variant, folder, tell=print, track=_silent):
            pass

    with pytest.raises(OptionError, match="is another bundle; keep refact"):
        keep(tiny_bundle, "int4")
    with pytest.raises(OptionError, match="no variant 'int9'"):
        keep(random_bundle, "int9")


def test_an_unknown_shape_is_told_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"shape 'big'; expected one of: .*refact-1\.6b"):
        find_shape("big")


def test_without_the_export_extra_its_name_is_told() -> None:
    script = (
        "import sys\n"
        "sys.modules['onnx'] = None\n"
        "from refact_edge.runtime.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "bench", "--shape", "refact-1.6b"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    expected = "error: onnx is not installed; install it with: pip install 'refact-edge[export]'\n"
    assert done.stderr == expected
