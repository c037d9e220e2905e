"""What this machine can do at most, reading and multiplying, and what a token needs of it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.native import most_products
from refact_edge.runtime.backends.native.library import opened
from refact_edge.runtime.bench.bandwidth import read_bandwidth, weights_read_bytes
from refact_edge.runtime.bench.products import products_per_s
from refact_edge.runtime.bundle.contract import read_bundle

from .engines import Files


@dataclass(frozen=True)
class Limits:
    """Bytes a second of all threads; products a second of one, None where they are not known."""

    weights_bytes: int  # that a token of int4 reads
    bytes_per_s: float
    most_products_per_s: float | None  # in registers
    products_per_s: float | None  # ours, with weights in a core's own cache

    @property
    def token_s(self) -> float:
        """The least time of a token, which reads all weights once."""
        return self.weights_bytes / self.bytes_per_s


def measure_limits(files: Files) -> Limits:
    """Measure them, while no worker works."""
    return Limits(
        weights_read_bytes(read_bundle(files.bundle), "int4"),
        read_bandwidth(files.threads),
        most_products(files.kind, 1),
        products_per_s(opened(), files.kind),
    )


def in_words(limits: list[Limits], token_s: float | None, kind: str) -> str:
    """Say what the machine can do at most, and how much of that int4 reaches.

    Of several measurements the best counts, as a busy machine only ever takes away.
    """
    memory = max(limits, key=lambda one: one.bytes_per_s)
    text = f"Memory is read at {memory.bytes_per_s / 1e9:.1f} GB/s"
    if token_s is not None:
        text += f", of which single tokens of int4 reach {memory.token_s / token_s:.0%}"
    most = max((one.most_products_per_s or 0.0 for one in limits), default=0.0)
    ours = max((one.products_per_s or 0.0 for one in limits), default=0.0)
    if not most or not ours:
        return f"{text}. The limit in products as {kind} is not known (no C compiler, or too busy)."
    return (
        f"{text}. In registers a thread makes {most / 1e9:.0f} billion products a second as "
        f"{kind}, and our products with weights in cache {ours / 1e9:.0f} ({ours / most:.0%})."
    )
