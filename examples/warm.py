"""Prefill while a suggestion is on screen: python examples/warm.py [BUNDLE].

An editor has a pause between showing a suggestion and the key that accepts it. `warm` uses it: the
request after that finds its prompt evaluated.
"""

from __future__ import annotations

import sys

import refact_edge

PREFIX = "def area(width, height):\n    "
SUFFIX = "\n\n\nprint(area(2, 3))\n"


def main(bundle: str | None) -> None:
    """Print how many tokens the next request has left to evaluate, without `warm` and with it."""
    print(f"without warm: {_left(bundle, warm=False)} tokens left")
    print(f"with warm:    {_left(bundle, warm=True)} tokens left")


def _left(bundle: str | None, *, warm: bool) -> int:
    """Return the tokens that are evaluated for the request after an accepted suggestion."""
    model = refact_edge.load(bundle)
    greedy = refact_edge.Sampling(temperature=0)
    suggestion = "".join(model.complete(PREFIX, SUFFIX, max_tokens=24, sampling=greedy))
    accepted = PREFIX + suggestion
    if warm:
        model.warm(accepted, SUFFIX, max_tokens=24)
    with model.complete(accepted, SUFFIX, max_tokens=24, sampling=greedy) as stream:
        for _ in stream:
            pass
    return stream.usage.prompt - stream.usage.cached


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
