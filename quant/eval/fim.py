"""Fill-in-the-middle on the holes of a folder: what the model writes, and what the truth costs.

The truth is measured behind each order of parts that the model was trained with, again with the
suffix of another hole, and behind the prefix alone. A model that uses the suffix pays least with
the right one.

The prefix alone has no end token, so exact match with and without the suffix is compared on whole
lines only, and both answers are then cut at the line end. All else is the model's own end. An
indent at the end of a prompt parts what the tokenizer joins, which training on holes teaches and
training on text does not: the prefix alone is tried with the indent and without, and either counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import OptionError
from ...runtime.model import Model
from ...runtime.text.trim import trim
from ..texts.holes import LINE, Hole
from .likelihood import Reader
from .results import Record
from .similarity import similarity

DEFAULT_CONTEXT, SMALLEST_CONTEXT = 1024, 128
ALONE, WRONG = "prefix alone", "{}, wrong suffix"
REPEATS = 3  # so many equal lines make an answer repetitive
MEASURED, TOO_LONG = "measured", "too long"

Ids = list[int]


@dataclass(frozen=True)
class Parts:
    """The ids of a hole and of what is shown around it."""

    prefix: Ids
    middle: Ids
    suffix: Ids


class Filler:
    """Measures holes on one model, in windows of `context` tokens."""

    def __init__(self, model: Model, context: int | None, order: str | None) -> None:
        """Take the smaller of `context` and what the model holds.

        Raises:
            OptionError: when the context or the order makes no sense.

        """
        most = DEFAULT_CONTEXT if context is None else context
        self.context = min(most, model.context_tokens)
        self.order = order or model.layouts.fim_default
        if self.context < SMALLEST_CONTEXT:
            raise OptionError(f"context {self.context}; expected {SMALLEST_CONTEXT} or more")
        self._orders = model.layouts.hole_orders
        overheads = (model.layouts.fim_overhead(name) for name in (*self._orders, self.order))
        self._overhead = max(overheads)
        self._layouts, self._tokens = model.layouts, model.tokens
        self._reader = Reader(model.session, model.layouts.end_id, model.layouts.special_ids)

    def measure(self, hole: Hole, other: Hole | None) -> Record:
        """Return all figures of a hole; `other` lends the wrong suffix."""
        facts = {"hole": hole.name, "kind": hole.kind, "bytes": len(hole.middle.encode())}
        middle = self._tokens.encode(hole.middle)
        if len(middle) > self.context // 4:
            return {**facts, "outcome": TOO_LONG}
        parts = self._parts(hole, middle)
        if not parts.prefix:
            return {**facts, "outcome": TOO_LONG}
        wrong = self._parts(other, middle).suffix if other is not None else None
        return {
            **facts,
            "outcome": MEASURED,
            "middle": hole.middle,
            **self._written(hole, parts),
            **self._costs(parts, wrong),
        }

    def _parts(self, hole: Hole, middle: Ids) -> Parts:
        room = self.context - self._overhead - max(_most_new(middle), len(middle) + 1)
        prefix, suffix = trim(
            hole.prefix,
            hole.suffix,
            room,
            self._tokens.encode,
            before=self._layouts.before_prefix,
        )
        return Parts(prefix, middle, suffix)

    def _written(self, hole: Hole, parts: Parts) -> Record:
        most = _most_new(parts.middle)
        prompt = self._layouts.fim_ids(self.order, parts.prefix, parts.suffix)
        ids, stopped = self._reader.write(prompt, most)
        text = self._cut(ids, hole.kind)
        record: Record = {
            "completion": text,
            "exact": text == hole.middle,
            "similarity": similarity(text, hole.middle),
            "stopped": stopped,
            "repetitive": is_repetitive(self._tokens.decode(ids)),
        }
        if hole.kind == LINE:
            alone = self._lines_alone(parts.prefix, most)
            record |= {"completions_alone": alone, "exact_alone": hole.middle in alone}
        return record

    def _lines_alone(self, prefix: Ids, most: int) -> list[str]:
        """Return the line that follows the prefix alone, with its indent shown and without."""
        lines = [self._cut(self._reader.write(prefix, most)[0], LINE)]
        text = self._tokens.decode(prefix)
        margin = self._tokens.encode(text.rstrip(" \t"))
        if margin and len(margin) < len(prefix):
            written = self._reader.write(margin, most + len(prefix) - len(margin))[0]
            lines.append(self._tokens.decode(written).lstrip().partition("\n")[0])
        return lines

    def _cut(self, ids: Ids, kind: str) -> str:
        text = self._tokens.decode(ids)
        return text.partition("\n")[0] if kind == LINE else text

    def _costs(self, parts: Parts, wrong: Ids | None) -> Record:
        prompts = {ALONE: parts.prefix}
        for order in self._orders:
            prompts[order] = self._layouts.fim_ids(order, parts.prefix, parts.suffix)
            if wrong is not None:
                # Both sides were cut for their own windows; together they may need less.
                room = self.context - self._overhead - len(parts.middle) - 1 - len(parts.prefix)
                prompts[WRONG.format(order)] = self._layouts.fim_ids(
                    order, parts.prefix, wrong[:room]
                )
        costs = {name: self._reader.cost(ids, parts.middle) for name, ids in prompts.items()}
        return {
            "bits": {name: cost.bits for name, cost in costs.items()},
            "end_probability": {name: costs[name].end_probability for name in self._orders},
        }


def lender(holes: Sequence[Hole], place: int) -> Hole | None:
    """Return the hole that lends hole `place` a wrong suffix: the next one of another file."""
    around = [*holes[place + 1 :], *holes[:place]]
    own = holes[place].file
    return next((hole for hole in around if hole.file != own), around[0] if around else None)


def is_repetitive(text: str) -> bool:
    """Whether one line, blank ones aside, stands three times or more in a text."""
    lines = Counter(line.strip() for line in text.split("\n") if line.strip())
    return max(lines.values(), default=0) >= REPEATS


def _most_new(middle: Ids) -> int:
    """Return how many ids an answer may have: twice the truth, and a few."""
    return 2 * len(middle) + 16


def summarize(records: Sequence[Record]) -> dict[str, Any]:
    """Return the figures of each kind of hole, and of all."""
    done = [record for record in records if record["outcome"] == MEASURED]
    kinds = dict.fromkeys(record["kind"] for record in done)
    groups = {kind: [record for record in done if record["kind"] == kind] for kind in kinds}
    figures = {kind: _figures(group) for kind, group in groups.items()}
    if done:
        figures["all"] = _figures(done)
    return {"kinds": figures, "too_long": len(records) - len(done)}


def _figures(group: Sequence[Record]) -> dict[str, Any]:
    def percent(name: str) -> float | None:
        values = [record[name] for record in group if name in record]
        return 100 * sum(values) / len(values) if values else None

    names = [name for name in group[0]["bits"] if all(name in record["bits"] for record in group)]
    size = sum(record["bytes"] for record in group)
    exact, alone = percent("exact"), percent("exact_alone")
    return {
        "holes": len(group),
        "exact": exact,
        "exact_alone": alone,
        "similarity": percent("similarity"),
        "stopped": percent("stopped"),
        "repetitive": sum(record["repetitive"] for record in group),
        "bits_per_byte": {name: sum(r["bits"][name] for r in group) / size for name in names},
        "end_probability": {
            name: sum(record["end_probability"][name] for record in group) / len(group)
            for name in group[0]["end_probability"]
        },
    }
