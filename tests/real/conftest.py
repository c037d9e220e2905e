"""A real model: its checkpoint and bundle, and what transformers makes of the same ids.

`make test-real` says where they lie; nothing here is part of `make test`. The reference runs first
and is given up, so that it is never in memory beside a session.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import refact_edge
from refact_edge.export.parity import sample_ids
from refact_edge.runtime.bundle.contract import Bundle, read_bundle

DEEP, TAIL = 4_000, 64  # tokens in the cache, and behind them


@dataclass(frozen=True)
class Deep:
    """Ids [DEEP + TAIL] of real text, and transformers' logits [TAIL, V] at the last of them."""

    ids: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return Path(os.environ["REFACT_EDGE_REAL_CHECKPOINT"])


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return read_bundle(Path(os.environ["REFACT_EDGE_REAL_BUNDLE"]))


@pytest.fixture(scope="session")
def deep(checkpoint: Path, bundle: Bundle) -> Deep:
    import torch
    from transformers import AutoModelForCausalLM

    ids = sample_ids(bundle, DEEP + TAIL)
    auto: Any = AutoModelForCausalLM  # transformers leaves its methods untyped
    model = auto.from_pretrained(checkpoint, torch_dtype=torch.float32).eval()
    with torch.inference_mode():
        output = model(torch.from_numpy(ids)[None], use_cache=False, logits_to_keep=TAIL)
    logits = output.logits[0].numpy().copy()
    del model, output
    gc.collect()
    return Deep(ids, logits)


@pytest.fixture(scope="module", params=["fp32", "int8", "int4"])
def model(request: pytest.FixtureRequest, bundle: Bundle) -> Iterator[refact_edge.Model]:
    """Yield one variant after the other, as a user opens it."""
    opened = refact_edge.load(bundle.path, variant=request.param)
    yield opened
    opened.session.close()
