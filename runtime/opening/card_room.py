"""Whether a variant fits a GPU's memory: by sizes alone, before anything is opened."""

from __future__ import annotations

from ..backends.cuda import Card
from ..bundle.contract import Bundle
from ..bundle.gpu import VARIANTS, row_size

# CUDA itself, its libraries' workspaces, and what a step of a prompt works in.
_BESIDE = 700_000_000
_HALF = 2  # bytes


def need_on_card(bundle: Bundle, variant: str) -> int:
    """Return about how many bytes of a GPU's memory a variant takes with its whole context."""
    weights = bundle.variants[variant].bytes
    return weights + _token_bytes(bundle, variant) * bundle.sizes.context + _BESIDE


def fits(bundle: Bundle, variant: str, card: Card | None) -> bool:
    """Whether a variant fits; so it does where nothing is known of the GPU."""
    return card is None or need_on_card(bundle, variant) <= card.memory


def card_in_words(bundle: Bundle, card: Card) -> str:
    """Return what variants with graphs for GPUs would take of this one's memory."""
    takes = [_takes(bundle, name, card) for name in VARIANTS if bundle.gpu_graphs(name)]
    if not takes:
        return "no variant of this bundle has a graph for GPUs; export fp16 or int4 again"
    return (
        f"with {bundle.sizes.context} tokens of context {'; '.join(takes)}; it has "
        f"{card.memory / 1e9:.1f} GB"
    )


def _takes(bundle: Bundle, variant: str, card: Card) -> str:
    need, token = need_on_card(bundle, variant), _token_bytes(bundle, variant)
    cache = token * bundle.sizes.context
    text = f"{variant} takes {need / 1e9:.1f} GB, {cache / 1e6:.0f} MB of them a cache"
    if need <= card.memory:
        return text
    longest = (card.memory - need + cache) // token // 100 * 100
    return f"{text}, which is too much" + (f"; context {longest} fits" if longest > 0 else "")


def _token_bytes(bundle: Bundle, variant: str) -> int:
    """Return the bytes of a token in the cache of all layers."""
    sizes, decoder = bundle.sizes, bundle.variants[variant].decoder
    return 2 * sizes.layers * _HALF * sizes.kv_heads * row_size(decoder, folded=True)
