"""Where the weights of a decoder lie in a checkpoint: what an architecture's table is made of.

A table maps roles, `layers.{}.attention.q`, to sources; a text stands for the whole tensor of that
name. `{}` stands for the layer. Rows are the first axis of a matrix and the only one of a bias.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..runtime.bundle.decoder import EMBEDDING, HEAD, Decoder, weight_shapes
from .checkpoint import Floating

Read = Callable[[str], Floating]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """A decoder, and the shapes of all its weights."""

    decoder: Decoder
    shapes: Mapping[str, Shape]


class Source(Protocol):
    """How a weight is made of a checkpoint's tensors."""

    def at(self, layer: str) -> Source:
        """Return the source with its names filled in for a layer."""

    def shapes(self, role: str, facts: Facts) -> dict[str, Shape]:
        """Return the tensors that it reads, and the shapes that they must have."""

    def weight(self, role: str, facts: Facts, read: Read) -> Floating:
        """Return the weight in the shape of its role."""


@dataclass(frozen=True)
class Whole:
    """The tensor itself."""

    tensor: str

    def at(self, layer: str) -> Source:
        """See `Source`."""
        return Whole(self.tensor.format(layer))

    def shapes(self, role: str, facts: Facts) -> dict[str, Shape]:
        """See `Source`."""
        return {self.tensor: facts.shapes[role]}

    def weight(self, role: str, facts: Facts, read: Read) -> Floating:
        """See `Source`."""
        del role, facts
        return read(self.tensor)


@dataclass(frozen=True)
class Stacked:
    """The rows of several tensors of one size, one after the other."""

    tensors: tuple[str, ...]

    def at(self, layer: str) -> Source:
        """See `Source`."""
        return Stacked(tuple(tensor.format(layer) for tensor in self.tensors))

    def shapes(self, role: str, facts: Facts) -> dict[str, Shape]:
        """See `Source`."""
        rows, *rest = facts.shapes[role]
        return dict.fromkeys(self.tensors, (rows // len(self.tensors), *rest))

    def weight(self, role: str, facts: Facts, read: Read) -> Floating:
        """See `Source`."""
        del role, facts
        return np.concatenate([read(tensor) for tensor in self.tensors])


@dataclass(frozen=True)
class Shared:
    """A tensor that holds the rows of several roles, one after the other."""

    tensor: str
    roles: tuple[str, ...]

    def at(self, layer: str) -> Source:
        """See `Source`."""
        return Shared(self.tensor.format(layer), tuple(role.format(layer) for role in self.roles))

    def shapes(self, role: str, facts: Facts) -> dict[str, Shape]:
        """See `Source`."""
        rows = sum(facts.shapes[one][0] for one in self.roles)
        return {self.tensor: (rows, *facts.shapes[role][1:])}

    def weight(self, role: str, facts: Facts, read: Read) -> Floating:
        """See `Source`."""
        before = self.roles[: self.roles.index(role)]
        first = sum(facts.shapes[one][0] for one in before)
        return read(self.tensor)[first : first + facts.shapes[role][0]]


@dataclass(frozen=True)
class Heads:
    """A tensor whose rows are queries, keys and values of one head, then those of the next."""

    tensor: str
    parts: tuple[int, ...]  # 0 are the queries of all heads, 1 the keys, 2 the values

    def at(self, layer: str) -> Source:
        """See `Source`."""
        return Heads(self.tensor.format(layer), self.parts)

    def shapes(self, role: str, facts: Facts) -> dict[str, Shape]:
        """See `Source`."""
        attention = facts.decoder.attention
        return {self.tensor: (3 * attention.heads * attention.head_size, *facts.shapes[role][1:])}

    def weight(self, role: str, facts: Facts, read: Read) -> Floating:
        """See `Source`."""
        attention = facts.decoder.attention
        whole = read(self.tensor)
        apart = whole.reshape(attention.heads, 3, attention.head_size, *whole.shape[1:])
        return np.concatenate([apart[:, part] for part in self.parts]).reshape(facts.shapes[role])


@dataclass(frozen=True)
class Transposed:
    """A source whose matrices lie as [K, N]."""

    source: Source

    def at(self, layer: str) -> Source:
        """See `Source`."""
        return Transposed(self.source.at(layer))

    def shapes(self, role: str, facts: Facts) -> dict[str, Shape]:
        """See `Source`."""
        return {name: shape[::-1] for name, shape in self.source.shapes(role, facts).items()}

    def weight(self, role: str, facts: Facts, read: Read) -> Floating:
        """See `Source`."""
        return self.source.weight(role, facts, lambda name: read(name).T)


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
    return (Whole(entry) if isinstance(entry, str) else entry).at(number)
