"""Bundles that a test changes, and whose manifest it makes agree or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refact_edge.runtime.bundle import contract as layout
from refact_edge.runtime.files.sha256 import file_sha256


def edit_manifest(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of a bundle as a test wants it."""
    file = bundle / layout.MANIFEST
    manifest = json.loads(file.read_text())
    edit(manifest)
    file.write_text(json.dumps(manifest))


def accept(bundle: Path, name: str) -> None:
    """Make the manifest agree with a file that a test has changed."""
    file = bundle / name
    entry = {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
    edit_manifest(bundle, lambda manifest: manifest["files"].update({name: entry}))
