"""What a bundle holds, in lines for a reader."""

from __future__ import annotations

from collections.abc import Iterator

from .contract import HYBRID, HYBRID_READER, HYBRID_WRITER, Bundle
from .decoder import in_billions, parameter_count


def describe(bundle: Bundle) -> Iterator[str]:
    """Yield the lines that `refact-edge info` prints."""
    sizes = bundle.sizes
    called = f"{bundle.name}, " if bundle.name else ""
    yield (
        f"{bundle.path}: {called}{bundle.architecture}, {sizes.layers} layers of width "
        f"{sizes.width}, {in_billions(parameter_count(bundle.decoder))} weights, {sizes.context} "
        f"tokens of context, {sizes.tokens} in the vocabulary"
    )
    yield f"{'variant':8} {'MB':>8} {'bits/weight':>12} {'mean KL':>9}  scheme"
    for name, variant in bundle.variants.items():
        bits = _figure(variant.report, "bits_per_weight")
        lost = _figure(bundle.quality, "variants", name, "mean_kl")
        yield f"{name:8} {variant.bytes / 1e6:8.1f} {bits:>12} {lost:>9}  {variant.scheme}"
    if {HYBRID_READER, HYBRID_WRITER} <= bundle.variants.keys():
        size = sum(bundle.variants[part].bytes for part in (HYBRID_READER, HYBRID_WRITER)) / 1e6
        yield (
            f"{HYBRID:8} {size:8.1f} {'':>12} {'':>9}  {HYBRID_READER} for prefill, "
            f"{HYBRID_WRITER} for decode: faster on long prompts, takes the memory of both"
        )
    calibration = bundle.provenance.get("calibration")
    if isinstance(calibration, dict) and isinstance(calibration.get("method"), str):
        yield f"quantized weights rounded {calibration['method']}"
    yield "made from:"
    for source in bundle.provenance.get("source", []):
        yield f"  {source['file']}  {source['bytes']} bytes  sha256 {source['sha256'][:16]}..."


def _figure(measured: object, *keys: str) -> float | str:
    """Return a figure that the bundle's maker has measured; ? where there is none."""
    for key in keys:
        measured = measured.get(key) if isinstance(measured, dict) else None
    return measured if isinstance(measured, (int, float)) else "?"
