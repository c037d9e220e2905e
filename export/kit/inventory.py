"""What is in a kit's wheels: their licences, and a bill of materials of them."""

from __future__ import annotations

import json
import uuid
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from ... import __version__
from ...runtime.errors import ExportError
from ...runtime.files.sha256 import file_sha256

_NAMESPACE = uuid.UUID("8a8d0f5e-5d0f-5c8e-8a2f-6a4e2b1d9c37")
_LICENCES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")


@dataclass(frozen=True)
class Wheel:
    """A wheel, as its own metadata tell of it.

    Args:
        file: where it lies.
        name: of the package, as it writes that itself.
        version: of it.
        licence: an SPDX expression or a name, as stated; or "".
        licences: texts, by the names of their files.

    """

    file: Path
    name: str
    version: str
    licence: str
    licences: Mapping[str, bytes]


def read_wheel(file: Path) -> Wheel:
    """Return what a wheel tells of itself.

    Raises:
        ExportError: when it is no wheel.

    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            (metadata,) = (n for n in names if PurePosixPath(n).match("*.dist-info/METADATA"))
            head = HeaderParser().parsestr(archive.read(metadata).decode("utf-8"))
            folder = metadata.rpartition("/")[0]
            texts = {
                PurePosixPath(n).name: archive.read(n)
                for n in names
                if n.startswith(f"{folder}/") and _is_licence(n)
            }
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ExportError(f"{file} is no wheel ({error}); get it again") from error
    stated = head.get("License-Expression") or _short(head.get("License")) or ""
    return Wheel(file, str(head["Name"]), str(head["Version"]), stated, texts)


def _is_licence(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parent.name == "licenses" or path.name.upper().startswith(_LICENCES)


def _short(text: str | None) -> str:
    """Return a licence's name, where it is that and not its text."""
    return text if text and "\n" not in text and len(text) <= 64 else ""


def write_licences(wheels: Iterable[Wheel], folder: Path) -> None:
    """Write the texts of licences, a folder a package."""
    for wheel in wheels:
        for name, text in wheel.licences.items():
            own = folder / f"{wheel.name}-{wheel.version}"
            own.mkdir(parents=True, exist_ok=True)
            (own / name).write_bytes(text)


def bill_of_wheels(wheels: Sequence[Wheel]) -> dict[str, Any]:
    """Return a kit's bill of materials as JSON; the same wheels have the same."""
    kit = Component(
        type=ComponentType.APPLICATION, name="refact-edge", version=__version__, bom_ref="kit"
    )
    components = [_component(wheel) for wheel in wheels]
    bom = Bom(components=components)
    bom.metadata.component = kit
    bom.register_dependency(kit, components)
    whole: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del whole["metadata"]["timestamp"], whole["serialNumber"]
    whole["serialNumber"] = uuid.uuid5(_NAMESPACE, json.dumps(whole, sort_keys=True)).urn
    return whole


def _component(wheel: Wheel) -> Component:
    stated = LicenseAcknowledgement.DECLARED
    licences = (
        [LicenseFactory().make_from_string(wheel.licence, license_acknowledgement=stated)]
        if wheel.licence
        else []
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=wheel.name,
        version=wheel.version,
        bom_ref=wheel.file.name,
        licenses=licences,
        purl=PackageURL(
            "pypi", None, wheel.name.lower(), wheel.version, {"file_name": wheel.file.name}
        ),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file_sha256(wheel.file))],
    )
