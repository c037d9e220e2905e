"""The demo model's tokenizer and how it was trained to be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.text.prompts import Layouts
from refact_edge.runtime.text.tokens import Tokens


@pytest.fixture(scope="package")
def tokens(demo_bundle: Path) -> Tokens:
    return Tokens(demo_bundle / "tokenizer.json")


@pytest.fixture(scope="package")
def layouts(demo_bundle: Path) -> Layouts:
    return Layouts.from_manifest(read_bundle(demo_bundle).prompts)
