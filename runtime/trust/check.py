"""Whether a bundle is the one that is trusted; every command opens bundles here.

The manifest holds the sha256 of all other files, which opening checks: so what is left to see is
that the manifest and those digests are what was signed, and that there is nothing beside them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..bundle.contract import Bundle, read_bundle
from ..bundle.manifest import MANIFEST
from ..bundle.verified import verify_files
from ..errors import BundleError, OptionError, one_line
from ..files.plain import MISSING, why_not_plain
from ..files.sha256 import file_sha256
from .envelope import LIMIT_BYTES, Envelope, read_envelope
from .keys import Trust
from .statement import BESIDE, SIGNATURE, Statement, read_statement

TRUST, DIGEST = "REFACT_EDGE_TRUST", "REFACT_EDGE_DIGEST"
_DIGEST = re.compile("sha256:([0-9a-f]{64})")
_MOST_NAMES = 3
_AGAIN = "get the bundle again from whoever signed it"


@dataclass(frozen=True)
class Trusted:
    """What a bundle has to be.

    Args:
        key: the public key, or the certificates, in PEM, that its signature leads to; or None.
        digest: its digest, as `info --digest` prints it; or "".

    """

    key: Path | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        """Check the digest's form.

        Raises:
            OptionError: when it is none.

        """
        if self.digest and not _DIGEST.fullmatch(self.digest):
            raise OptionError(f"digest {self.digest!r:.90}; expected sha256: and 64 digits")

    @classmethod
    def of_environment(cls) -> Trusted:
        """Return what REFACT_EDGE_TRUST and REFACT_EDGE_DIGEST ask for: nothing by default."""
        key = os.environ.get(TRUST)
        return cls(Path(key) if key else None, os.environ.get(DIGEST, ""))

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self.key is not None or bool(self.digest)


def open_bundle(path: Path, trusted: Trusted | None = None) -> Bundle:
    """Read a bundle's manifest, once it is the one that is trusted.

    Without `trusted` it is what the environment asks for. Of graphs and weights the names alone are
    looked at: `verified.verify` compares them with the manifest.

    Raises:
        BundleError: when there is no bundle, or it is another one than the signed one.
        OptionError: when the key or the digest is none.
        MissingExtraError: when a key is asked for and cryptography is not installed.

    """
    bundle = read_bundle(path)
    trusted = Trusted.of_environment() if trusted is None else trusted
    if trusted:
        check(bundle, trusted)
    return bundle


def check(bundle: Bundle, trusted: Trusted) -> None:
    """See that a bundle is the one that is trusted.

    Raises:
        BundleError: when it is not; says in what it differs.
        OptionError: when the key is none.
        MissingExtraError: when cryptography is not installed.

    """
    own = statement_of(bundle)
    if trusted.digest and trusted.digest != digest_of(bundle):
        raise BundleError(
            f"{bundle.path} has the digest {digest_of(bundle)}, expected {trusted.digest}"
        )
    if trusted.key is not None:
        _check_same(bundle.path, own, signed_statement(bundle.path, trusted.key))
    if unlisted := sorted(set(_files(bundle.path)) - set(own.files)):
        raise BundleError(
            f"{bundle.path} holds what was not {'signed' if trusted.key else 'listed'}: "
            f"{_named(unlisted)}; remove that, or {_AGAIN}"
        )
    verify_files(bundle, bundle.side_files())


def check_folder(folder: Path, key: Path) -> Statement:
    """See that a folder of any files, such as a kit, is as it was signed, every file of it.

    Raises:
        BundleError: when it is not; says in what it differs.
        OptionError: when the key is none.
        MissingExtraError: when cryptography is not installed.

    """
    signed = signed_statement(folder, key)
    own = statement_of_folder(folder)
    _check_same(folder, own, signed)
    return own


def statement_of_folder(folder: Path) -> Statement:
    """Return what is signed of a folder of any files, which are read.

    Raises:
        BundleError: when one cannot be read.

    """
    try:
        files = {name: file_sha256(folder / name) for name in _files(folder)}
    except OSError as error:
        raise BundleError(f"{error.filename} cannot be read: {error.strerror}; {_AGAIN}") from error
    return Statement(folder.resolve().name, files)


def digest_of(bundle: Bundle) -> str:
    """Return the digest of all files of a bundle, as its manifest tells theirs."""
    return f"sha256:{statement_of(bundle).digest}"


def statement_of(bundle: Bundle) -> Statement:
    """Return what is signed of a bundle."""
    files = {name: str(entry["sha256"]) for name, entry in bundle.files.items()}
    return Statement(bundle.path.resolve().name, {**files, MANIFEST: bundle.sha256})


def signed_statement(folder: Path, key: Path, file: Path | None = None) -> Statement:
    """Return what was signed of a folder, by its signature, or another `file` that is one.

    Raises:
        BundleError: when it has no signature, or one that `key` does not vouch for.
        OptionError: when the key is none.
        MissingExtraError: when cryptography is not installed.

    """
    trust, file = Trust(key), file or folder / SIGNATURE
    try:
        envelope = _envelope(file)
        trust.check(envelope)
        return read_statement(envelope.payload)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file} is not to be trusted: {one_line(error)}; {_AGAIN}") from error


def _envelope(file: Path) -> Envelope:
    if reason := why_not_plain(file):
        if reason == MISSING:
            raise BundleError(
                f"{file.parent} has no {file.name}, so nobody signed it; "
                f"expected a signed one, as a key to trust is named"
            )
        raise BundleError(f"{file} {reason}")
    if file.stat().st_size > LIMIT_BYTES:
        raise BundleError(f"{file} is over {LIMIT_BYTES} bytes; {_AGAIN}")
    return read_envelope(file.read_text(encoding="utf-8"))


def _check_same(folder: Path, own: Statement, signed: Statement) -> None:
    names = sorted(own.files.keys() | signed.files.keys())
    other = [name for name in names if own.files.get(name) != signed.files.get(name)]
    if other:
        raise BundleError(f"{folder} is not as it was signed: {_named(other)}; {_AGAIN}")


def _files(folder: Path) -> list[str]:
    """Return the paths of all files in a folder but those that may lie beside what was signed."""
    names = []
    for root, folders, files in os.walk(folder):
        inside = Path(root).relative_to(folder)
        folders[:] = [name for name in folders if (inside / name).as_posix() not in BESIDE]
        # What leads to a folder is not walked into, and is there all the same.
        linked = [name for name in folders if (Path(root) / name).is_symlink()]
        names += [(inside / name).as_posix() for name in (*files, *linked)]
    return [name for name in names if name not in BESIDE]


def _named(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    listed = ", ".join(one_line(name, 80) for name in names[:_MOST_NAMES])
    return f"{listed} and {more} more" if more > 0 else listed
