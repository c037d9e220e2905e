"""Where the weights of a decoder lie in a checkpoint: what an architecture's table is made of.

A table maps roles, `layers.{}.attention.q`, to sources; a text stands for the whole tensor of that
name. `{}` stands for the layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..runtime.bundle.decoder import EMBEDDING, HEAD, Decoder, weight_shapes
from .checkpoint import Floating
from .sources import Facts, Read, Shape, Source, as_source

Table = Mapping[str, Source | str]


class Tensors:
    """All weights of a decoder in a checkpoint, by role."""

    def __init__(self, decoder: Decoder, table: Table) -> None:
        self._facts = Facts(decoder, weight_shapes(decoder))
        self._sources = {role: _source(table, role) for role in self._facts.shapes}
        # Where logits share the embedding's weights, a checkpoint may hold them once more.
        self._again = _source(table, HEAD) if decoder.tied and HEAD in table else None

    def names(self, role: str) -> list[str]:
        """Return the tensors that a weight is made of."""
        return list(self._sources[self._own(role)].shapes(self._own(role), self._facts))

    def weight(self, role: str, read: Read) -> Floating:
        """Return a weight as fp32 [N, K]; a norm or a bias is [1, N].

        The head of a tied decoder is its embedding.
        """
        own = self._own(role)
        weight = self._sources[own].weight(own, self._facts, read)
        return weight.reshape(1, -1) if weight.ndim == 1 else weight

    def expected(self) -> dict[str, Shape]:
        """Return the names and shapes of all tensors that the checkpoint must hold."""
        shapes: dict[str, Shape] = {}
        for role, source in self._sources.items():
            shapes |= source.shapes(role, self._facts)
        return shapes

    @property
    def ends(self) -> tuple[str, str]:
        """The tensors of the embedding and of the head, where the table names two."""
        (embedding,) = self.names(EMBEDDING)
        if self._again is not None:
            (head,) = self._again.shapes(EMBEDDING, self._facts)
        else:
            (head,) = self.names(HEAD)
        return embedding, head

    def check(
        self, shapes: Mapping[str, Shape], ignored: tuple[str, ...], problems: list[str]
    ) -> None:
        """Compare a checkpoint's names and shapes with what there must be; list what is wrong.

        `ignored` are the ends of names of tensors that need not be there and say nothing.
        """
        expected, (embedding, head) = self.expected(), self.ends
        missing = [name for name in expected if name not in shapes]
        allowed = {*expected, *([head] if self._again is not None else [])}
        extra = [name for name in shapes if name not in allowed and not name.endswith(ignored)]
        if head in missing:
            problems.append(f"{head} is missing; it is never assumed to be tied to {embedding}")
        for kind, names in (("lacks", missing), ("holds unexpected", extra)):
            if names:
                problems.append(
                    f"the checkpoint {kind} {len(names)} tensors beside {len(expected)} expected "
                    f"ones: {', '.join(sorted(names)[:5])}"
                )
        problems.extend(
            f"{name} has shape {list(shapes[name])}, expected {list(shape)}"
            for name, shape in expected.items()
            if name in shapes and tuple(shapes[name]) != shape
        )

    def _own(self, role: str) -> str:
        return EMBEDDING if role == HEAD and HEAD not in self._sources else role


def _source(table: Table, role: str) -> Source:
    layer = re.match(r"layers\.(\d+)\.", role)
    number = layer[1] if layer else ""
    entry = table[role.replace(f"layers.{number}.", "layers.{}.", 1) if layer else role]
    return as_source(entry).at(number)
