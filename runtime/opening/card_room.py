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
    sizes, decoder = bundle.sizes, bundle.variants[variant].decoder
    row = _HALF * sizes.kv_heads * row_size(decoder, folded=True)
    return bundle.variants[variant].bytes + 2 * sizes.layers * sizes.context * row + _BESIDE


def fits(bundle: Bundle, variant: str, card: Card | None) -> bool:
    """Whether a variant fits; so it does where nothing is known of the GPU."""
    return card is None or need_on_card(bundle, variant) <= card.memory


def card_in_words(bundle: Bundle, card: Card) -> str:
    """Return what variants with graphs for GPUs would take of this one's memory."""
    takes = [_takes(bundle, name, card) for name in VARIANTS if bundle.gpu_graphs(name)]
    if not takes:
        return "no variant of this bundle has a graph for GPUs; export fp16 or int4 again"
    return (
        f"with {bundle.sizes.context} tokens of context {', '.join(takes)}, of "
        f"{card.memory / 1e9:.1f} GB"
    )


def _takes(bundle: Bundle, variant: str, card: Card) -> str:
    too_much = "" if fits(bundle, variant, card) else " (too much)"
    return f"{variant} takes {need_on_card(bundle, variant) / 1e9:.1f} GB{too_much}"
