"""What tells the files of one bundle from all others: their hashes, as its manifest has them."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import BundleError
from .contract import Bundle, engine_graph, weights_file


def running_hashes(bundle: Bundle, variants: Iterable[str]) -> list[str]:
    """Return the sha256 of the files that run some variants: a graph and its weights each.

    Raises:
        BundleError: when the manifest lacks one.

    """
    names = [name for one in variants for name in (engine_graph(one), weights_file(one))]
    return [manifest_hash(bundle, name) for name in names]


def manifest_hash(bundle: Bundle, name: str) -> str:
    """Return the sha256 of a file as the manifest has it.

    Raises:
        BundleError: when it has none.

    """
    try:
        return str(bundle.files[name]["sha256"])
    except KeyError as error:
        raise BundleError(
            f"{bundle.path}: the manifest has no sha256 of {name}; copy or export the bundle again"
        ) from error
