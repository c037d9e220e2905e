"""Complete at a cursor, and print the text as it comes: python examples/complete.py [BUNDLE]."""

from __future__ import annotations

import sys

import refact_edge

PREFIX = """class Point:
    def __eq__(self, other):
        if not isinstance(other, Point):
            """
SUFFIX = """
        return self.value == other.value
"""


def main(bundle: str | None) -> None:
    """Print the text that belongs between PREFIX and SUFFIX, then what it cost."""
    model = refact_edge.load(bundle)
    greedy = refact_edge.Sampling(temperature=0)
    with model.complete(PREFIX, SUFFIX, max_tokens=32, sampling=greedy) as stream:
        for piece in stream:
            print(piece, end="", flush=True)
    print()
    usage = stream.usage
    print(f"{stream.finish}: {usage.prompt} tokens of prompt, {usage.new} new", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
