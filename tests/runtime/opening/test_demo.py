"""The demo's bundle: the checkout's first, then the installed one, and else what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refact_edge.runtime.errors import BundleError
from refact_edge.runtime.opening import demo


@pytest.fixture(autouse=True)
def no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have no bundle in the checkout, and return where it would be."""
    monkeypatch.setattr(demo, "CHECKOUT", tmp_path / "default_bundle")
    return tmp_path / "default_bundle"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a demo that must not be imported, and return its bundle."""
    bundle = tmp_path / "site" / "refact_edge_demo" / "bundle"
    bundle.mkdir(parents=True)
    (bundle.parent / "__init__.py").write_text("raise SystemExit('this must not run')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return bundle


def test_an_installed_demo_is_found_and_never_imported(installed: Path) -> None:
    assert demo.find_demo() == installed
    assert demo.demo_bundle() == installed
    assert "refact_edge_demo" not in sys.modules


def test_the_checkouts_bundle_is_found_before_an_installed_one(
    installed: Path, no_checkout: Path
) -> None:
    no_checkout.mkdir()
    assert demo.find_demo() == no_checkout


def test_without_a_demo_both_ways_to_a_bundle_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda _name: None)
    assert demo.find_demo() is None
    with pytest.raises(BundleError) as raised:
        demo.demo_bundle()
    assert "--bundle" in str(raised.value)
    assert "pip install 'refact-edge[demo]'" in str(raised.value)
    assert "\n" not in str(raised.value)
