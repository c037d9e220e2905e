"""Requests, and what became of their completions."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ...stream import Usage


@dataclass
class Statistics:
    """Counts since the start."""

    requests: int = 0
    suggestions: int = 0  # completions that were sent
    accepted: int = 0
    rejected: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    new_tokens: int = 0

    def add(self, usage: Usage) -> None:
        """Count one answer."""
        self.prompt_tokens += usage.prompt
        self.reused_tokens += usage.cached
        self.new_tokens += usage.new

    def as_json(self) -> dict[str, int]:
        """Return the counts by the names that editors read."""
        counts = asdict(self)
        requests, suggestions = counts.pop("requests"), counts.pop("suggestions")
        return {"asked": requests, "shown": suggestions, **counts}
