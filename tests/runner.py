"""Running a command in this process, with standard output and error apart."""

import inspect
from typing import Any

from click.testing import CliRunner


def runner_apart() -> CliRunner:
    """Return a runner whose `stdout` holds no standard error; before click 8.2 by an option."""
    options: dict[str, Any] = {"mix_stderr": False}
    parameters = inspect.signature(CliRunner).parameters
    return CliRunner(**{name: value for name, value in options.items() if name in parameters})
