"""How a weight of a decoder is made of a checkpoint's tensors.

Rows are the first axis of a matrix and the only one of a bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..runtime.bundle.decoder import Decoder, Rotary
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


@dataclass(frozen=True)
class OnePlus:
    """A tensor of a norm that multiplies with 1 + weight."""

    tensor: str

    def at(self, layer: str) -> Source:
        """See `Source`."""
        return OnePlus(self.tensor.format(layer))

    def shapes(self, role: str, facts: Facts) -> dict[str, Shape]:
        """See `Source`."""
        return {self.tensor: facts.shapes[role]}

    def weight(self, role: str, facts: Facts, read: Read) -> Floating:
        """See `Source`."""
        del role, facts
        return 1 + read(self.tensor)


@dataclass(frozen=True)
class Paired:
    """A source of queries, or of keys and values, that rotates neighbours: numbers 2i and 2i + 1.

    Rows are put where number i is rotated with i + dims / 2; scores are the same sums in another
    order. Values are not rotated, and stay.
    """

    source: Source | str

    def at(self, layer: str) -> Source:
        """See `Source`."""
        return Paired(as_source(self.source).at(layer))

    def shapes(self, role: str, facts: Facts) -> dict[str, Shape]:
        """See `Source`."""
        return as_source(self.source).shapes(role, facts)

    def weight(self, role: str, facts: Facts, read: Read) -> Floating:
        """See `Source`."""
        attention, positions = facts.decoder.attention, facts.decoder.positions
        assert isinstance(positions, Rotary)
        whole = as_source(self.source).weight(role, facts, read)
        rotates = attention.kv_heads if ".kv" in role else attention.heads
        heads = whole.reshape(-1, attention.head_size, *whole.shape[1:])
        pairs = np.arange(positions.dims).reshape(-1, 2).T.reshape(-1)
        order = np.concatenate([pairs, np.arange(positions.dims, attention.head_size)])
        return np.concatenate([heads[:rotates, order], heads[rotates:]]).reshape(whole.shape)


def as_source(entry: Source | str) -> Source:
    """Return an entry of a table as a source; a text stands for the whole tensor of that name."""
    return Whole(entry) if isinstance(entry, str) else entry
