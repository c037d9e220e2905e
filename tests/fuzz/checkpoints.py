"""Changes to checkpoints and adapters: safetensors headers, indexes, config.json, .bin files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from .damage import damage
from .tokenizer import change_file
from .values import NUMBERS, brief, disturb, hostile, written

_TYPES = ("BF16", "F16", "F32", "F64", "I8", "U8", "BOOL", "I64", "F8_E4M3", "F4", "X", "", None, 1)
_SIZES = (0, 1, -1, 2**20, 2**31, 2**40, 2**63, 2**64 - 1, 0.5, "3", None)


def mutate_tokenizer(random: Random, folder: Path) -> str:
    """Change a checkpoint's tokenizer."""
    return change_file(random, folder / "tokenizer.json")


def mutate_json(random: Random, folder: Path, name: str) -> str:
    """Change one of a checkpoint's JSON files."""
    file = folder / name
    content = json.loads(file.read_text())
    changes = []
    for _ in range(random.choice((1, 1, 2))):
        if isinstance(content, dict) and content and random.random() < 0.5:
            key = random.choice(list(content))
            content[key] = random.choice((*NUMBERS, 16777217, hostile(random)))
            changes.append(f"{key} is {brief(content[key])}")
        else:
            changes.append(disturb(random, content))
    data, damaged = written(random, content)
    file.write_bytes(data)
    return f"{name}: {'; '.join(filter(None, [*changes, damaged]))}"


def mutate_index(random: Random, folder: Path) -> str:
    """Change which file of several holds which tensor."""
    file = folder / "model.safetensors.index.json"
    content = json.loads(file.read_text())
    weights = content["weight_map"]
    if random.random() < 0.5:
        return mutate_json(random, folder, file.name)
    name = random.choice(list(weights))
    other = random.choice((
        *weights.values(), "../model.safetensors", "/etc/passwd", "", ".", "config.json",
        "x" * 5000, "model.safetensors\0", "tokenizer.json", None, 1, ["x"], "a\nb",
    ))  # fmt: skip
    weights[name] = other
    file.write_text(json.dumps(content))
    return f"{name} in {brief(other)}"


def mutate_header(random: Random, folder: Path, name: str) -> str:
    """Change the header of a safetensors file."""
    file = folder / name
    data = file.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    if random.random() < 0.2:
        file.write_bytes(damage(random, data[: 8 + size])[0] + rest)
        return "header damaged"
    change = random.choice(_HEADER)(random, header)
    text, damaged = written(random, header)
    if random.random() < 0.1:
        tensor = random.choice([key for key in header if key != "__metadata__"] or ["x"])
        text = text[:-1] + b"," + json.dumps({tensor: header.get(tensor)}).encode()[1:]
        damaged = f"{tensor} twice"
    text += b" " * random.choice((0, 0, -len(text) % 8, 1000))
    length = len(text)
    if random.random() < 0.1:
        length = random.choice((0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1, 10**8 + 1))
    if random.random() < 0.15:
        rest = random.choice((rest[:-1], rest + b"\0", b"", rest[: len(rest) // 2], rest * 2))
    file.write_bytes(struct.pack("<Q", length) + text + rest)
    return f"{name}: {change}; {damaged}; header of {length} bytes, data of {len(rest)}"


def _any(random: Random, header: dict[str, Any]) -> str:
    return disturb(random, header)


def _tensor(random: Random, header: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = random.choice([key for key in header if key != "__metadata__"])
    return name, header[name]


def _offsets(random: Random, header: dict[str, Any]) -> str:
    name, tensor = _tensor(random, header)
    start, end = tensor["data_offsets"]
    tensor["data_offsets"] = random.choice((
        [end, start], [start, start], [start + 1, end + 1], [start, end - 1], [0, end - start],
        [start, end + 2], [-1, end], [start, 2**63], [2**64 - 1, 2**64 - 1], [start], [], None,
        [start + 0.5, end], [str(start), end], [start, end, end],
    ))  # fmt: skip
    return f"{name}: offsets {start}, {end} are {tensor['data_offsets']}"


def _shape(random: Random, header: dict[str, Any]) -> str:
    name, tensor = _tensor(random, header)
    old = list(tensor["shape"])
    shape = list(old)
    shape[random.randrange(len(shape))] = random.choice(_SIZES)
    tensor["shape"] = random.choice((
        shape, shape, old[::-1], [*old, 1], [1, *old], [], [0], None, [old], [2**32, 2**32],
        [1] * 100,
    ))  # fmt: skip
    return f"{name}: shape {old} is {brief(tensor['shape'])}"


def _type(random: Random, header: dict[str, Any]) -> str:
    name, tensor = _tensor(random, header)
    tensor["dtype"] = random.choice(_TYPES)
    return f"{name}: type {tensor['dtype']}"


def _recast(random: Random, header: dict[str, Any]) -> str:
    """Have a tensor be of another type and shape that take the same bytes."""
    name, tensor = _tensor(random, header)
    kind, scale = random.choice((("F32", 0.5), ("I8", 2), ("F16", 1), ("F64", 0.25), ("I16", 1)))
    tensor["dtype"] = kind
    tensor["shape"][-1] = int(tensor["shape"][-1] * scale)
    return f"{name}: {kind} {tensor['shape']}"


def _name(random: Random, header: dict[str, Any]) -> str:
    name, tensor = _tensor(random, header)
    del header[name]
    other = random.choice(
        ("", "x", name + " ", name.upper(), "é\u202e", "x" * 10_000, "\0", name + "\n")
    )
    header[other] = tensor
    return f"{name} is called {brief(other)}"


def _metadata(random: Random, header: dict[str, Any]) -> str:
    header["__metadata__"] = hostile(random)
    return f"metadata is {brief(header['__metadata__'])}"


_HEADER: tuple[Callable[[Random, dict[str, Any]], str], ...] = (
    _any, _offsets, _offsets, _shape, _shape, _type, _recast, _name, _metadata,
)  # fmt: skip


def mutate_values(random: Random, folder: Path, name: str) -> str:
    """Change the weights themselves, behind a header that fits."""
    file = folder / name
    data = file.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    content = bytearray(data)
    at = 8 + size + 2 * random.randrange((len(data) - 8 - size) // 2)
    half = random.choice((0x7FC0, 0x7F80, 0xFF80, 0x7F7F, 0x0001, 0x0000, 0xFFFF))
    count = random.choice((1, 50, 5000, 10**6))
    part = (struct.pack("<H", half) * count)[: len(data) - at]
    content[at : at + len(part)] = part
    file.write_bytes(content)
    return f"{name}: {len(part) // 2} times {half:#x} at {at}"


def mutate_bin(random: Random, folder: Path) -> str:
    """Change a .bin file: its bytes, or what was pickled."""
    import torch

    file = folder / "pytorch_model.bin"
    if random.random() < 0.4:
        data, change = damage(random, file.read_bytes())
        file.write_bytes(data)
        return change
    content: Any = torch.load(file, weights_only=True)
    key = random.choice(list(content))
    tensor = content[key]
    change = random.choice(("key", "value", "whole", "type", "shape", "stride"))
    if change == "key":
        odd: Any = random.choice((None, 1, 1.5, True, ("a", 1), "", "x\n", b"x", "é"))
        content[odd] = content.pop(key)
    elif change == "value":
        content[key] = random.choice(
            (None, 1, "x", [tensor], {"x": tensor}, torch.nn.Parameter(tensor))
        )
    elif change == "whole":
        content = random.choice((None, [], tensor, {}, {"state_dict": content}, 1, "x", [content]))
    elif change == "type":
        kinds = (torch.float64, torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn)
        content[key] = tensor.to(random.choice(kinds))
    elif change == "shape":
        content[key] = random.choice((
            tensor.reshape(-1), tensor[:0], tensor.to_sparse(),
            torch.empty(2**20, 2**20, device="meta"),
            torch.zeros(1).expand(2**20, 2**15),
        ))  # fmt: skip
    else:
        content[key] = tensor.t() if tensor.dim() == 2 else tensor.expand(3, -1)
    torch.save(content, file, _use_new_zipfile_serialization=random.random() < 0.8)
    return f"{key}, {change}"
