"""Changes to refact_edge.json."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from refact_edge.runtime.bundle.contract import MANIFEST
from refact_edge.runtime.files.sha256 import file_sha256

from .values import NUMBERS, brief, disturb, hostile, written

# Each section is as likely, however long it is; the first ones are read by more code.
_SECTIONS = (
    "sizes", "sizes", "prompts", "prompts", "sampling", "variants", "files", "provenance", "",
)  # fmt: skip


def read(folder: Path) -> dict[str, Any]:
    """Return a bundle's manifest."""
    content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return content


def make_fit(folder: Path, **sizes: int) -> None:
    """Have a manifest say the sizes and hashes of the files as they are now."""
    content = read(folder)
    for name in content["files"]:
        file = folder / name
        if file.is_file():
            entry = {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
            content["files"][name] = entry
    content["sizes"] |= sizes
    (folder / MANIFEST).write_text(json.dumps(content))


def mutate(random: Random, folder: Path) -> str:
    """Change a bundle's manifest."""
    content = read(folder)
    changes = [_change(random, content) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    data, damage = written(random, content)
    (folder / MANIFEST).write_bytes(data)
    return "; ".join(filter(None, [*changes, damage]))


def _change(random: Random, content: dict[str, Any]) -> str:
    special = random.random()
    if special < 0.15:
        return _resize(random, content)
    if special < 0.3:
        return _lay_out(random, content)
    section = random.choice(_SECTIONS)
    part = content.get(section)
    if isinstance(part, dict) and part:
        return f"{section}: {disturb(random, part)}"
    return disturb(random, content)


def _resize(random: Random, content: dict[str, Any]) -> str:
    """Have sizes lie, but stay plausible together."""
    sizes = content.get("sizes")
    if not isinstance(sizes, dict) or not sizes:
        return _lay_out(random, content)
    name = random.choice(list(sizes))
    if name in ("heads", "head_size") and random.random() < 0.5:
        sizes["heads"], sizes["head_size"] = random.choice(((3, 32), (12, 8), (1, 96), (96, 1)))
        return f"{sizes['heads']} heads of {sizes['head_size']}"
    sizes[name] = random.choice((*NUMBERS, *range(1, 20), 2**20, 2**23, True, "2"))
    return f"sizes: {name} is {brief(sizes[name])}"


def _lay_out(random: Random, content: dict[str, Any]) -> str:
    """Have a prompt layout hold what is no part of one."""
    prompts: Any = content.get("prompts")
    try:
        layouts = [
            prompts["file"],
            *prompts["fim"]["orders"].values(),
            *prompts["chat"]["layouts"].values(),
            prompts["special_ids"],
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
