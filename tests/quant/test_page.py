"""The page with plots."""

import html.parser
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from refact_edge.quant.page import render

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _variant(kl: float, size: int) -> dict[str, Any]:
    return {
        "mean_kl": kl,
        "p99_kl": 4 * kl,
        "top1_agreement": 0.9,
        "top5_agreement": 0.99,
        "bits_per_byte": 1.01,
        "exact_lines": 9,
        "exact_only_in_full_precision": 2,
        "exact_only_here": 1,
        "bytes": size,
        "bits_per_weight": 4.25,
        "compute": "8-bit integers <fast>",
        "worst": [{"tensor": f"h.{i}.attn", "output_error": 0.1 / (i + 1)} for i in range(10)],
    }


def _figures(*, at_chance: bool = False) -> dict[str, Any]:
    full = {"bits_per_byte": 1.0, "exact_lines": 10, "lines": 64, "positions": 9000}
    return {
        "texts": 80,
        "full_precision": full | {"at_chance": at_chance},
        "variants": {"int8": _variant(0.001, 8_400_000), "int4": _variant(0.03, 4_500_000)},
    }


class _Reader(html.parser.HTMLParser):
    """Notes the tags of a page, and everything that would be fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.fetched.append(str(value))


def test_the_page_holds_a_row_a_variant_and_its_plots_and_fetches_nothing() -> None:
    page = render("my <bundle>", _figures())
    found = _Reader(page)
    assert found.tags.count("tr") == 3
    assert found.tags.count("svg") == 3  # bytes against loss, and the worst tensors of each
    assert not found.fetched
    assert "my &lt;bundle&gt;" in page
    assert "8-bit integers &lt;fast&gt;" in page
    assert "nothing of quality" not in page


def test_the_page_says_when_full_precision_is_at_chance() -> None:
    assert "nothing of quality" in render("random", _figures(at_chance=True))


def test_the_same_figures_give_the_same_page() -> None:
    assert render("a", _figures()) == render("a", _figures())


def test_a_browser_shows_it(tmp_path: Path) -> None:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser: install one of {', '.join(BROWSERS)}")
    file = tmp_path / "page.html"
    file.write_text(render("demo", _figures()), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert _Reader(done.stdout).tags.count("svg") == 3
    assert "tensors that lost most" in done.stdout
