"""Changes to a file of which nothing is known: bits, bytes and lengths."""

from __future__ import annotations

from random import Random


def damage(random: Random, data: bytes) -> tuple[bytes, str]:
    """Return the data with some of it changed, and how."""
    content = bytearray(data)
    at = random.randrange(len(content) or 1)
    size = random.choice((1, 2, 4, 8, 64, 1000))
    change = random.choice(("bits", "bits", "bytes", "bytes", "cut", "drop", "repeat", "insert"))
    if change == "bits":
        for _ in range(size := random.randint(1, 6)):
            if content:
                content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    elif change == "bytes":
        content[at : at + size] = random.randbytes(len(content[at : at + size]))
    elif change == "cut":
        del content[at:]
    elif change == "drop":
        del content[at : at + size]
    elif change == "repeat":
        content[at:at] = content[at : at + size]
    else:
        content[at:at] = random.randbytes(size)
    return bytes(content), f"{change} at {at}, {size}"
