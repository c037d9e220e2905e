"""What tests need of the system they run on, and why they are skipped without it."""

import os
import socket
import sys

import pytest

_WINDOWS = sys.platform == "win32"

needs_signals = pytest.mark.skipif(_WINDOWS, reason="Windows sends a process no SIGINT or SIGKILL")
needs_terminal = pytest.mark.skipif(_WINDOWS, reason="pexpect has no terminals on Windows")
needs_shell = pytest.mark.skipif(_WINDOWS, reason="uses a POSIX shell")
needs_links = pytest.mark.skipif(_WINDOWS, reason="Windows lets few users make links")
needs_modes = pytest.mark.skipif(os.name != "posix", reason="this system has no such permissions")
needs_unix_sockets = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="Python has no Unix sockets on this system"
)
