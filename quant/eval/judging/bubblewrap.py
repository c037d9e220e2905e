"""The command line of bubblewrap: what a sandboxed Python may see."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

NOBODY = "65534"
SCRATCH_BYTES = 64 << 20  # all files of one program together

# Where a dynamic loader and the system's shared libraries may lie, by distribution.
_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/nix/store")
_LOADER_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")

_ISOLATION = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net",
    "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv",
    "--cap-drop", "ALL", "--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox",
)  # fmt: skip


def interpreter() -> Path:
    """Return the true file of this Python, behind any link of a virtual environment."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return Path(base).resolve()


def command(bwrap: str, binds: Mapping[str, Path], filter_fd: int | None) -> list[str]:
    """Return bubblewrap's arguments up to the program.

    Args:
        bwrap: the bubblewrap to run.
        binds: path inside: file or folder that is shown there, read-only.
        filter_fd: open file with a filter of system calls.

    There is no /proc, no device but null, and nothing to write to but /tmp, which is memory of a
    bounded size. The root is closed last.

    """
    # The scratch folder comes first: the interpreter itself may lie somewhere below /tmp.
    arguments = [bwrap, *_ISOLATION, "--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp"]
    for path in _system():
        arguments += _bind(path)
    for inside, outside in binds.items():
        arguments += ["--ro-bind", str(outside), inside]
    arguments += ["--dev-bind", "/dev/null", "/dev/null", "--chdir", "/tmp"]
    arguments += ["--setenv", "HOME", "/tmp", "--remount-ro", "/"]
    return [*arguments, *(["--seccomp", str(filter_fd)] if filter_fd is not None else []), "--"]


def _system() -> Iterator[Path]:
    """Yield what the interpreter needs of this system, outer folders first."""
    libraries = [Path(path) for path in (*_LIBRARIES, *_LOADER_FILES)]
    # What was configured when Python was built may be elsewhere than where it lies now.
    named = (sysconfig.get_config_var("LIBDIR"), sysconfig.get_path("platstdlib"))
    own = [Path(path) for path in (*named, f"{sys.base_prefix}/lib") if path]
    own.append(Path(os.__file__).parent)
    done: list[Path] = []
    for path in sorted({*libraries, *own, interpreter()}, key=lambda path: len(path.parts)):
        if path.exists() and not any(seen in path.parents or seen == path for seen in done):
            done.append(path)
            yield path


def _bind(path: Path) -> list[str]:
    if path.is_symlink() and path.parent == Path("/"):  # /lib -> usr/lib
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path.resolve()), str(path)]
