"""Which variants of a bundle a name stands for, and which one is best on a device."""

from __future__ import annotations

from ..bundle.contract import HYBRID, HYBRID_READER, HYBRID_WRITER, Bundle
from ..errors import BundleError, OptionError

# The order when no variant is named. fp16 has no kernels on a CPU, int8 none on a GPU.
PREFERENCE = {"cpu": ("int4", "int8", "fp32"), "cuda": ("fp16", "int4", "fp32", "int8")}


def best_variant(bundle: Bundle, device: str) -> str:
    """Return the best variant for a device, cpu or cuda, when none is named.

    Raises:
        BundleError: when none of the bundle's is chosen by itself there.

    """
    for name in PREFERENCE[device]:
        if name in bundle.variants:
            return name
    raise BundleError(
        f"{bundle.path} holds only {', '.join(bundle.variants)}, which is not chosen on {device} "
        "by itself; export int4 or int8, or name the variant"
    )


def parts_of(name: str) -> tuple[str, ...]:
    """Return the variants that are opened for a name: itself, or hybrid's two, prefill's first."""
    return (HYBRID_READER, HYBRID_WRITER) if name == HYBRID else (name,)


def required_variants(bundle: Bundle, name: str) -> tuple[str, ...]:
    """Return `parts_of` a name, all of which the bundle has.

    Raises:
        OptionError: when the bundle lacks one; lists those it has.
        BundleError: when hybrid's two have caches of different types, as they share one.

    """
    if name != HYBRID:
        return (bundle.require_variant(name).name,)
    parts = parts_of(name)
    if missing := [part for part in parts if part not in bundle.variants]:
        raise OptionError(
            f"{bundle.path} has no variant {missing[0]!r}, and hybrid is {' and '.join(parts)} "
            f"together; it has: {', '.join(bundle.variants)}"
        )
    types = [bundle.variants[part].kv_type for part in parts]
    if len(set(types)) > 1:
        raise BundleError(
            f"{bundle.path}: hybrid is {' and '.join(parts)} over one cache, and theirs are of "
            f"{' and '.join(types)}; export the model again"
        )
    return parts
