"""Whether a model fits this machine's memory, and what else would: before anything is opened.

Pure: sizes of a bundle, and the bytes that are available.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..backends.native.session import VARIANTS as NATIVE_VARIANTS
from ..bundle.contract import Bundle
from ..engine.generation import CHUNK_TOKENS
from ..engine.kv_type import KV_TYPES, KvType, graph_type
from ..errors import DeviceError, OptionError
from .choice import PREFERENCE, parts_of
from .plan import OPENVINO, SAME, USUAL_KV_TYPE, Plan

LEAST_CONTEXT = 128  # tokens; a prompt and an answer have no room in fewer
_MOST_OFFERS = 3


@dataclass(frozen=True)
class Need:
    """Memory that a model takes with one text as long as its context, in bytes."""

    variant: str
    kv_type: KvType
    context: int
    weights: int
    cache_of_token: int
    working: int

    @property
    def cache(self) -> int:
        """The cache of a whole context."""
        return self.cache_of_token * self.context

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.working

    def longest(self, available: int) -> int:
        """Return the longest context that fits, in whole hundreds."""
        return max(0, available - self.weights - self.working) // self.cache_of_token // 100 * 100


def bounded(bundle: Bundle, context: int | None) -> Bundle:
    """Return the bundle with a context of at most so many tokens; None leaves it as it is.

    Raises:
        OptionError: when it has no such context.

    """
    if context is None:
        return bundle
    most = bundle.sizes.context
    if not min(LEAST_CONTEXT, most) <= context <= most:
        raise OptionError(f"context {context}; expected {min(LEAST_CONTEXT, most)} to {most}")
    return replace(bundle, sizes=replace(bundle.sizes, context=context))


def need_of(bundle: Bundle, chosen: Plan) -> Need:
    """Return what a plan takes."""
    return _need(bundle, chosen, chosen.variant, KV_TYPES[chosen.kv_type])


def caches_in_words(bundle: Bundle) -> str:
    """Return what KV caches of each type take; int8 is the native kernels' alone."""
    sizes = bundle.sizes
    takes = (
        f"{name} {kv_type.token_bytes(sizes)} bytes a token, "
        f"{_gb(kv_type.token_bytes(sizes) * sizes.context)} for {sizes.context}"
        for name, kv_type in KV_TYPES.items()
    )
    return "; ".join(takes)


def memory_in_words(bundle: Bundle, chosen: Plan, available: int | None) -> str:
    """Return what a plan takes of a CPU's memory with a whole context, and what there is."""
    need = need_of(bundle, chosen)
    there = "" if available is None else f" of {_gb(available)} available"
    return (
        f"{_gb(need.total)}{there}: weights {_gb(need.weights)}, a cache of {need.kv_type.name} "
        f"{_gb(need.cache)}, to work in {_gb(need.working)}"
    )


def check_room(bundle: Bundle, chosen: Plan, available: int | None) -> None:
    """Refuse a plan for a CPU that takes more than the bytes that are available.

    Raises:
        DeviceError: saying what it takes, and what would fit.

    """
    if chosen.device != "cpu" or available is None:  # of a GPU's memory nothing is known here
        return
    need = need_of(bundle, chosen)
    if need.total <= available:
        return
    offers = [*_offers(bundle, chosen, need, available)][:_MOST_OFFERS]
    remedy = f"what fits: {'; or '.join(offers)}" if offers else "nothing of this bundle fits"
    raise DeviceError(
        f"{need.variant} with a context of {need.context} tokens takes {_gb(need.total)} of memory "
        f"(weights {_gb(need.weights)}, a cache of {need.kv_type.name} {_gb(need.cache)}, and "
        f"{_gb(need.working)} to work in), and {_gb(available)} are available; {remedy}"
    )


def _need(bundle: Bundle, chosen: Plan, variant: str, kv_type: KvType) -> Need:
    """Return what a variant takes; openvino holds weights of its own."""
    sizes = bundle.sizes
    weights = sum(bundle.variants[part].bytes for part in parts_of(variant))
    return Need(
        variant,
        kv_type,
        sizes.context,
        weights * (2 if chosen.prefill == OPENVINO else 1),
        kv_type.token_bytes(sizes),
        _working(bundle, native=_is_native(chosen) and _has_kernels(variant)),
    )


def _working(bundle: Bundle, *, native: bool) -> int:
    """Return the bytes that a long step works in; onnxruntime holds a layer's scores as well."""
    sizes = bundle.sizes
    inside = (sizes.heads + sizes.kv_heads) * sizes.head_size
    numbers = 2 * (sizes.width + inside) + 3 * bundle.decoder.mlp.hidden
    numbers += 0 if native else sizes.heads * sizes.context
    return 4 * (CHUNK_TOKENS * numbers + sizes.vocabulary)


def _has_kernels(variant: str) -> bool:
    return set(parts_of(variant)) <= set(NATIVE_VARIANTS)


def _is_native(chosen: Plan) -> bool:
    """Whether the native kernels do all, with a cache of any type."""
    return chosen.engine == "native" and chosen.prefill == SAME


def _offers(bundle: Bundle, chosen: Plan, need: Need, available: int) -> Iterator[str]:
    """Yield what would fit, in the words of `load`'s options: the nearest first."""
    for kv_type in KV_TYPES.values() if _is_native(chosen) else ():
        other = _need(bundle, chosen, need.variant, kv_type)
        if other.cache < need.cache and other.total <= available:
            yield f"cache type {kv_type.name}"
    if (context := need.longest(available)) >= LEAST_CONTEXT:
        yield f"context {context}"
    for name in PREFERENCE["cpu"]:
        if name in bundle.variants and bundle.variants[name].bytes < need.weights:
            yield from _offer(
                _need(bundle, chosen, name, _usual_type(bundle, chosen, name)), available
            )


def _usual_type(bundle: Bundle, chosen: Plan, name: str) -> KvType:
    if _has_kernels(name) and _is_native(chosen):
        return KV_TYPES[USUAL_KV_TYPE]
    return graph_type(bundle.variants[name].kv_type)


def _offer(need: Need, available: int) -> Iterator[str]:
    if need.total <= available:
        yield f"variant {need.variant}"
    elif (context := need.longest(available)) >= LEAST_CONTEXT:
        yield f"variant {need.variant} with context {context}"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
