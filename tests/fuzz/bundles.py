"""Changes to the files of a bundle's onnx/ folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import numpy as np

from refact_edge.runtime.bundle.contract import engine_graph, standard_graph, weights_file

from .damage import damage
from .graphs import change_graph
from .layers import change_layer
from .manifest import OnnxTensor, make_fit, tell_places
from .wire import Message, encode, inside, parse, text, values
from .wires import change_wire


def _graph(folder: Path, variant: str) -> tuple[Path, Message]:
    file = folder / engine_graph(variant)
    return file, parse(file.read_bytes())


def _agree(folder: Path, variant: str, model: Message) -> str:
    """Have the manifest tell of places what a graph does, where that can be told."""
    tensors = {}
    for tensor in inside(model, 7, 5):
        entries = {text(entry, 1): text(entry, 2) for entry in inside(tensor, 13)}
        offset, length = (entries.get(key, "") for key in ("offset", "length"))
        if offset.isdecimal() and length.isdecimal():
            dims = [one for one in values(tensor, 1) if isinstance(one, int)]
            tensors[text(tensor, 8)] = OnnxTensor(dims, int(offset), int(length))
    tell_places(folder, variant, tensors)
    return "the manifest says so too"


def mutate_bytes(random: Random, folder: Path, variant: str) -> str:
    """Damage a graph's file without knowing what it is."""
    file = folder / engine_graph(variant)
    data, change = damage(random, file.read_bytes())
    file.write_bytes(data)
    make_fit(folder)
    return change


def mutate_wire(random: Random, folder: Path, variant: str) -> str:
    """Change fields of a graph's protobuf."""
    file, model = _graph(folder, variant)
    changes = [change_wire(random, model) for _ in range(random.choice((1, 1, 1, 2)))]
    file.write_bytes(encode(model))
    make_fit(folder)
    return "; ".join(changes)


def mutate_graph(random: Random, folder: Path, variant: str) -> str:
    """Change what a graph says, seldom in the standard graph, which `doctor` alone reads."""
    file, model = _graph(folder, variant)
    if random.random() < 0.05:
        file = folder / standard_graph(variant)
        model = parse(file.read_bytes())
    changes = [change_graph(random, model)]
    if random.random() < 0.25 and inside(model, 7, 1):  # all nodes may have been dropped
        changes.append(change_graph(random, model))
    file.write_bytes(encode(model))
    if random.random() < 0.5:
        changes.append(_agree(folder, variant, model))
    make_fit(folder)
    return "; ".join(changes)


def mutate_layer(random: Random, folder: Path, variant: str) -> str:
    """Give weights of a layer other sizes, in a file that is large enough for them."""
    file, model = _graph(folder, variant)
    data = folder / weights_file(variant)
    available = data.stat().st_size
    change, needed = change_layer(random, model, available)
    if needed > available:
        data.write_bytes(data.read_bytes() + random.randbytes(needed - available))
    file.write_bytes(encode(model))
    if random.random() < 0.8:
        change = f"{change}; {_agree(folder, variant, model)}"
    make_fit(folder)
    return change


def mutate_weights(random: Random, folder: Path, variant: str) -> str:
    """Change the numbers of the weights, or how many there are, or which file they are."""
    data = folder / weights_file(variant)
    content = bytearray(data.read_bytes())
    change = random.choice(("values", "values", "values", "damage", "swap", "grow", "all"))
    if change == "values":
        at = 2 * random.randrange(len(content) // 2)
        count = random.choice((1, 10, 1000, len(content)))
        half = random.choice((np.nan, np.inf, -np.inf, 65504, 0, -0.0, 6e-8, -1))
        part = np.full(count, half, np.float16).tobytes()[: len(content) - at]
        content[at : at + len(part)] = part
        change = f"{count} times {half} at {at}"
    elif change == "damage":
        damaged, change = damage(random, bytes(content))
        content = bytearray(damaged)
    elif change == "swap":
        others = [
            standard_graph(variant),
            engine_graph(variant),
            "tokenizer.json",
            "refact_edge.json",
        ]
        other = random.choice([*others, weights_file("int8" if variant == "int4" else "int4")])
        shutil.copyfile(folder / other, data)
        make_fit(folder)
        return f"is {other}"
    elif change == "grow":
        content += random.randbytes(random.choice((1, 4096, 10**6)))
    else:
        content[:] = random.randbytes(len(content))
    data.write_bytes(content)
    make_fit(folder)
    return change


def mutate_hashes(random: Random, folder: Path, variant: str) -> str:
    """Alter a file that is read, and leave the manifest as it is: it must be refused."""
    name = random.choice((engine_graph(variant), weights_file(variant), "tokenizer.json"))
    file = folder / name
    before = file.read_bytes()
    data, change = damage(random, before)
    while data == before:
        data, change = damage(random, before)
    file.write_bytes(data)
    return f"{name}: {change}, its hash left alone"
