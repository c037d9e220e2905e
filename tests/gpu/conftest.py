"""The stand-in, and bundles of real widths with two layers, which `make test-gpu-counts` makes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from standin import StandIn, build

MADE = Path(os.environ.get("REFACT_EDGE_GPU", "."))


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "REFACT_EDGE_GPU" not in os.environ:
        pytest.skip("counted in an environment of its own: make test-gpu-counts")
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed, which builds the stand-in for CUDA")
    return build(MADE / "headers", tmp_path_factory.mktemp("nothing"))


@pytest.fixture
def standin(libraries: Path, tmp_path: Path) -> StandIn:
    return StandIn(libraries, tmp_path)


@pytest.fixture(scope="session")
def refact(libraries: Path) -> Path:
    return MADE / "bundles" / "refact-1.6b"


@pytest.fixture(scope="session")
def qwen(libraries: Path) -> Path:
    return MADE / "bundles" / "qwen2.5-coder-0.5b"
