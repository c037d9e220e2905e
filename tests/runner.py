"""Running a command in this process, with what it printed told apart."""

import inspect
from typing import Any

from click.testing import CliRunner


def runner_apart() -> CliRunner:
    """Return a runner whose `stdout` holds no standard error; before click 8.2 that was asked."""
    asked: dict[str, Any] = {"mix_stderr": False}
    known = inspect.signature(CliRunner).parameters
    return CliRunner(**{name: value for name, value in asked.items() if name in known})
