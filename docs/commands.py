"""Writes commands.md: the help of every command, as the command line itself has it.

Run by `make docs`; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from refact_edge.runtime.console.cli import cli

FILE = Path(__file__).with_name("commands.md")
_WIDTH = 88
_HEAD = """\
# Commands: what does each one do?

`make docs` writes this page from the commands' own help.
"""


def page() -> str:
    """Return the whole page: a table of all commands, then the help of each."""
    helps = dict(_helps(cli, _context(cli, "refact-edge")))
    rows = [
        f"| [`{name}`](#{name.replace(' ', '-')}) | {_first(text)} |"
        for name, text in helps.items()
    ]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    parts = [f"## {name}\n\n```text\n{text}\n```" for name, text in helps.items()]
    return "\n\n".join([_HEAD.rstrip(), table, *parts]) + "\n"


def _helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of a command and of all below it."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _helps(below, _context(below, name, context))


def _context(
    command: click.Command, name: str, above: click.Context | None = None
) -> click.Context:
    settings = command.context_settings
    return click.Context(command, above, info_name=name, terminal_width=_WIDTH, **settings)


def _first(text: str) -> str:
    """Return the first paragraph behind the usage line, in one line."""
    _, paragraph, *_ = text.split("\n\n")
    return " ".join(paragraph.split())


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8", newline="\n")
