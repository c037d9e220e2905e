"""Writes the checkpoint folder in the published layout, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from refact_edge.export.beside import beside

from .data import Package

LICENSE = """\
The files in this folder are licensed under the Apache License, Version 2.0
(https://www.apache.org/licenses/LICENSE-2.0), as is the project they belong to.

The weights and the tokenizer were trained on the source text of CPython's standard library,
Copyright (c) 2001 Python Software Foundation; All Rights Reserved, which is licensed under the
Python Software Foundation License Version 2 (https://docs.python.org/3/license.html), and of the
packages below, each under the licence it names. The model may repeat passages of them.

"""

Config = dict[str, object]


def config(*, vocabulary: int, width: int, heads: int, layers: int, positions: int) -> Config:
    """Return config.json with the fields of the published checkpoint."""
    return {
        "architectures": ["GPTRefactForCausalLM"],
        "attention_bias_in_fp32": True,
        "attention_softmax_in_fp32": True,
        "do_sample": True,
        "eos_token_id": 0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt_refact",
        "multi_query": True,
        "n_embd": width,
        "n_head": heads,
        "n_inner": None,
        "n_layer": layers,
        "n_positions": positions,
        "scale_attention_softmax_in_fp32": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": vocabulary,
    }


def bf16_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in bf16; raises ValueError for one that is not finite."""
    bad = [name for name, weight in state.items() if not bool(torch.isfinite(weight).all())]
    if bad:
        raise ValueError(f"{len(bad)} weights are not finite: {', '.join(bad[:5])}")
    return {name: weight.detach().to(torch.bfloat16) for name, weight in state.items()}


def notice(package: Package) -> str:
    """Return the line of the licence file that names a package."""
    return f"{package.name} {package.version}: {package.licence}\n"


def save_checkpoint(
    folder: Path,
    state: dict[str, Tensor],
    tokenizer: Tokenizer,
    fields: Config,
    packages: Sequence[Package] = (),
) -> int:
    """Write the folder beside its place, then move it there; return its size in bytes.

    The licence file names the `packages` that were read.

    An older checkpoint stays as it was until the new one is complete.
    """
    with beside(folder) as draft:
        (draft / "config.json").write_text(json.dumps(fields, indent=2) + "\n")
        save_file(bf16_weights(state), draft / "model.safetensors", metadata={"format": "pt"})
        (draft / "model.safetensors").chmod(0o644)  # safetensors writes it for its owner alone
        tokenizer.save(str(draft / "tokenizer.json"))
        settings = {
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|endoftext|>",
            "tokenizer_class": "PreTrainedTokenizerFast",
        }
        (draft / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
        (draft / "LICENSE").write_text(LICENSE + "".join(map(notice, packages)))
    return sum(path.stat().st_size for path in folder.iterdir())
