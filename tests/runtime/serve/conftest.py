"""Fixtures: a server of the tiny model in full precision, and one with other settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Serve, Served, serving


@pytest.fixture(scope="session")
def server(tiny_bundle: Path) -> Iterator[Served]:
    with serving(tiny_bundle) as served:
        yield served


@pytest.fixture
def serve(tiny_bundle: Path) -> Serve:
    """Return what serves the tiny model with other settings."""
    return lambda **chosen: serving(tiny_bundle, **chosen)
