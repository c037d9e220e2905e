"""The command line's way in: turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import warnings
from typing import Any, NoReturn

_ENDING_SIGNALS = ("SIGTERM", "SIGBREAK")  # Windows sends the second, never the first
_SERVERS = (["serve"], ["lsp"])  # which need no standard output, or say themselves that they do


def main() -> NoReturn:
    """Run refact-edge; exits with 1 for a mistake, 2 for a wrong option, 130 when interrupted."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        _write_error("\ninterrupted\n")  # click may not be imported yet
        sys.exit(130)


def _run() -> int:
    """Run the command; imports are inside, as an interrupt may come during them too."""
    import click

    from .console.cli import cli
    from .console.terminal import echo
    from .errors import RefactEdgeError

    warnings.showwarning = _show_warning
    # Let a command clean up after itself when it is told to end, as after Ctrl-C.
    for name in _ENDING_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminate)
    _fill_descriptors()
    if sys.stdout is None and sys.argv[1:2] not in _SERVERS:
        echo("error: standard output is closed; expected somewhere to write to", err=True)
        return 1
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Models write any character, and line ends are theirs to choose.
            stream.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    try:
        # Not standalone, click returns the code that a command exits with.
        code = cli.main(prog_name="refact-edge", standalone_mode=False)
        if (
            sys.stdout is not None and not sys.stdout.closed
        ):  # the language server closes what it talks through
            sys.stdout.flush()
    except click.ClickException as error:
        error.show(message := io.StringIO())
        echo(message.getvalue().removesuffix("\n"), err=True)
        return error.exit_code
    except RefactEdgeError as error:
        echo(f"error: {error}", err=True)
        return 1
    except click.Abort:  # click was interrupted, and has begun a new line
        _write_error("interrupted\n")
        return 130
    except OSError as error:
        _discard_output()
        if _is_broken_pipe(error):
            return 1
        name = f"{error.filename}: " if error.filename else ""
        echo(f"error: {name}{error.strerror or error}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _terminate(*_: object) -> NoReturn:
    from .console.terminal import Termination

    raise Termination


def _fill_descriptors() -> None:
    """Open the standard streams that are closed; else what is opened next would get their text."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _write_error(text: str) -> None:
    """Write to standard error, if there is one that somebody reads."""
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(text)


def _is_broken_pipe(error: OSError) -> bool:
    """Whether nobody reads the output any more, which Windows calls an invalid argument."""
    invalid = error.errno == errno.EINVAL and error.filename is None
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and invalid)


def _discard_output() -> None:
    """Give what Python would flush at exit somewhere to go."""
    if sys.stdout is None:
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    from .errors import RefactEdgeWarning, printable

    if issubclass(category, RefactEdgeWarning):
        _write_error(f"warning: {printable(message)}\n")


if __name__ == "__main__":
    main()
