"""The graphs of a variant for a GPU: their inputs and outputs, and what they look up.

They lie beside the variant's other graphs, over the same weights; see export/gpu.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .decoder import Alibi, Decoder, Rotary

VARIANTS = ("fp16", "int4")  # that have such graphs
TYPE = "float16"  # of activations and caches

LOGIT_ROWS = "logit_rows"  # which of the new tokens logits are wanted of, [K]
FILLED = "filled"  # rows of the cache that hold a token, the new ones among them, less 1, [1]
CAPACITY = "capacity"  # rows that the cache has
PLACES = "places"  # of the new tokens, [T]
KEYS = "keys"  # a table: what a key's place is made of
COSINES, SINES = "cosines", "sines"  # tables of rotary positions
CANDIDATE_LOGITS, CANDIDATE_IDS = "candidate_logits", "candidate_ids"

CANDIDATES = 64  # the greatest logits, which most sampling is content with
EXTENSION = 8  # numbers behind each head for ALiBi: rows stay whole pieces of 16 bytes
_ROTATED_TOGETHER = 8
_COARSE = 64  # a place is so many times one number, and another below
_MOST_ROWS = 65_504  # float16's largest: coarse parts are exact up to it

Table = npt.NDArray[np.float16] | npt.NDArray[np.float32]


def forms_of(decoder: Decoder) -> tuple[bool, ...]:
    """Return the forms that a decoder has, the one to take first: `folded` or not."""
    return (True, False) if isinstance(decoder.positions, Alibi) else (True,)


def row_size(decoder: Decoder, *, folded: bool) -> int:
    """Return the numbers of a key or value head in the cache."""
    with_places = folded and isinstance(decoder.positions, Alibi)
    return decoder.attention.head_size + (EXTENSION if with_places else 0)


def is_fused(rotary: Rotary) -> bool:
    """Whether onnxruntime's attention rotates so many numbers of heads by itself."""
    return rotary.dims // 2 % _ROTATED_TOGETHER == 0


def tables(decoder: Decoder, capacity: int, *, folded: bool) -> Mapping[str, Table]:
    """Return what the graph looks up by position, by the names of its inputs.

    Raises:
        ValueError: when ALiBi's places would not be exact.

    """
    places = np.arange(capacity)
    if isinstance(decoder.positions, Alibi):
        if not folded:
            return {KEYS: places.astype(np.float32)}
        if capacity > _MOST_ROWS:
            raise ValueError(f"{capacity} rows with ALiBi; expected at most {_MOST_ROWS}")
        fine = places % _COARSE
        parts = np.stack([places - fine, fine], axis=1)
        nothing = np.zeros((capacity, EXTENSION - 4))
        return {KEYS: np.concatenate([parts, parts, nothing], axis=1).astype(np.float16)}
    if isinstance(decoder.positions, Rotary):
        angles = _angles(decoder.positions, places, decoder.attention.head_size)
        return dict(zip((COSINES, SINES), angles, strict=True))
    return {}


def _angles(
    rotary: Rotary, places: npt.NDArray[np.int64], size: int
) -> list[npt.NDArray[np.float16]]:
    """Return cosines and sines for each place: of half the rotated numbers, where that is fused.

    Else of all its numbers, the sines of the first half negative; numbers that stay have the
    angle 0.
    """
    speeds = rotary.base ** -(np.arange(0, rotary.dims, 2) / rotary.dims) / rotary.factor
    angles = places[:, None] * speeds
    cosines, sines = np.cos(angles), np.sin(angles)
    if not is_fused(rotary):
        still = np.zeros((len(places), size - rotary.dims))
        cosines = np.concatenate([cosines, cosines, still + 1], axis=1)
        sines = np.concatenate([-sines, sines, still], axis=1)
    return [part.astype(np.float16) for part in (cosines, sines)]
