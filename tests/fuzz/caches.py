"""Changes to the files that the runtime itself left: saved KV caches, and copies of `warm`."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from .damage import damage
from .values import brief, disturb, written

_IDS = (2**44, 2**63 - 1, -1, -(2**63), 448, 420, 0, 10**9)


def mutate_saved(random: Random, folder: Path) -> str:
    """Change a saved KV cache, as whoever can write into its folder."""
    file = random.choice(sorted(folder.glob("*.npz")))
    if random.random() < 0.25:
        data, change = damage(random, file.read_bytes())
        file.write_bytes(data)
        return change
    with np.load(file) as archive:
        arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    change = random.choice(
        ("ids", "ids", "length", "shape", "type", "values", "drop", "bomb", "header")
    )
    name = random.choice(list(arrays))
    if change == "ids":
        number = random.choice(_IDS)
        arrays["ids"][random.choice((0, 1, len(arrays["ids"]) - 1, slice(None)))] = number
        change = f"an id {number}"
    elif change == "length":
        size = random.choice((0, 1, 10, 1000, 100_000))
        arrays["ids"] = np.resize(arrays["ids"], size)
        if random.random() < 0.7:
            arrays["rows"] = np.resize(
                arrays["rows"], (len(arrays["rows"]), size, arrays["rows"].shape[2])
            )
        change = f"{size} ids"
    elif change == "shape":
        array = np.atleast_1d(arrays[name])
        arrays[name] = random.choice(
            (array[None], array.reshape(-1), array.T, array[:0], array[..., None])
        )
    elif change == "type":
        kind = random.choice(
            ("float64", "float16", "int8", "bool", "complex64", "U8", "S3", "O", "M8[s]")
        )
        try:
            arrays[name] = arrays[name].astype(kind)
        except ValueError:
            arrays[name] = np.zeros(3, kind)
        change = f"{name} of {kind}"
    elif change == "values":
        value = random.choice((np.nan, np.inf, 1e38, 0.0))
        arrays["rows"][:] = value
        change = f"rows of {value}"
    elif change == "drop":
        del arrays[name]
    if change in ("bomb", "header"):
        return f"{name}: {_write_zip(random, file, arrays, name, change)}"
    random.choice((np.savez, np.savez, np.savez_compressed))(file, **arrays)
    return f"{name}: {change}"


def _write_zip(random: Random, file: Path, arrays: dict[str, Any], name: str, change: str) -> str:
    """Write an archive in which one array is far larger than the file, or says so."""
    bomb = change == "bomb"
    shape = random.choice(((2**40,), (2**62,), (-1,), (2**20, 2**20), (), (0,) * 70))
    kind = random.choice(("<i8", "<f4", "|O", "<U1000000", "|V99999999"))
    millions = random.choice((10, 10, 10, 160))
    head = _npy_header("<i8", (millions * 10**6,)) if bomb else _npy_header(kind, shape)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as inner:
                if key != name:
                    np.save(inner, array)
                    continue
                inner.write(head)
                for _ in range(millions if bomb else 0):
                    inner.write(bytes(8 * 10**6))
    return f"{head[10:]!r}, a file of {file.stat().st_size} bytes"


def _npy_header(kind: str, shape: tuple[int, ...]) -> bytes:
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def mutate_copy(random: Random, folder: Path) -> str:
    """Change a copy that `warm` left for onnxruntime; half the time its record is made to fit."""
    record = random.choice(sorted(folder.glob("*/record.json")))
    file = random.choice(sorted(record.parent.iterdir()))
    content = json.loads(record.read_text())
    if file == record:
        change = disturb(random, content)
        data, damaged = written(random, content)
        record.write_bytes(data)
        return f"{file.name}: {change} {damaged}"
    data, change = damage(random, file.read_bytes())
    file.write_bytes(data)
    if random.random() < 0.7:
        if file.name == "engine.onnx":
            content["graph"] = hashlib.sha256(data).hexdigest()
        else:
            content["weights_bytes"] = len(data)
        record.write_text(json.dumps(content))
        change += ", its record made to fit"
    return f"{file.name}: {brief(change)}"
