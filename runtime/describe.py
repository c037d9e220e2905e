"""What a bundle holds, in lines for a reader."""

from __future__ import annotations

from collections.abc import Iterator

from .bundle import Bundle
from .hybrid import NAME, READER, WRITER


def describe(bundle: Bundle) -> Iterator[str]:
    """Yield the lines that `refact-edge info` prints."""
    sizes = bundle.sizes
    yield (
        f"{bundle.path}: {bundle.architecture}, {sizes.layers} layers of width {sizes.width}, "
        f"{sizes.context} tokens of context, {sizes.tokens} in the vocabulary"
    )
    yield f"{'variant':8} {'MB':>8} {'bits/weight':>12} {'mean KL':>9}  scheme"
    measured = bundle.quality.get("variants", {})
    for name, variant in bundle.variants.items():
        bits = variant.report.get("bits_per_weight", "?")
        lost = measured.get(name, {}).get("mean_kl", "?")
        yield f"{name:8} {variant.bytes / 1e6:8.1f} {bits:>12} {lost:>9}  {variant.scheme}"
    if {READER, WRITER} <= bundle.variants.keys():
        size = sum(bundle.variants[part].bytes for part in (READER, WRITER)) / 1e6
        yield (
            f"{NAME:8} {size:8.1f} {'':>12} {'':>9}  {READER} reads prompts, {WRITER} writes: "
            "sooner at long prompts, for the memory of both"
        )
    yield "made from:"
    for source in bundle.provenance.get("source", []):
        yield f"  {source['file']}  {source['bytes']} bytes  sha256 {source['sha256'][:16]}..."
