"""Changes to refact_edge.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from refact_edge.runtime.bundle.contract import MANIFEST
from refact_edge.runtime.bundle.places import tensor_name
from refact_edge.runtime.files.sha256 import file_sha256

from .values import NUMBERS, brief, disturb, hostile, written

# Each section is as likely, however long it is; the first ones are read by more code.
_LARGEST = 2**1000
_SECTIONS = (
    "decoder", "decoder", "prompts", "prompts", "sampling", "variants", "files", "provenance", "",
)  # fmt: skip


def read(folder: Path) -> dict[str, Any]:
    """Return a bundle's manifest."""
    content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return content


def make_fit(folder: Path, *, tokens: int = 0) -> None:
    """Have a manifest say the sizes and hashes of the files as they are now, and maybe tokens."""
    content = read(folder)
    for name in content["files"]:
        file = folder / name
        if file.is_file():
            entry = {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
            content["files"][name] = entry
    content["tokens"] = tokens or content["tokens"]
    (folder / MANIFEST).write_text(json.dumps(content))


def tell_places(folder: Path, variant: str, tensors: dict[str, OnnxTensor]) -> None:
    """Have a manifest tell the places of a variant's weights as a graph does."""
    content = read(folder)
    for name, place in content["variants"][variant]["weights"].items():
        for part, entry in place["parts"].items():
            if tensor := tensors.get(tensor_name(name, part)):
                entry |= {"offset": tensor.offset, "length": tensor.length, "shape": tensor.dims}
    (folder / MANIFEST).write_text(json.dumps(content))


@dataclass(frozen=True)
class OnnxTensor:
    """Where a graph says that a tensor lies, and its sizes."""

    dims: list[int]
    offset: int
    length: int


def mutate(random: Random, folder: Path) -> str:
    """Change a bundle's manifest."""
    content = read(folder)
    changes = [_change(random, content) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    data, damage = written(random, content)
    (folder / MANIFEST).write_bytes(data)
    return "; ".join(filter(None, [*changes, damage]))


def _change(random: Random, content: dict[str, Any]) -> str:
    special = random.random()
    for share, change in ((0.15, _resize), (0.3, _lay_out), (0.45, _misplace)):
        if special < share:
            return change(random, content)
    section = random.choice(_SECTIONS)
    part = content.get(section)
    if section == "variants" and isinstance(part, dict):  # all but their many weights
        entries = [one for one in part.values() if isinstance(one, dict)]
        part = random.choice(entries) if entries else part
        plain = {key: one for key, one in part.items() if key != "weights"}
        done = disturb(random, plain)
        part |= plain
        return f"a variant: {done}"
    if isinstance(part, dict) and part:
        return f"{section}: {disturb(random, part)}"
    return disturb(random, content)


def _resize(random: Random, content: dict[str, Any]) -> str:
    """Have a decoder's facts lie, but stay plausible together, in the bundle or in all variants."""
    try:
        decoder = content["decoder"]
        name, holder = random.choice(_facts(decoder))
        old = holder[name]
    except (KeyError, TypeError, AttributeError, IndexError):
        return disturb(random, content)
    numbers = (*NUMBERS, *range(1, 20), 96, 2**20, True, "2")
    value = random.choice((not old,) if isinstance(old, bool) else numbers)
    whole = type(value) is int and abs(value) < _LARGEST
    holder[name] = float(value) if type(old) is float and whole else value
    if random.random() < 0.5:
        for variant in content["variants"].values():
            if isinstance(variant, dict):
                variant["decoder"] = json.loads(json.dumps(decoder))
    return f"decoder: {name} is {brief(holder[name])}"


def _facts(decoder: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the names of all numbers and choices of a decoder, with what holds them."""
    holders = [decoder, *(one for one in decoder.values() if isinstance(one, dict))]
    return [(k, h) for h in holders for k, one in h.items() if not isinstance(one, dict | list)]


def _misplace(random: Random, content: dict[str, Any]) -> str:
    """Have a weight lie elsewhere, or be of another form, in the manifest alone."""
    try:
        weights = random.choice(list(content["variants"].values()))["weights"]
        name = random.choice(list(weights))
        place = weights[name]
        part = random.choice(list(place["parts"].values()))
    except (KeyError, TypeError, AttributeError, IndexError):
        return disturb(random, content)
    if not isinstance(part, dict) or random.random() < 0.3:
        return f"{name}: {disturb(random, place)}"
    key = random.choice(("offset", "offset", "length", "shape", "type", "all"))
    if key == "all":
        other = random.choice(list(weights.values()))
        weights[name] = json.loads(json.dumps(other))
        return f"{name}: lies where another one does"
    old = part.get(key)
    by_key: dict[str, tuple[Any, ...]] = {
        "shape": ([], [0], [1], [2**20, 2**20], [96, 96], [-1, 4], [2**63]),
        "type": ("int8", "uint8", "float16", "float32", "int64", "x"),
    }
    near = (old + 1, old + 4096, 2 * old) if type(old) is int else ()
    part[key] = random.choice(by_key.get(key, (*near, 0, 1, 4096, 2**62, 2**63, -1)))
    return f"{name}: {key} {brief(old)} is {brief(part[key])}"


def _lay_out(random: Random, content: dict[str, Any]) -> str:
    """Have a prompt layout hold what is no part of one."""
    prompts: Any = content.get("prompts")
    try:
        layouts = [
            prompts["file"],
            *prompts["fim"]["orders"].values(),
            *prompts["chat"]["layouts"].values(),
            *(prompts[name] for name in ("special_ids", "start_ids", "end_ids", "repository")),
            prompts["chat"]["marks"],
        ]
        layout = random.choice([one for one in layouts if isinstance(one, list)])
    except (KeyError, TypeError, AttributeError, IndexError):
        return disturb(random, content)
    part = random.choice((None, -1, 10**9, 1.5, 2**63, "prefix", "{}" * 1000, [1], hostile(random)))
    if layout and random.random() < 0.7:
        layout[random.randrange(len(layout))] = part
    else:
        layout.extend([part] * random.choice((1, 1, 700, 5000)))
    return f"a layout with {brief(part)}, {len(layout)} parts"
