"""Prints one completion at the cursor and one chat answer, each with the command that made it.

Run by `make demo`, after the demo's bundle was exported.
"""

from __future__ import annotations

import shlex
import subprocess
import sys

PREFIX = """class Point:
    def __eq__(self, other):
        if not isinstance(other, Point):
            """
SUFFIX = """
        return self.value == other.value
"""
GREEDY = ["--temperature", "0"]
COMMANDS = (
    ["complete", "--prefix", PREFIX, "--suffix", SUFFIX, *GREEDY],
    [
        "chat",
        "Write a function __len__ for this: Return the number of items in the queue.",
        *GREEDY,
    ],
)


def main() -> None:
    """Run both commands, each printed first."""
    for command in COMMANDS:
        print(f"\n$ refact-edge {shlex.join(command)}", flush=True)
        arguments = [sys.executable, "-m", "refact_edge.runtime", *command]
        subprocess.run(arguments, check=True)


if __name__ == "__main__":
    main()
