"""What an evaluation prints, as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_CHANGED = 20  # names that are printed; --json has all

# Heading and format of the columns of holes, and where in a kind's figures their value is.
_HOLE_COLUMNS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("holes", "7d", ("holes",)),
    ("exact %", "9.1f", ("exact",)),
    ("similar %", "11.1f", ("similarity",)),
    ("stopped %", "11.1f", ("stopped",)),
    ("repetitive", "12d", ("repetitive",)),
)


def _bit_columns(group: Mapping[str, Any]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return the columns of bits a byte, and of how likely the end is behind the truth."""
    bits, ends = group["bits_per_byte"], group["end_probability"]
    return [
        *((name, f"{len(name) + 4}.3f", ("bits_per_byte", name)) for name in bits),
        *((f"end {name}", f"{len(name) + 6}.3f", ("end_probability", name)) for name in ends),
    ]


def samples(
    name: str,
    settings: Mapping[str, Any],
    figures: Mapping[str, Any],
    published: Mapping[int, float],
) -> Iterator[str]:
    """Yield the lines for a run of a benchmark; `published` is pass@k in percent, by k."""
    with_model = "temperature" in settings
    drawn = f", {settings['form']}, temperature {settings['temperature']:g}" if with_model else ""
    each = figures["samples"] / max(1, figures["problems"])
    yield (
        f"{settings['benchmark']}, {name}: {figures['problems']} "
        f"problem{'s' * (figures['problems'] != 1)}, "
        f"{each:g} sample{'s' * (each != 1)} each{drawn}"
    )
    outcomes = ", ".join(f"{count} {what}" for what, count in figures["outcomes"].items() if count)
    cut = figures["cut_at_max_tokens"]
    yield f"  {outcomes}{f'; {cut} reached --max-tokens' * bool(cut)}"
    for k, chance in figures["pass_at"].items():
        low, high = chance["interval"]
        spread = f"  (95 %: {low:.1f} to {high:.1f})" * (low < high)
        figure = published.get(int(k))
        beside = f"  published, full precision: {figure:.1f} %" if figure is not None else ""
        yield f"  pass@{k:3} {chance['percent']:5.1f} %{spread}{beside}"


def holes(name: str, settings: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for the holes of a folder."""
    kinds = figures["kinds"]
    yield (
        f"{name}: windows of {settings['context']} tokens, written in {settings['order']} order, "
        f"greedily"
    )
    if figures["too_long"]:
        yield f"  {figures['too_long']} holes are too long for that window and are left out"
    yield from _table(kinds, _HOLE_COLUMNS, "  ")
    lines = kinds.get("line")
    if lines is not None and lines["exact_alone"] is not None:
        yield f"  lines without the suffix: {lines['exact_alone']:.1f} % exact{_ratio(lines)}"
    if kinds:
        yield "bits a byte of the true text, by what is shown; probability of the end after it"
        yield from _table(kinds, _bit_columns(next(iter(kinds.values()))), "  ")


def _ratio(lines: Mapping[str, Any]) -> str:
    alone = lines["exact_alone"]
    return f"; with it {lines['exact'] / alone:.2f} times as many" if alone else ""


def _table(
    rows: Mapping[str, Any], columns: Sequence[tuple[str, str, tuple[str, ...]]], margin: str
) -> Iterator[str]:
    if not rows:
        return
    widths = [int(form.partition(".")[0].rstrip("d")) for _, form, _ in columns]
    titles = (f"{title:>{width}}" for (title, _, _), width in zip(columns, widths, strict=True))
    yield f"{margin}{'':5}{''.join(titles)}"
    for name, figures in rows.items():
        cells = []
        for (_, form, path), width in zip(columns, widths, strict=True):
            value = figures
            for step in path:
                value = None if value is None else value.get(step)
            cells.append(f"{'-':>{width}}" if value is None else f"{value:{form}}")
        yield f"{margin}{name:5}{''.join(cells)}"


def comparison(a: str, b: str, compared: Mapping[str, Any], others: Sequence[str]) -> Iterator[str]:
    """Yield the lines for two runs, pair by pair; `others` are settings that differ too."""
    if others:
        yield f"the two runs also differ in {', '.join(others)}"
    yield (
        f"both solved {compared['both']}, only {a} {compared['only_a']}, only {b} "
        f"{compared['only_b']}, neither {compared['neither']}; McNemar p = "
        f"{compared['p_value']:.3g}"
    )
    if compared["left_out"]:
        yield f"  {compared['left_out']} that only one of them has tried are left out"
    yield f"  {b} less {a}: {_change(compared, 'points', 1)}"
    for order, more in compared.get("bits_per_byte", {}).items():
        yield f"  {b} less {a}: {_change(more, 'bits a byte', 4)} in {order} order"
    changed = list(compared["changed"].items())
    for name, side in changed[:MOST_CHANGED]:
        yield f"  only {a if side == 'a' else b}: {name}"
    if len(changed) > MOST_CHANGED:
        yield f"  and {len(changed) - MOST_CHANGED} more; --json has all"


def _change(difference: Mapping[str, Any], unit: str, digits: int) -> str:
    low, high = (f"{end:+.{digits}f}" for end in difference["interval"])
    return f"{difference['difference']:+.{digits}f} {unit} (95 %: {low} to {high})"
