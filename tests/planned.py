"""Machines and bundles as a plan sees them: facts that are written down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refact_edge.runtime.backends.cuda import Card
from refact_edge.runtime.bundle.contract import Bundle, Variant, sizes_of
from refact_edge.runtime.bundle.decoder import Alibi, Attention, Decoder, Mlp, Norm

INSTALL = "install it with: pip install 'refact-edge[cpu]'"
VARIANTS = ("fp32", "fp16", "int8", "int4")


@dataclass(frozen=True)
class Facts:
    """A machine, written down: by default an x86 laptop with everything but a GPU."""

    without_onnxruntime: str = ""
    has_cuda: bool = False
    cuda_problem: str = ""
    card: Card | None = None
    has_openvino: bool = True
    available_memory: int | None = None
    native_kind: str = "avx2"
    native_problem: str = ""
    native_fails: bool = False
    native_is_slower: bool = False
    native_timing: str = ""


def bundle_of(*variants: str, width: int = 256, files: tuple[str, ...] = ()) -> Bundle:
    """Return a bundle's manifest; a plan needs no files, but names of some that there are."""
    decoder = Decoder(
        layers=1,
        width=width,
        vocabulary=9,
        context=9,
        tied=False,
        norm=Norm("layer", 1e-5),
        positions=Alibi((0.5,)),
        attention=Attention(heads=1, kv_heads=1, head_size=4, scale=0.5),
        mlp=Mlp(hidden=4, activation="silu", gated=True),
    )
    entries = {name: Variant(name, "a scheme", "float32", 1, {}, decoder, {}) for name in variants}
    sizes = sizes_of(decoder, tokens=9)
    named: dict[str, dict[str, object]] = {name: {} for name in files}
    return Bundle(Path("bundle"), "gpt_refact", decoder, sizes, {}, {}, entries, {}, named, {})
