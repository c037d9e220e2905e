"""The shipped sets of source files: what is calibrated and measured on when nothing is named.

They are of many languages and copies of this project's own files, which stay as they are: else
each edit of our code would change the weights of everybody's bundles, and the figures of all
reports. Python's end in .txt, so that nothing takes them for code of this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import EvalError
from .sources import Source, read_text


@dataclass(frozen=True)
class SourceSet:
    """A folder of source files beside this one; another version has another hash."""

    name: str
    version: int
    sha256: str

    def read(self) -> list[Source]:
        """Return the files by name.

        Raises:
            EvalError: when they are not those of this version.

        """
        folder = Path(__file__).with_name(self.name)
        paths = [path for path in folder.glob("[!.]*") if path.is_file()]
        files = [Source(path.name.removesuffix(".txt"), read_text(path)) for path in paths]
        files.sort(key=lambda file: file.name)
        if (sha256 := fingerprint(files)) != self.sha256:
            raise EvalError(
                f"{folder} holds {len(files)} files with sha256 {sha256}; expected those of "
                f"version {self.version}, {self.sha256}; install refact-edge anew, or name files "
                "of your own"
            )
        return files


CALIBRATION = SourceSet(
    "calibration-set", 1, "faf50dbee8df1eaa4b35bf17078d75c69b8cdca74752c43fb163b5b3afbf65cf"
)
CONVERSATIONS = SourceSet(
    "conversation-set", 1, "f73bd00024d4b9d5c53e59674e7570a209b66bd381f66a4fec66ae1ef770bee3"
)
REPORT = SourceSet(
    "report-set", 1, "908872a8bec8433c19b9be16156c99c4f85ad213a0e3393829cff9ecc19338ae"
)


def fingerprint(sources: Sequence[Source]) -> str:
    """Return the sha256 of source files, their names and their order."""
    digest = hashlib.sha256()
    for source in sources:
        for part in (source.name.encode(), source.text.encode()):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def described(sources: Sequence[Source]) -> dict[str, str | int]:
    """Return what a manifest says of the files that were read: which set, or the user's own."""
    sha256 = fingerprint(sources)
    for shipped in (CALIBRATION, REPORT):
        if sha256 == shipped.sha256:
            return {"name": shipped.name, "version": shipped.version, "sha256": sha256}
    return {"name": "the user's own files", "files": len(sources), "sha256": sha256}
