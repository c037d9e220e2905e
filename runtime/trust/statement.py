"""What a signature is of: the names and digests of a folder's files, as an in-toto statement.

The predicate is that of OpenSSF Model Signing v1.0. Its subject's digest is one of all files: the
sha256 over their digests, in the order of their paths.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ..bundle.manifest import is_sha256

TYPE, PREDICATE = "https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0"
# What a copy may have beside what was signed: the signature, and what git and mirrors add. A card
# is such a file only where it is not among those that were signed.
SIGNATURE, CARD = "model.sig", "README.md"
BESIDE = (SIGNATURE, CARD, ".git", ".gitattributes", ".github", ".gitignore")


@dataclass(frozen=True)
class Statement:
    """The sha256 of each file of a folder, by its path with slashes, in hexadecimal."""

    name: str
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The one of all files, in hexadecimal."""
        return _digest_of([self.files[name] for name in in_order(self.files)])


def in_order(names: Mapping[str, str]) -> list[str]:
    """Return paths in the order in which they are digested: folder by folder."""
    return sorted(names, key=PurePosixPath)


def written(statement: Statement) -> bytes:
    """Return a statement as it is signed."""
    resources = [
        {"name": name, "algorithm": "sha256", "digest": statement.files[name]}
        for name in in_order(statement.files)
    ]
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [name for name in BESIDE if name not in statement.files],
    }
    whole = {
        "_type": TYPE,
        "subject": [{"name": statement.name, "digest": {"sha256": statement.digest}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    }
    return json.dumps(whole, indent=2).encode()


def read_statement(payload: bytes) -> Statement:
    """Return the statement that was signed.

    Raises:
        ValueError: when it is another kind of statement, or says two things at once; says what.

    """
    whole = json.loads(payload)
    try:
        kind = whole["_type"], whole["predicateType"]
        if kind != (TYPE, PREDICATE):
            raise ValueError(f"it states {kind[1]!r:.80}, expected {PREDICATE}")
        (subject,), predicate = whole["subject"], whole["predicate"]
        serialization = predicate["serialization"]
        if (serialization["method"], serialization["hash_type"]) != ("files", "sha256"):
            raise ValueError("its files are not digested one by one by sha256")
        resources = [_resource(entry) for entry in predicate["resources"]]
        name, digest = subject["name"], subject["digest"]["sha256"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no statement of files ({error})") from error
    statement = Statement(str(name), dict(resources))
    if len(statement.files) != len(resources):
        raise ValueError("it names a file twice")
    if _digest_of([own for _, own in resources]) != digest:
        raise ValueError("its digest is not that of its files")
    return statement


def _resource(entry: Any) -> tuple[str, str]:
    name, digest = entry["name"], entry["digest"]
    if not isinstance(name, str) or entry["algorithm"] != "sha256" or not is_sha256(digest):
        raise ValueError(f"it has no sha256 of {name!r:.80}")
    return name, digest


def _digest_of(digests: list[str]) -> str:
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()
