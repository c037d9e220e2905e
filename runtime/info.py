"""What an open model tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """What a model is, and what computes it.

    Args:
        name: as its manifest has it.
        architecture: the model type.
        variant: int4, int8, fp16, fp32 or hybrid.
        device: cpu or cuda.
        engine: what computes, in words.
        context_tokens: that prompt and answer may have together.
        weight_bytes: of the variant.
        fills: whether it sees what stands behind a cursor.
        chats: whether it was trained to answer messages.

    """

    name: str
    architecture: str
    variant: str
    device: str
    engine: str
    context_tokens: int
    weight_bytes: int
    fills: bool
    chats: bool
