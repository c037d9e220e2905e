"""What mutants are made from: a tiny random model in every form that can be opened.

Usage: python -m fuzz.originals FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tiny import TINY, TINY_TOKENS

import refact_edge
from refact_edge.export.convert import export_bundle
from refact_edge.export.fabricate import fabricate_checkpoint
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import OptionError
from refact_edge.runtime.store import prepack
from refact_edge.runtime.store.folder import ENVIRONMENT

from . import programs

VARIANTS = ["int8", "int4"]
LONG = "def f(x):\n    return x\n\n\n" * 20  # enough tokens to be saved


def make(folder: Path) -> None:
    """Make everything in a folder that does not exist yet; the same files each time."""
    draft = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    checkpoint = draft / "checkpoint"
    fabricate_checkpoint(checkpoint, decoder=TINY, tokens=TINY_TOKENS, seed=1)
    sharded = draft / "sharded"
    fabricate_checkpoint(sharded, decoder=TINY, tokens=TINY_TOKENS, seed=1, shards=2)
    export_bundle(checkpoint, draft / "bundle", VARIANTS)
    programs.make_decoders(draft / "decoders")
    _make_pickled(checkpoint, draft / "pickled")
    _make_adapter(draft / "adapter")
    _make_caches(draft / "bundle", draft / "caches")
    os.environ[ENVIRONMENT] = str(draft / "copies")
    for variant in VARIANTS:
        prepack.make(read_bundle(draft / "bundle"), variant)
    draft.rename(folder)


def _make_pickled(checkpoint: Path, folder: Path) -> None:
    """Write the checkpoint with its weights as pytorch_model.bin, where there is torch."""
    try:
        import torch
    except ImportError:
        return
    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").unlink()
    weights = load_file(checkpoint / "model.safetensors")
    tensors = {name: torch.tensor(array.astype(np.float32)) for name, array in weights.items()}
    torch.save(tensors, folder / "pytorch_model.bin")


def _make_adapter(folder: Path) -> None:
    random, rank = np.random.default_rng(0), 4
    tensors = {}
    for layer in range(TINY.layers):
        stem = f"base_model.model.transformer.h.{layer}.attn.q"
        for part, shape in (("A", (rank, TINY.width)), ("B", (TINY.width, rank))):
            values = 0.05 * random.standard_normal(shape)
            tensors[f"{stem}.lora_{part}.weight"] = values.astype(np.float32)
    folder.mkdir()
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")


def _make_caches(bundle: Path, folder: Path) -> None:
    """Save what each engine read of a long prompt."""
    for variant, engine in (("int4", "native"), ("int4", "onnxruntime"), ("int8", "onnxruntime")):
        try:
            model = refact_edge.load(
                bundle, variant=variant, engine=engine, device="cpu", caches=folder
            )
        except OptionError:  # no native kernels here
            continue
        "".join(model.complete(LONG, "\n", max_tokens=2, sampling=GREEDY))
        model.save_caches()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
