"""The bill of materials in a bundle: CycloneDX 1.6, of a model.

Who takes a model in asks: what was it made from, by whose rules may it be used, how was it
changed, what did that cost. Inventories of software read the answers from here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model import Property as Extra
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6

from .. import __version__
from ..quant.schemes import Scheme
from .card import Card

BOM = "bom.cdx.json"
_TASK = "text-generation"
_NAMESPACE = uuid.UUID("3d1c6f3b-2c5e-5b6c-9a51-1f0a6e6d8d4b")


def bill_of_materials(
    name: str,
    architecture: str,
    card: Card,
    source: Sequence[Mapping[str, Any]],
    schemes: Iterable[Scheme],
    rounding: str,
    quality: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a bundle's bill of materials as JSON; the same bundle has the same.

    Args:
        name: the model's.
        architecture: as its manifest has it.
        card: what its checkpoint states.
        source: that one's files, with their sha256.
        schemes: the variants.
        rounding: how their weights were rounded.
        quality: what was measured, as the manifest has it; or nothing.

    """
    base = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=", ".join(card.made_from) or name,
        bom_ref="checkpoint",
        components=[_file(entry) for entry in source],
    )
    model = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=name,
        bom_ref="model",
        description="An ONNX bundle: the checkpoint, quantized.",
        licenses=_licences(card),
        external_references=_links(card),
        pedigree=Pedigree(ancestors=[base], notes=f"weights rounded {rounding}"),
        properties=[Extra(name=f"refact-edge:{s.name}", value=s.summary) for s in schemes],
    )
    tool = Component(
        type=ComponentType.APPLICATION, name="refact-edge", version=__version__, bom_ref="exporter"
    )
    bom = Bom(components=[])
    bom.metadata.component = model
    bom.metadata.tools.components.add(tool)
    whole: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del whole["metadata"]["timestamp"]  # the same bundle is the same bytes
    # The library has no model cards yet.
    whole["metadata"]["component"]["modelCard"] = _model_card(architecture, card, quality)
    del whole["serialNumber"]
    text = json.dumps(whole, sort_keys=True)
    whole["serialNumber"] = uuid.uuid5(_NAMESPACE, text).urn
    return whole


def _file(entry: Mapping[str, Any]) -> Component:
    return Component(
        type=ComponentType.FILE,
        name=entry["file"],
        bom_ref=f"checkpoint/{entry['file']}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=entry["sha256"])],
    )


def _licences(card: Card) -> list[Any]:
    """Return the licence by its SPDX identifier, where it has one, as stated."""
    if not card.licence:
        return []
    stated = LicenseAcknowledgement.DECLARED
    return [LicenseFactory().make_from_string(card.licence, license_acknowledgement=stated)]


def _links(card: Card) -> list[ExternalReference]:
    if not card.licence_link:
        return []
    return [ExternalReference(type=ExternalReferenceType.LICENSE, url=XsUri(card.licence_link))]


def _model_card(architecture: str, card: Card, quality: Mapping[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "task": _TASK,
        "architectureFamily": "transformer",
        "modelArchitecture": architecture,
        "inputs": [{"format": "text"}],
        "outputs": [{"format": "text"}],
    }
    if card.datasets:
        parameters["datasets"] = [{"type": "dataset", "name": name} for name in card.datasets]
    model_card: dict[str, Any] = {"modelParameters": parameters}
    if metrics := list(_metrics(quality)):
        model_card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return model_card


def _metrics(quality: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    for name, figures in quality.get("variants", {}).items():
        for kind, key in (
            ("mean KL from full precision, nats", "mean_kl"),
            ("same first choice as full precision", "top1_agreement"),
        ):
            yield {"type": kind, "value": str(figures[key]), "slice": name}
