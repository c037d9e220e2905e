"""Fixtures: a tiny random checkpoint, bundles made of it, and the data beside the project."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny import TINY, TINY_TOKENS, Change

from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import fabricate_checkpoint

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what takes long, saying so, but where all is wanted."""
    if os.environ.get("REFACT_EDGE_SLOW"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="takes long: make test-slow runs it"))


@pytest.fixture(scope="session", autouse=True)
def no_copies_of_this_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests from finding, or leaving, anything in the user's own cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFACT_EDGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def importable_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests import `demo` and the like, which are no part of the package, from anywhere."""
    monkeypatch.syspath_prepend(str(root))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(os.environ.get("REFACT_EDGE_TEST_DATA", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set REFACT_EDGE_TEST_DATA to the real tokenizer's folder")
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    fabricate_checkpoint(folder, decoder=TINY, tokens=TINY_TOKENS, seed=1)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path) -> Path:
    folder = tiny_checkpoint.parent / "tiny-bundle"
    export_bundle(tiny_checkpoint, folder, ["fp32", "fp16", "int8", "int4"])
    return folder


@pytest.fixture(scope="session")
def demo_checkpoint() -> Path:
    return ROOT / "demo" / "checkpoint"


@pytest.fixture(scope="session")
def demo_bundle(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "demo"
    export_bundle(demo_checkpoint, folder, ["fp32", "int8", "int4"])
    return folder


@pytest.fixture(scope="session")
def decoder_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return bundles of other families' decoders; see decoders.py."""
    from decoders import DECODERS, make_bundle

    folder = tmp_path_factory.mktemp("decoders")
    return {name: make_bundle(name, folder / name) for name in DECODERS}


@pytest.fixture(scope="session")
def loadable_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return bundles of types that other loaders know; see loadable.py."""
    from loadable import LOADABLE, make_loadable

    folder = tmp_path_factory.mktemp("loadable")
    return {name: make_loadable(name, folder / name) for name in LOADABLE}


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def changed_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Change:
    """Return a function that copies the tiny checkpoint with changes to its parts."""

    def change(
        config: Callable[[dict[str, Any]], object] | None = None,
        tensors: Callable[[dict[str, np.ndarray]], object] | None = None,
        tokenizer: Callable[[dict[str, Any]], object] | None = None,
    ) -> Path:
        folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "changed"))
        for name, edit in (("config.json", config), ("tokenizer.json", tokenizer)):
            if edit is not None:
                content = json.loads((folder / name).read_text())
                edit(content)
                (folder / name).write_text(json.dumps(content))
        if tensors is not None:
            weights = load_file(folder / "model.safetensors")
            tensors(weights)
            save_file(weights, folder / "model.safetensors")
        return folder

    return change
