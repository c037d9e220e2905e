"""Bundles of random weights of a known shape, for measuring what is not at hand.

This part of the package builds no graphs: whoever can registers as an entry point, by the shape's
name. It is called with that, a folder to make, the variants, and a function that shows progress.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from ..bundle.contract import HYBRID, HYBRID_READER, HYBRID_WRITER, MANIFEST, read_bundle
from ..errors import MissingExtraError, OptionError
from ..opening.choice import PREFERENCE, required_variants

GROUP = "refact_edge.shapes"

Track = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
Fabricate = Callable[[str, Path, list[str], Track], None]  # of the shape of that name


def shape_names() -> list[str]:
    """Return the shapes that there are."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def find_shape(shape: str) -> Fabricate:
    """Return what makes bundles of a shape.

    Raises:
        OptionError: when there is no such shape; lists those there are.
        MissingExtraError: when a package is not installed that it needs.

    """
    shapes = {entry.name: entry for entry in entry_points(group=GROUP)}
    if shape not in shapes:
        names = ", ".join(shape_names()) or "none, as the extra export is not there"
        raise OptionError(f"shape {shape!r}; expected one of: {names}")
    try:
        fabricate: Fabricate = shapes[shape].load()
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or shape, "export") from error
    return fabricate


@contextmanager
def shaped(
    shape: str,
    variant: str | None,
    keep: Path | None,
    *,
    tell: Callable[[str], None],
    track: Track,
) -> Iterator[Path]:
    """Yield a bundle of random weights; without `keep` it is removed in the end.

    Raises:
        OptionError: when there is no such shape, or `keep` holds something else.
        MissingExtraError: see `find_shape`.
        ExportError: when it cannot be written.

    """
    name = variant or PREFERENCE["cpu"][0]
    variants = [HYBRID_READER, HYBRID_WRITER] if name == HYBRID else [name]
    if keep is not None and (keep / MANIFEST).is_file():
        _check_shape(keep, shape, name)
        tell(f"using the random weights in {keep}")
        yield keep
        return
    fabricate = find_shape(shape)
    if keep is not None:
        fabricate(shape, keep, variants, track)
        tell(f"the random weights of the shape {shape} stay in {keep}")
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="refact-edge-shape-") as folder:
        tell(f"making random weights in {folder}, removed in the end; --keep DIR keeps them")
        bundle = Path(folder) / shape
        fabricate(shape, bundle, variants, track)
        yield bundle


def _check_shape(keep: Path, shape: str, variant: str) -> None:
    bundle = read_bundle(keep)
    if bundle.provenance.get("shape") != shape:
        raise OptionError(f"{keep} is another bundle; keep {shape} in a folder of its own")
    required_variants(bundle, variant)
