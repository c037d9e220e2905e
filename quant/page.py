"""The report on what was lost as one page that needs nothing else: a table and plots.

Takes the figures that `refact-edge quality --json` prints.
"""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Mapping
from string import Template
from typing import TYPE_CHECKING, Any

from ..runtime.errors import MissingExtraError
from .report import CHANCE_NOTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = Mapping[str, Any]

_COLUMNS = (
    ("variant", "name"),
    ("MB", "megabytes"),
    ("bits a weight", "bits_per_weight"),
    ("computed in", "compute"),
    ("mean KL, nats", "mean_kl"),
    ("99th percentile", "p99_kl"),
    ("same first choice", "top1_agreement"),
    ("among the first five", "top5_agreement"),
    ("bits a byte", "bits_per_byte"),
    ("lines exact", "exact_lines"),
    ("lost, won", "pairs"),
)
_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>What quantization cost: $title</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
    padding: 0 1rem }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block;
    overflow-x: auto }
  th, td { padding: .3rem .7rem; border-bottom: 1px solid #ccc; text-align: right }
  th:first-child, td:first-child, td.words { text-align: left }
  .warning { border-left: 4px solid #c60; padding-left: 1rem }
  svg { max-width: 100%; height: auto }
</style>
<h1>What quantization cost: $title</h1>
<p>$summary</p>
$warning
<table><thead><tr>$head</tr></thead><tbody>$rows</tbody></table>
<p>KL is how far a variant's probabilities of the next token are from full precision's. Lost are
lines that full precision writes exactly and the variant does not; won are the others.</p>
$plots
</html>
""")


def render(title: str, figures: Figures) -> str:
    """Return the page.

    Raises:
        MissingExtraError: when matplotlib is not installed, which draws.

    """
    full, variants = figures["full_precision"], figures["variants"]
    summary = (
        f"Full precision: {full['bits_per_byte']} bits a byte, {full['exact_lines']} of "
        f"{full['lines']} lines exact. Measured on {figures['texts']} texts with "
        f"{full['positions']} positions."
    )
    if "rounding" in figures:
        summary += f" Weights were rounded {figures['rounding']}."
    warning = f'<p class="warning">{html.escape(CHANCE_NOTE)}.</p>' if full["at_chance"] else ""
    return _PAGE.substitute(
        title=html.escape(title),
        summary=html.escape(summary),
        warning=warning,
        head="".join(f"<th>{html.escape(label)}</th>" for label, _ in _COLUMNS),
        rows="".join(_row(name, variant) for name, variant in variants.items()),
        plots="\n".join(_plots(variants)),
    )


def _row(name: str, variant: Figures) -> str:
    row = {
        **variant,
        "name": name,
        "megabytes": f"{variant['bytes'] / 1e6:.1f}",
        "top1_agreement": f"{variant['top1_agreement']:.2%}",
        "top5_agreement": f"{variant['top5_agreement']:.2%}",
        "pairs": f"{variant['exact_only_in_full_precision']}, {variant['exact_only_here']}",
    }
    cells = (
        f"<td{' class=words' if key == 'compute' else ''}>{html.escape(str(row[key]))}</td>"
        for _, key in _COLUMNS
    )
    return f"<tr>{''.join(cells)}</tr>"


def _plots(variants: Figures) -> Iterator[str]:
    """Yield the plots as SVG: bytes against KL, then the tensors that lost most."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report") from error
    lossy = {name: variant for name, variant in variants.items() if variant["mean_kl"] > 0}
    if lossy:
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.add_subplot()
        for name, variant in lossy.items():
            axes.scatter(variant["bytes"] / 1e6, variant["mean_kl"])
            axes.annotate(
                name,
                (variant["bytes"] / 1e6, variant["mean_kl"]),
                xytext=(6, 4),
                textcoords="offset points",
            )
        axes.set(xlabel="MB", ylabel="mean KL, nats", yscale="log", title="Bytes against loss")
        axes.margins(0.15)  # room for the names
        axes.grid(alpha=0.3)
        yield _svg(figure)
    for name, variant in variants.items():
        if worst := [entry for entry in variant["worst"] if "output_error" in entry]:
            figure = Figure(figsize=(8, 0.5 + 0.3 * len(worst)), layout="constrained")
            axes = figure.add_subplot()
            axes.barh(
                [entry["tensor"] for entry in worst][::-1],
                [100 * entry["output_error"] for entry in worst][::-1],
            )
            axes.set(xlabel="error of its products, %", title=f"{name}: tensors that lost most")
            yield _svg(figure)


def _svg(figure: Figure) -> str:
    """Return a figure as an element; text stays text, and no date makes pages differ."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "refact-edge"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
