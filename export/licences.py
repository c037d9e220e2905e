"""The licence of the weights, which travels with every copy of them.

It is a file of the checkpoint, or one that the user names. Where a card states one of those whose
terms ask that its restrictions on use are handed on with each copy, and there is no file, the text
as its authors published it is taken from here: BigScience's and BigCode's OpenRAIL-M.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ..runtime.errors import ExportError
from .card import Card

LICENCE = "LICENSE"  # its name in a bundle
# By what a card states, in lower case.
_PUBLISHED = {
    "bigscience-openrail-m": "bigscience-openrail-m.txt",
    "bigcode-openrail-m": "bigcode-openrail-m.txt",
}


def licence_file(checkpoint: Path, other: Path | None) -> Path | None:
    """Return the file with the terms of the weights: `other`, or the checkpoint's, if it has one.

    Raises:
        ExportError: when `other` is no file.

    """
    if other is not None:
        if not other.is_file():
            raise ExportError(f"{other} is not a file; expected the licence of the weights")
        return other
    files = sorted(file for file in checkpoint.glob(f"{LICENCE}*") if file.is_file())
    return files[0] if files else None


def published_terms(card: Card) -> bytes | None:
    """Return the text of the licence that a card states, where that must be handed on."""
    name = _PUBLISHED.get(card.licence.lower())
    if name is None:
        return None
    return resources.files(__package__).joinpath("licence-texts", name).read_bytes()


def terms_of(file: Path | None, card: Card) -> tuple[bytes | None, str]:
    """Return the terms that go into a bundle, and a note on where they are from; or None and one.

    Args:
        file: that of `licence_file`.
        card: what the checkpoint states.

    """
    if file is not None:
        return file.read_bytes(), ""
    text = published_terms(card)
    if text is not None:
        return text, (
            f"the checkpoint states {card.licence} and has no LICENSE file, so that its text as "
            "published was put in: its restrictions on use go with every copy"
        )
    stated = f"states {card.licence} and " if card.licence else ""
    return None, (
        f"the checkpoint {stated}has no LICENSE file, and none was named by --license; the terms "
        "of the weights travel with every copy of them"
    )
