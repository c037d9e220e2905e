"""Signing a bundle: `model.sig` beside its files, as OpenSSF Model Signing has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..bundle.contract import Bundle
from ..bundle.verified import verify_files
from ..errors import BundleError
from ..files.atomic_write import atomic_write
from .check import Trusted, check, digest_of, statement_of, statement_of_folder
from .envelope import written as written_envelope
from .keys import Signer
from .statement import SIGNATURE
from .statement import written as written_statement


def sign_folder(folder: Path, name: str, signer: Signer) -> None:
    """Write the signature of a folder of any files, such as a kit, which is called `name`."""
    statement = replace(statement_of_folder(folder), name=name)
    envelope = signer.sign(written_statement(statement))
    with atomic_write(folder / SIGNATURE) as draft:
        draft.write_text(written_envelope(envelope), encoding="utf-8", newline="\n")


def sign_bundle(bundle: Bundle, signer: Signer, *, force: bool = False) -> Path:
    """Write the signature of a bundle, once all its files are what its manifest says.

    Raises:
        BundleError: when a file is not, or lies there unlisted, or there is a signature already and
            it is not to be replaced by `force`.

    """
    file = bundle.path / SIGNATURE
    if file.exists() and not force:
        raise BundleError(f"{file} is there already; --force replaces it")
    verify_files(bundle, bundle.files)
    check(bundle, Trusted(digest=digest_of(bundle)))
    envelope = signer.sign(written_statement(statement_of(bundle)))
    with atomic_write(file) as draft:
        draft.write_text(written_envelope(envelope), encoding="utf-8", newline="\n")
    return file
