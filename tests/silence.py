"""What a program does to the world, told by strace: files, sockets and programs.

It runs in a namespace without a network, where all files but those of named folders are read-only.
"""

from __future__ import annotations

import codecs
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("strace", "bwrap")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
_CALLS = (
    "network,execve,execveat,open,openat,openat2,creat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,"
    "unlink,unlinkat,link,linkat,symlink,symlinkat,mknod,mknodat,truncate,chmod,fchmodat,chown,fchownat"
)
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*?)(?:\)\s+= .*|<unfinished.*)?$")
_THERE = "= -1 EEXIST (File exists)"  # nothing was made
_HARMLESS = ("/dev/null", "/dev/tty", "/dev/pts", "/dev/shm", "/proc/self")
_LOOPBACK = re.compile(r'inet_addr\("127\.\d+\.\d+\.\d+"\)|inet_pton\(AF_INET6, "::1"')
# A path, behind the folder that it begins in where a call has one.
_PATHS = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Deeds:
    """What was done that a silent program does not do, a line of strace each."""

    written: tuple[str, ...]  # outside the folders that were named
    sockets: tuple[str, ...]  # beyond this machine
    programs: tuple[str, ...]  # but the first

    @property
    def all(self) -> tuple[str, ...]:
        """Return all of it."""
        return (*self.written, *self.sockets, *self.programs)


@contextmanager
def walled(
    command: Sequence[object], log: Path, named: Sequence[Path], *, user: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a program behind walls and under strace, which writes `log`; end it at the end.

    As this user, or as one of that number, who has no rights.
    """
    home = log.parent / "home"
    home.mkdir(exist_ok=True)
    walls = [
        "bwrap", "--unshare-net", "--unshare-pid", "--die-with-parent", "--ro-bind", "/", "/",
        "--dev", "/dev", "--proc", "/proc", "--bind", log.parent, log.parent,
        "--ro-bind", home, home,
    ]  # fmt: skip
    for folder in named:
        walls += ["--bind", folder, folder]
    if user is not None:
        walls += ["--unshare-user", "--uid", str(user), "--gid", str(user)]
    spy = ["strace", "-f", "--seccomp-bpf", "-y", "-qq", "-s", "4096"]
    spy += ["-o", str(log), "-e", f"trace={_CALLS}"]
    words = [*map(str, [*walls, *spy, *command])]
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = {**kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def deeds_in(log: Path, named: Sequence[Path], *, own: Sequence[str] = (sys.executable,)) -> Deeds:
    """Read what strace wrote; `own` are programs that may be run, workers of ours."""
    written: list[str] = []
    sockets: list[str] = []
    programs: list[str] = []
    first = True
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if not (match := _CALL.match(line)) or line.endswith(_THERE):
            continue
        name, arguments = match.groups()
        if name in ("execve", "execveat"):
            paths = _paths(arguments)
            programs += [] if first or (paths and paths[0] in own) else [line]
            first = False
        elif name in ("socket", "connect", "bind", "sendto", "sendmsg"):
            sockets += [line] if _leaves(name, arguments) else []
        elif name in ("open", "openat", "openat2"):
            if re.search("O_WRONLY|O_RDWR|O_CREAT", arguments) and _outside(arguments, named):
                written.append(line)
        elif name.startswith("symlink"):  # to a place that is only named
            written += [line] if _outside(arguments.rpartition(", ")[2], named) else []
        elif name not in _OTHER_CALLS and _outside(arguments, named):
            written.append(line)
    assert not first, f"{log} tells of no program"
    return Deeds(tuple(written), tuple(sockets), tuple(programs))


# Of `network`, those that open nothing and name nobody.
_OTHER_CALLS = (
    "accept", "accept4", "getpeername", "getsockname", "getsockopt", "setsockopt", "listen", "recv",
    "recvfrom", "recvmsg", "recvmmsg", "sendmmsg", "shutdown", "socketpair", "exit", "exit_group",
)  # fmt: skip


def _leaves(name: str, arguments: str) -> bool:
    if name == "socket":
        return not arguments.startswith(("AF_UNIX", "AF_INET"))
    if "sa_family=" not in arguments:
        return False  # on a connection that stands
    return not (_LOOPBACK.search(arguments) or "sa_family=AF_UNIX" in arguments)


def _outside(arguments: str, named: Sequence[Path]) -> bool:
    """Whether any path of a call lies outside the folders."""
    inside = (*map(str, named), *_HARMLESS)
    return any(not path.startswith(inside) for path in _paths(arguments))


def _paths(arguments: str) -> list[str]:
    pairs = (map(_unescaped, pair) for pair in _PATHS.findall(arguments))
    return [os.path.join(folder, path) for folder, path in pairs]  # noqa: PTH118


def _unescaped(text: str) -> str:
    """Return a path as it is, of which strace writes bytes beyond ASCII as numbers."""
    return codecs.escape_decode(text.encode())[0].decode("utf-8", "replace")
