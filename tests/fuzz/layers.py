"""Weights of other sizes in one layer than in the next, each right by itself."""

from __future__ import annotations

from random import Random

from .wire import Message, inside, put, text

BLOCK = 128
_HIDDEN = (16, 32, 128, 384, 512, 2048, 4096, 8192)
_ROWS = (1, 16, 48, 64, 97, 192, 1024, 4096)


def change_layer(random: Random, model: Message, available: int) -> tuple[str, int]:
    """Give one matrix, or a layer's whole MLP, other sizes; return what, and the bytes needed.

    Tensors whose bytes grow are moved to the start of the file, which has `available` bytes.
    """
    layer = f"layers.{random.randrange(2)}"
    width = random.choice((96, 96, 96, 64, 256))
    if random.random() < 0.5:
        hidden = random.choice(_HIDDEN)
        needed = _resize(model, f"{layer}.mlp.gate_up", 2 * hidden, width, available)
        needed = max(needed, _resize(model, f"{layer}.mlp.down", 96, hidden, available))
        return f"{layer}: an MLP of {hidden} over {width}", needed
    if random.random() < 0.3:
        name = random.choice((f"{layer}.norm1.weight", f"{layer}.norm2.weight", "norm.weight"))
        length = random.choice((0, 1, 95, 97, 1024))
        return f"{name}: {length} values", _place(model, name, [length], 4 * length, available)
    parts = ("attention.q", "attention.kv", "attention.out", "mlp.gate_up", "mlp.down")
    names = [f"{layer}.{part}" for part in parts]
    name = random.choice([*names, "head", "embedding"])
    rows, cols = random.choice(_ROWS), random.choice((width, 128, 129, 512))
    bits = random.choice((4, 4, 8, 2))
    return f"{name}: {rows} x {cols} of {bits} bits", _resize(
        model, name, rows, cols, available, bits
    )


def _resize(model: Message, name: str, rows: int, cols: int, available: int, bits: int = 4) -> int:
    """Give a matrix other sizes, in its tensors and in the node that multiplies by it."""
    blocks = -(-cols // BLOCK)
    codes, scales = [rows, blocks, BLOCK * bits // 8], [rows, blocks]
    size = rows * blocks * BLOCK * bits // 8
    needed = _place(model, f"{name}.codes", codes, size, available)
    needed = max(needed, _place(model, f"{name}.scales", scales, 2 * rows * blocks, available))
    for node in inside(model, 7, 1):
        if any(field.number == 1 and field.value == f"{name}.codes".encode() for field in node):
            sizes = {"N": rows, "K": cols, "bits": bits}
            for attribute in inside(node, 5):
                if (key := text(attribute, 1)) in sizes:
                    put(attribute, 3, sizes[key])
    return needed


def _place(model: Message, name: str, dims: list[int], size: int, available: int) -> int:
    """Give a tensor sizes and a length, at its own place or at the start; return its end."""
    for tensor in inside(model, 7, 5):
        if text(tensor, 8) != name:
            continue
        put(tensor, 1, *dims)
        entries = {text(entry, 1): entry for entry in inside(tensor, 13)}
        offset = int(text(entries["offset"], 2))
        if offset + size > available:
            offset = 0
        put(entries["offset"], 2, str(offset).encode())
        put(entries["length"], 2, str(size).encode())
        return offset + size
    return 0
