"""Random checkpoints of a given shape: for speed, memory and parity, never for quality."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ..runtime.bundle.decoder import Decoder
from ..runtime.errors import ExportError
from ..runtime.text.alphabet import BYTE_ALPHABET
from .architectures.gpt_refact import ARCHITECTURE, FUSED, UNFUSED
from .beside import beside, check_space, check_writable
from .manifest import write_json
from .progress import SILENT, Track
from .refact_shapes import PUBLISHED, PUBLISHED_TOKENS, config_sizes
from .starcoder import SPECIAL_TOKENS
from .tensors import Tensors

Bfloat16 = npt.NDArray[np.generic]
STANDARD_DEVIATION = 0.02  # initializer_range of the published model
_DRAWN_FIRST = ("ln_1", "ln_2", "attn.q", "attn.c_proj", "mlp.c_proj")  # of a layer


def fabricate_checkpoint(
    target: Path,
    tokenizer: Path | None = None,
    *,
    decoder: Decoder = PUBLISHED,
    tokens: int = PUBLISHED_TOKENS,
    seed: int = 0,
    fused: bool = True,
    shards: int = 1,
    track: Track = SILENT,
) -> int:
    """Write a seeded random bf16 checkpoint and return the bytes of its weights.

    Args:
        target: a folder that does not exist yet.
        tokenizer: a tokenizer.json with the model's special tokens; None makes one up.
        decoder: the shape; that of the published 1.6B model when not given.
        tokens: size of a made-up tokenizer.
        seed: the same seed gives the same files.
        fused: False writes the earlier layout, with keys apart from values and gate from up.
        shards: number of safetensors files; more than one come with an index.
        track: told how far the work is.

    Raises:
        ExportError: when `target` exists, the tokenizer is no file, or the disk is full.

    """
    if target.exists():
        raise ExportError(f"{target} exists; choose another folder")
    if tokenizer is not None and not tokenizer.is_file():
        raise ExportError(f"{tokenizer} is not a file; expected a tokenizer.json")
    tensors = _as_drawn(Tensors(decoder, FUSED if fused else UNFUSED).expected())
    needed = sum(2 * int(np.prod(size)) for size in tensors.values())
    check_writable(target)
    check_space(target, needed)
    with beside(target) as work:
        if tokenizer is None:
            made_up = made_up_tokenizer(tokens)
            (work / "tokenizer.json").write_text(json.dumps(made_up), encoding="utf-8")
        else:
            shutil.copyfile(tokenizer, work / "tokenizer.json")
        write_json(work / "config.json", config_json(decoder))
        _write_shards(work, tensors, seed, shards, track)
    return needed


def _as_drawn(tensors: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return tensors in the order in which they are drawn: a seed always gives the same files."""

    def place(name: str) -> tuple[int, int]:
        layer = re.match(r"transformer\.h\.(\d+)\.(.*)\.weight", name)
        if layer is None:
            return (-1 if "wte" in name else len(tensors)), 0
        rank = _DRAWN_FIRST.index(layer[2]) if layer[2] in _DRAWN_FIRST else len(_DRAWN_FIRST)
        return int(layer[1]), rank

    return dict(sorted(tensors.items(), key=lambda tensor: place(tensor[0])))


def config_json(decoder: Decoder) -> dict[str, object]:
    """Return the config.json of that shape, with the fields of the published one."""
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "gpt_refact",
        **config_sizes(decoder),
        "n_inner": None,
        "multi_query": True,
        "eos_token_id": SPECIAL_TOKENS.index("<|endoftext|>"),
        "initializer_range": STANDARD_DEVIATION,
        "torch_dtype": "bfloat16",
    }


def made_up_tokenizer(tokens: int) -> dict[str, object]:
    """Return a byte-level BPE tokenizer.json of that size whose merges are mere pairs of bytes.

    It encodes any text and has the special tokens where they belong; real text takes about
    twice the tokens that a trained one would.
    """
    alphabet = list(BYTE_ALPHABET)
    first = len(SPECIAL_TOKENS)
    pairs = itertools.product(alphabet, alphabet)
    merges = list(itertools.islice(pairs, max(0, tokens - first - len(alphabet))))
    words = [*alphabet, *("".join(pair) for pair in merges)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    special = [
        {"id": i, "content": token, **flags, "special": True}
        for i, token in enumerate(SPECIAL_TOKENS)
    ]
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    steps = [
        {"type": "Digits", "individual_digits": True},
        {**byte_level, "add_prefix_space": False},
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate([*SPECIAL_TOKENS, *words])},
            "merges": [list(pair) for pair in merges],
        },
    }


def _write_shards(
    work: Path, tensors: dict[str, tuple[int, ...]], seed: int, shards: int, track: Track
) -> None:
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    index = {}
    total = sum(int(np.prod(size)) for size in tensors.values())
    with track("fabricating weights", total) as advance:
        for number, names in enumerate(_split(list(tensors), tensors, shards), start=1):
            file = "model.safetensors"
            if shards > 1:
                file = f"model-{number:05}-of-{shards:05}.safetensors"
            content = {}
            for name in names:
                content[name] = _random(random, tensors[name])
                index[name] = file
                advance(content[name].size)
            save_file(content, work / file, metadata={"format": "pt"})
    if shards > 1:
        listing = {"metadata": {"total_size": 2 * total}, "weight_map": index}
        write_json(work / "model.safetensors.index.json", listing)


def _random(random: np.random.Generator, size: tuple[int, ...]) -> Bfloat16:
    """Return normal values for a matrix, and values around 1 for a norm."""
    values = random.standard_normal(size, dtype=np.float32)
    if len(size) == 1:
        return (1 + np.float32(0.1) * values).astype(ml_dtypes.bfloat16)
    return (np.float32(STANDARD_DEVIATION) * values).astype(ml_dtypes.bfloat16)


def _split(names: list[str], sizes: dict[str, tuple[int, ...]], shards: int) -> Iterator[list[str]]:
    """Cut the names, in order, into shards of about equal weight."""
    total = sum(int(np.prod(sizes[name])) for name in names)
    groups: list[list[str]] = [[] for _ in range(shards)]
    done = 0
    for name in names:
        groups[min(shards - 1, done * shards // total)].append(name)
        done += int(np.prod(sizes[name]))
    yield from groups
