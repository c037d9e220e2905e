"""The demo's bundle, for when none is named."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import BundleError

CHECKOUT = Path(__file__).parents[1] / "default_bundle"  # where `make demo` puts it
_PACKAGE = "refact_edge_demo"  # the wheel of demo/wheel


def find_demo() -> Path | None:
    """Return the checkout's demo bundle, else the installed one, else None.

    The package that brings it is looked up and never imported: a bundle is files to read.
    """
    if CHECKOUT.exists():
        return CHECKOUT
    spec = find_spec(_PACKAGE)
    folders = (spec.submodule_search_locations if spec else None) or ()
    bundles = (Path(folder) / "bundle" for folder in folders)
    return next((bundle for bundle in bundles if bundle.is_dir()), None)


def demo_bundle() -> Path:
    """Return the bundle for when none is named.

    Raises:
        BundleError: when there is no demo bundle; says how to get one.

    """
    bundle = find_demo()
    if bundle is None:
        raise BundleError(
            "no bundle was named and there is no demo bundle; name a bundle's folder (in "
            "complete, chat and eval with --bundle), or get the demo's: pip install "
            "'refact-edge[demo]', or in a checkout: make demo"
        )
    return bundle
