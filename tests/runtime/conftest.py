"""Fixtures of the runtime's tests."""

from pathlib import Path

import pytest

from refact_edge.runtime.bundle import verified
from refact_edge.runtime.files import state as filestate
from refact_edge.runtime.files.sha256 import file_sha256


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are hashed from now on."""
    names: list[str] = []

    def watching(path: Path) -> str:
        names.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(verified, "file_sha256", watching)
    monkeypatch.setattr(filestate, "file_sha256", watching)
    return names
