"""A checkpoint's config.json as an architecture reads it: nothing is filled in from a default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtime.bundle.decoder import Activation
from ..runtime.bundle.limits import SIZES, is_size

# By the names that transformers has for them.
_ACTIVATIONS: Mapping[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
PLAIN_ACTIVATIONS: tuple[Activation, ...] = ("gelu", "gelu_tanh")  # of MLPs without gates


class Fields:
    """The fields of a config; what is wrong with them is appended to `problems`."""

    def __init__(self, config: Mapping[str, Any], problems: list[str]) -> None:
        self.config, self._problems = config, problems
        self._before = len(problems)

    @property
    def right(self) -> bool:
        """Whether nothing was wrong so far."""
        return len(self._problems) == self._before

    def expect(self, field: str, right: bool, rule: str) -> None:
        """Note a problem unless the field is right."""
        if not right:
            value = self.config.get(field)
            self._problems.append(f"config.json: {field} is {value!r}, expected {rule}")

    def sizes(self, names: Mapping[str, str]) -> None:
        """Look at sizes: limits by our names, fields by the config's."""
        for size, field in names.items():
            right = is_size(size, self.config.get(field))
            self.expect(field, right, f"a whole number, 1 to {SIZES[size]}")

    def optional_size(self, size: str, field: str) -> None:
        """Look at a size that may be absent or null, which has a meaning of its own."""
        if self.config.get(field) is not None:
            self.sizes({size: field})

    def epsilon(self, field: str) -> None:
        """Look at what a norm adds to the variance."""
        value = self.config.get(field)
        self.expect(field, isinstance(value, float) and 0 < value < 1, "like 1e-05")

    def equal(self, field: str, value: object) -> None:
        """Look at a field that must have one value."""
        own = self.config.get(field)
        self.expect(field, type(own) is type(value) and own == value, repr(value))

    def flag(self, field: str, default: bool = False) -> bool:
        """Return a field that is true or false; absent it is `default`."""
        value = self.config.get(field, default)
        self.expect(field, type(value) is bool, "true or false")
        return value is True

    def tied(self, default: bool) -> bool:
        """Return whether the head's weights are the embedding's; `default` where it is not said."""
        value = self.config.get("tie_word_embeddings")
        self.expect("tie_word_embeddings", type(value) in (bool, type(None)), "true or false")
        return default if value is None else value is True

    def activation(self, field: str, allowed: tuple[Activation, ...]) -> Activation | None:
        """Return the activation that a field names, if it is one of those `allowed`."""
        value = self.config.get(field)
        activation = _ACTIVATIONS.get(value) if isinstance(value, str) else None
        names = [repr(name) for name, of in _ACTIVATIONS.items() if of in allowed]
        self.expect(field, activation in allowed, " or ".join(names))
        return activation if activation in allowed else None

    def divides(self, field: str, whole: str) -> bool:
        """Look at a size that another one must be a multiple of; both are sizes."""
        value = self.config[whole]
        right = bool(value % self.config[field] == 0)
        self.expect(field, right, f"a divisor of {whole} {value}")
        return right
