"""Which mutant has which number: its kind, what it is made from, and the jobs that look at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from . import bundles, caches, checkpoints, manifest, programs, tokenizer
from .jobs import CACHES, CHECKPOINT, COPIES, SUBJECT, WRITABLE

# What a server must have to do a mutant's jobs: see server.py.
PLAIN, SANITIZED, TORCH = "plain", "sanitized", "torch"

Mutate = Callable[[Random, Path], str]

_INT4 = ("native", "onnxruntime int4")
_INT8 = ("onnxruntime int8",)
_ALL = (*_INT4, *_INT8)
_LOOKS = ("info", "info --json", "doctor", "hybrid")  # now and then


@dataclass(frozen=True)
class Kind:
    """A kind of mutants."""

    name: str
    weight: int  # how often, beside the others
    mutate: Mutate
    original: str = "bundle"  # folder of the originals that is changed
    place: str = SUBJECT  # folder of the mutant that it becomes
    beside: tuple[str, str] = ("", "")  # an original that stays as it is, and its place
    jobs: tuple[str, ...] = _ALL
    refused: bool = False  # nothing may open it
    flavour: str = PLAIN
    sanitized: float = 0.25  # share of mutants that sanitized kernels open, where native ones would


def _bundle(
    name: str,
    weight: int,
    mutate: Callable[[Random, Path, str], str],
    *,
    refused: bool = False,
    sanitized: float = 0.25,
) -> list[Kind]:
    """Return a kind for each variant."""
    rows = (("int4", weight, _INT4), ("int8", -(-weight // 3), _INT8))
    return [
        Kind(
            f"{name} {one}",
            often,
            partial(_with, mutate, one),
            jobs=jobs,
            refused=refused,
            sanitized=sanitized,
        )
        for one, often, jobs in rows
    ]


def _with(
    mutate: Callable[[Random, Path, str], str], value: str, random: Random, folder: Path
) -> str:
    return mutate(random, folder, value)


def _checkpoint(name: str, weight: int, mutate: Mutate, original: str = "checkpoint") -> Kind:
    return Kind(f"checkpoint {name}", weight, mutate, original, jobs=("export",))


def _adapter(name: str, mutate: Mutate) -> Kind:
    beside = ("checkpoint", CHECKPOINT)
    return Kind(f"adapter {name}", 1, mutate, "adapter", beside=beside, jobs=("merge",))


_header, _values = (
    partial(_with, one) for one in (checkpoints.mutate_header, checkpoints.mutate_values)
)
_json = partial(_with, checkpoints.mutate_json)

KINDS = (
    Kind("manifest", 18, manifest.mutate),
    Kind("tokenizer", 18, tokenizer.mutate),
    *_bundle("graph bytes", 4, bundles.mutate_bytes),
    *_bundle("graph wire", 10, bundles.mutate_wire),
    *_bundle("graph", 16, bundles.mutate_graph),
    *_bundle("layer", 6, bundles.mutate_layer, sanitized=0.5),
    *_bundle("weights", 4, bundles.mutate_weights),
    *_bundle("hashes", 2, bundles.mutate_hashes, refused=True),
    _checkpoint("header", 5, partial(_header, "model.safetensors")),
    _checkpoint("values", 1, partial(_values, "model.safetensors")),
    _checkpoint("config", 4, partial(_json, "config.json")),
    _checkpoint("index", 2, checkpoints.mutate_index, "sharded"),
    _checkpoint("tokenizer", 4, checkpoints.mutate_tokenizer),
    Kind("checkpoint bin", 2, checkpoints.mutate_bin, "pickled", jobs=("export",), flavour=TORCH),
    _adapter("header", partial(_header, "adapter_model.safetensors")),
    _adapter("config", partial(_json, "adapter_config.json")),
    Kind("saved cache", 6, caches.mutate_saved, "caches", CACHES, ("bundle", SUBJECT),
         ("caches native", "caches int4", "caches int8")),
    Kind("program", 6, programs.mutate, "decoders", jobs=("native program",), flavour=SANITIZED),
    Kind("warmed copy", 2, caches.mutate_copy, "copies", COPIES, ("bundle", SUBJECT),
         ("copy int4", "copy int8")),
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A mutant before it is made."""

    number: int
    kind: Kind
    jobs: tuple[str, ...]
    flavour: str


def plan(seed: int, number: int) -> tuple[Plan, Random]:
    """Return what mutant `number` of a seed is, and the numbers that its changes are drawn from."""
    random = Random(f"{seed} {number}")
    (kind,) = random.choices(KINDS, [one.weight for one in KINDS])
    jobs, flavour = kind.jobs, kind.flavour
    if kind.original == "bundle":
        if "native" in jobs and random.random() < kind.sanitized:
            jobs, flavour = ("native",), SANITIZED
        elif not kind.refused and random.random() < 0.15:
            jobs = (*jobs, random.choice(_LOOKS))
    return Plan(number, kind, jobs, flavour), random


def make(plan: Plan, random: Random, originals: Path, folder: Path) -> str:
    """Write a mutant's files into an empty folder, and return what was changed."""
    kind = plan.kind
    shutil.copytree(originals / kind.original, folder / kind.place)
    source, place = kind.beside
    if source:
        shutil.copytree(originals / source, folder / place)
    for name in WRITABLE:
        (folder / name).mkdir(exist_ok=True)
    return kind.mutate(random, folder / kind.place)
