"""What a bundle holds beside graphs and weights: the manifest, and files for other loaders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..quant.schemes import Scheme
from ..quant.texts.calibration import Ids, fingerprint
from ..quant.texts.shipped import described
from ..quant.texts.sources import Source
from ..runtime.bundle import contract as layout
from ..runtime.bundle.decoder import to_json
from ..runtime.bundle.places import places_to_json
from ..runtime.files.sha256 import file_sha256
from . import loaders
from .bom import BOM, bill_of_materials
from .card import read_card
from .inspect import Inspected
from .licences import LICENCE
from .variants import decoder_in
from .weights import VariantWriter

# How weights are rounded, as reports say it.
NEAREST = "to nearest"
BY_ITSELF = "each by itself, for calibration texts"
IN_SEQUENCE = (
    "for calibration texts: blocks one after the other and for what the model minds, rows each by "
    "itself"
)


def write_side_files(
    work: Path, checked: Inspected, variants: list[str], terms: bytes | None
) -> None:
    """Write what other loaders read, the tokenizer, the licence if there is one, and a README."""
    model_type, decoder = checked.model_type, checked.decoder
    special = loaders.SpecialIds.of(checked.prompts, checked.checkpoint.config, checked.tokenizer)
    (work / layout.TOKENIZER).write_bytes(checked.tokenizer)
    for name, content in (
        ("config.json", loaders.hugging_face_config(model_type, decoder, special, variants)),
        ("generation_config.json", loaders.generation_config(special)),
        ("tokenizer_config.json", loaders.tokenizer_config(decoder.context, special)),
        ("special_tokens_map.json", special.as_tokens()),
        ("genai_config.json", loaders.genai_config(model_type, decoder, special, variants)),
    ):
        write_json(work / name, content)
    if terms is not None:
        (work / LICENCE).write_bytes(terms)
    text = loaders.readme(model_type, variants, LICENCE if terms else None)
    (work / "README.md").write_text(text, encoding="utf-8", newline="\n")


def write_bill(
    work: Path,
    checked: Inspected,
    schemes: Sequence[Scheme],
    name: str,
    rounding: Rounding,
    quality: Mapping[str, Any],
) -> None:
    """Write the bill of materials, for what was measured."""
    card = read_card(checked.checkpoint.path)
    bill = bill_of_materials(
        name, checked.model_type, card, checked.source_files, schemes, rounding.method, quality
    )
    write_json(work / BOM, bill)


def write_json(file: Path, content: object) -> None:
    """Write an object, the same one always as the same bytes."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8", newline="\n")


@dataclass(frozen=True)
class Rounding:
    """What quantized weights were rounded for: texts cut from source files, and how.

    `longer` are the texts of blocks, where those were rounded one after the other.
    """

    sources: Sequence[Source]
    texts: Sequence[Ids]
    longer: Sequence[Ids] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest has it; files are named when texts were cut from them."""
        return {
            **({"set": described(self.sources)} if self.texts else {}),
            **_counted(self.texts),
            **({"in_sequence": _counted(self.longer)} if self.longer else {}),
            "method": self.method,
        }

    @property
    def method(self) -> str:
        """How they were rounded, as reports say it."""
        if not self.texts:
            return NEAREST
        return IN_SEQUENCE if self.longer else BY_ITSELF


def _counted(texts: Sequence[Ids]) -> dict[str, Any]:
    return {
        "texts": len(texts),
        "tokens": sum(map(len, texts)),
        "sha256": fingerprint(texts),
    }


def manifest_of(
    work: Path,
    checked: Inspected,
    schemes: list[Scheme],
    written: list[VariantWriter],
    rounding: Rounding,
    name: str,
) -> dict[str, Any]:
    """Return the manifest of the files in `work`, which are all of the bundle's but itself.

    `name` is the model's.
    """
    hashes = {layout.weights_file(w.scheme.name): w.sha256 for w in written}
    files = {}
    for file in sorted(path for path in work.rglob("*") if path.is_file()):
        place = file.relative_to(work).as_posix()
        sha256 = hashes.get(place) or file_sha256(file)
        files[place] = {"bytes": file.stat().st_size, "sha256": sha256}
    return {
        "format": layout.FORMAT,
        "name": name,
        "architecture": checked.model_type,
        "decoder": to_json(checked.decoder),
        "tokens": checked.sizes.tokens,
        "prompts": checked.prompts,
        "sampling": dict(checked.family.sampling),
        "variants": {
            scheme.name: {
                "scheme": scheme.summary,
                "kv_type": scheme.activations,
                "bytes": files[layout.weights_file(scheme.name)]["bytes"],
                "report": writer.report(),
                "decoder": to_json(decoder_in(checked.decoder, scheme)),
                "weights": places_to_json(writer.places),
            }
            for scheme, writer in zip(schemes, written, strict=True)
        },
        "provenance": {
            "source": checked.source_files,
            "calibration": rounding.to_json(),
            "tools": {
                "refact-edge": __version__,
                "onnx": version("onnx"),
                "numpy": version("numpy"),
            },
        },
        "files": files,
    }
