"""The documentation: links that lead somewhere, names that exist, examples that hold."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

import pytest

import refact_edge
from refact_edge.runtime.bundle.decoder import Alibi, decoder_of, to_json, weight_shapes
from refact_edge.runtime.bundle.limits import SIZES

README_LINES = 160
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_ELSEWHERE = ("http://", "https://", "mailto:")


def _pages(root: Path) -> Iterator[tuple[Path, str]]:
    generated = {"build", "dist", "default_bundle", "node_modules"}
    for page in sorted(root.rglob("*.md")):
        parts = page.relative_to(root).parts
        if not generated & set(parts) and not parts[0].startswith("."):
            yield page, page.read_text(encoding="utf-8")


def _anchors(text: str) -> set[str]:
    """Return what a link may name of a page: its headings, as forges write them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_to_a_file_and_its_heading(root: Path) -> None:
    broken, checked = [], 0
    for page, text in _pages(root):
        for link in filter(None, (one or two for one, two in _LINK.findall(text))):
            if link.startswith(_ELSEWHERE):
                continue
            checked += 1
            name, _, anchor = link.partition("#")
            target = (page.parent / name) if name else page
            if not target.is_file() or (
                anchor and anchor not in _anchors(target.read_text(encoding="utf-8"))
            ):
                broken.append(f"{page.relative_to(root)}: {link}")
    assert broken == []
    assert checked > 60


def test_every_page_of_docs_can_be_reached_from_the_readme(root: Path) -> None:
    visited, queue = set[Path](), [root / "README.md"]
    while queue:
        page = queue.pop()
        if page in visited or page.suffix != ".md":
            continue
        visited.add(page)
        links = (one or two for one, two in _LINK.findall(page.read_text(encoding="utf-8")))
        names = [link.partition("#")[0] for link in links if not link.startswith(_ELSEWHERE)]
        queue += [(page.parent / name).resolve() for name in names if name]
    pages = {root / name for name in ("CONTRIBUTING.md", "SECURITY.md", "examples/README.md")}
    assert {*(root / "docs").glob("*.md"), *pages} - visited == set()


def test_the_readme_is_short(root: Path) -> None:
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_a_package_index_shows_no_link_that_it_does_not_have() -> None:
    text = str(metadata("refact-edge").json["description"])
    assert "\n    make demo\n" in text
    assert "(`docs/serve.md`)" in text
    links = [one or two for one, two in _LINK.findall(text)]
    assert [link for link in links if not link.startswith(_ELSEWHERE)] == []


def test_every_name_of_the_package_is_public(root: Path) -> None:
    names = {
        name
        for _, text in _pages(root)
        for name in re.findall(r"refact_edge\.([A-Za-z_]\w*)", text)
        if name not in {"runtime", "export", "quant", "json", "commands", "shapes"}
    }
    assert names <= set(refact_edge.__all__)
    assert {"load", "Sampling"} <= names


def test_every_python_block_is_python(root: Path) -> None:
    blocks = [
        block
        for _, text in _pages(root)
        for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ]
    assert len(blocks) >= 4
    for block in blocks:
        ast.parse(block)


def test_the_readmes_python_runs(
    root: Path, demo_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle").symlink_to(demo_bundle)
    monkeypatch.chdir(tmp_path)
    for page in ("README.md", "docs/python.md", "docs/embedding.md"):
        text = (root / page).read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        exec("".join(blocks), {})  # the documentation's own text


def test_the_decoder_of_the_bundle_format_is_one(root: Path, demo_checkpoint: Path) -> None:
    text = (root / "docs" / "bundle-format.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    decoder = decoder_of(json.loads(block))
    assert isinstance(decoder.positions, Alibi)
    slopes = decoder.positions.slopes
    assert to_json(decoder) == json.loads(block) | {
        "positions": {"kind": "alibi", "slopes": slopes}
    }
    config = json.loads((demo_checkpoint / "config.json").read_text())
    assert (decoder.layers, decoder.width) == (config["n_layer"], config["n_embd"])
    assert all(f"`{name}`" in text for name in ("embedding", "layers.0.norm1.weight", "head"))
    assert {"embedding", "layers.0.norm1.weight", "head"} <= weight_shapes(decoder).keys()
    assert decoder.context <= SIZES["context"]


def test_the_glossary_is_in_order_and_has_each_word_once(root: Path) -> None:
    text = (root / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)[1:]
    assert len(words) >= 40
    assert words == sorted(set(words), key=str.lower)
