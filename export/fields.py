"""A checkpoint's config.json as an architecture reads it: nothing is filled in from a default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtime.bundle.limits import SIZES, is_size


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
