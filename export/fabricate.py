"""Random checkpoints of a given shape: for speed, memory and parity, never for quality."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..runtime.bundle.decoder import Decoder
from ..runtime.errors import ExportError
from ..runtime.text.alphabet import BYTE_ALPHABET
from .architectures import find
from .architectures.gpt_refact import FUSED, UNFUSED
from .beside import beside, check_space, check_writable
from .manifest import write_json
from .progress import SILENT, Track
from .random_tensors import in_shards, write_random
from .refact_shapes import PUBLISHED, PUBLISHED_TOKENS
from .shape import STANDARD_DEVIATION, Shape, refact_shape
from .starcoder import SPECIAL_TOKENS
from .tensors import Table, Tensors

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
    """Write a Refact checkpoint of any shape: see `fabricate`.

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
    shape, table = refact_shape(decoder, tokens), FUSED if fused else UNFUSED
    return fabricate(target, shape, tokenizer, table=table, seed=seed, shards=shards, track=track)


def fabricate(
    target: Path,
    shape: Shape,
    tokenizer: Path | None = None,
    *,
    table: Table | None = None,
    seed: int = 0,
    shards: int = 1,
    track: Track = SILENT,
) -> int:
    """Write a seeded random bf16 checkpoint and return the bytes of its weights.

    It takes little memory, whatever its size. `table` says where weights lie where an architecture
    has several layouts.

    Raises:
        CheckpointError: when this package has no architecture for the shape.
        ExportError: when `target` exists, the tokenizer is no file, or the disk is full.

    """
    if target.exists():
        raise ExportError(f"{target} exists; choose another folder")
    if tokenizer is not None and not tokenizer.is_file():
        raise ExportError(f"{tokenizer} is not a file; expected a tokenizer.json")
    architecture = find(shape.config["model_type"])
    layout = architecture.tensors(set()) if table is None else table
    tensors = _as_drawn(Tensors(decoder_of_shape(shape), layout).expected())
    needed = 2 * sum(map(math.prod, tensors.values()))
    check_writable(target)
    check_space(target, needed)
    with beside(target) as work:
        if tokenizer is None:
            made_up = made_up_tokenizer(shape.tokens, shape.specials)
            (work / "tokenizer.json").write_text(json.dumps(made_up), encoding="utf-8")
        else:
            shutil.copyfile(tokenizer, work / "tokenizer.json")
        write_json(work / "config.json", dict(shape.config))
        _write_shards(work, tensors, seed, shards, track)
    return needed


def decoder_of_shape(shape: Shape) -> Decoder:
    """Return the facts that an architecture reads out of a shape's config.json.

    Raises:
        CheckpointError: when this package has no architecture for it.
        ExportError: when the architecture refuses it.

    """
    problems: list[str] = []
    decoder = find(shape.config["model_type"]).decoder(shape.config, problems)
    if decoder is None or problems:
        raise ExportError(f"a shape that cannot be exported: {'; '.join(problems)}")
    return decoder


def _as_drawn(tensors: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return tensors in the order in which they are drawn: a seed always gives the same files."""

    def place(name: str) -> tuple[int, int]:
        layer = re.match(r"transformer\.h\.(\d+)\.(.*)\.weight", name)
        if layer is None:
            return (-1 if "wte" in name else len(tensors)), 0
        rank = _DRAWN_FIRST.index(layer[2]) if layer[2] in _DRAWN_FIRST else len(_DRAWN_FIRST)
        return int(layer[1]), rank

    return dict(sorted(tensors.items(), key=lambda tensor: place(tensor[0])))


def made_up_tokenizer(tokens: int, specials: Mapping[str, int] | None = None) -> dict[str, object]:
    """Return a byte-level BPE tokenizer.json of that size whose merges are mere pairs of bytes.

    It encodes any text and has the special tokens where they belong, StarCoder's when none are
    named; real text takes about twice the tokens that a trained one would.
    """
    if specials is None:
        specials = {token: place for place, token in enumerate(SPECIAL_TOKENS)}
    words, merges = _words(tokens - len(specials))
    reserved, ids = set(specials.values()), itertools.count()
    vocabulary = {word: next(i for i in ids if i not in reserved) for word in words}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": i, "content": token, **flags, "special": True} for token, i in specials.items()]
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    steps = [
        {"type": "Digits", "individual_digits": True},
        {**byte_level, "add_prefix_space": False},
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {"type": "BPE", "vocab": dict(specials) | vocabulary, "merges": merges},
    }


def _words(count: int) -> tuple[list[str], list[list[str]]]:
    """Return the alphabet with pairs of it, then pairs with one more, and how they are merged."""
    alphabet = list(BYTE_ALPHABET)
    pairs = [first + second for first, second in itertools.product(alphabet, alphabet)]
    merged = itertools.chain(
        itertools.product(alphabet, alphabet), itertools.product(pairs, alphabet)
    )
    merges = [list(parts) for parts in itertools.islice(merged, max(0, count - len(alphabet)))]
    return [*alphabet, *map("".join, merges)], merges


def _write_shards(
    work: Path, tensors: dict[str, tuple[int, ...]], seed: int, shards: int, track: Track
) -> None:
    random = np.random.default_rng(seed)
    index: dict[str, str] = {}
    total = sum(map(math.prod, tensors.values()))
    with track("fabricating weights", total) as advance:
        for number, part in enumerate(in_shards(tensors, shards), start=1):
            file = "model.safetensors"
            if shards > 1:
                file = f"model-{number:05}-of-{shards:05}.safetensors"
            write_random(work / file, part, random, STANDARD_DEVIATION, advance)
            index |= dict.fromkeys(part, file)
    if shards > 1:
        listing = {"metadata": {"total_size": 2 * total}, "weight_map": index}
        write_json(work / "model.safetensors.index.json", listing)
