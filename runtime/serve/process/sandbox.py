"""What a server gives up once its model is loaded and it listens: files, sockets, programs.

Whoever found a way to run code in it, by a request, could then compute and answer, and no more.
"""

from __future__ import annotations

import errno
import platform

from ...errors import OptionError
from ...machine.seccomp import Denied, build_filter, confine, why_no_filter
from .preload import import_all

_NO, _UNKNOWN = errno.EPERM, errno.ENOSYS
# Numbers of calls on x86_64 and on aarch64. ENOSYS makes the C library fall back from clone3, whose
# arguments no filter sees, to clone.
_DENIED: dict[str, Denied] = {
    "open": (2, None, _NO),
    "openat": (257, 56, _NO),
    "openat2": (437, 437, _NO),
    "open_by_handle_at": (304, 265, _NO),
    "creat": (85, None, _NO),
    "rename": (82, None, _NO),
    "renameat": (264, 38, _NO),
    "renameat2": (316, 276, _NO),
    "mkdir": (83, None, _NO),
    "mkdirat": (258, 34, _NO),
    "rmdir": (84, None, _NO),
    "link": (86, None, _NO),
    "linkat": (265, 37, _NO),
    "symlink": (88, None, _NO),
    "symlinkat": (266, 36, _NO),
    "mknod": (133, None, _NO),
    "mknodat": (259, 33, _NO),
    "truncate": (76, 45, _NO),
    "chmod": (90, None, _NO),
    "fchmodat": (268, 53, _NO),
    "chown": (92, None, _NO),
    "fchownat": (260, 54, _NO),
    "setxattr": (188, 5, _NO),
    "socket": (41, 198, _NO),
    "socketpair": (53, 199, _NO),
    "connect": (42, 203, _NO),
    "bind": (49, 200, _NO),
    "sendmmsg": (307, 269, _NO),
    "execve": (59, 221, _NO),
    "execveat": (322, 281, _NO),
    "fork": (57, None, _NO),
    "vfork": (58, None, _NO),
    "clone3": (435, 435, _UNKNOWN),
    "kill": (62, 129, _NO),
    "ptrace": (101, 117, _NO),
    "process_vm_readv": (310, 270, _NO),
    "process_vm_writev": (311, 271, _NO),
    "memfd_create": (319, 279, _NO),
    "unshare": (272, 97, _NO),
    "setns": (308, 268, _NO),
    "mount": (165, 40, _NO),
    "bpf": (321, 280, _NO),
    "keyctl": (250, 219, _NO),
    "userfaultfd": (323, 282, _NO),
    "perf_event_open": (298, 241, _NO),
    "io_uring_setup": (425, 425, _NO),
}
_UNLINK: dict[str, Denied] = {"unlink": (87, None, _NO), "unlinkat": (263, 35, _NO)}


def check_sandbox(*, device: str, **others: object) -> None:
    """Refuse what needs files later on.

    Args:
        device: which the model is to run on.
        others: values of options by their names, which go without a sandbox.

    Raises:
        OptionError: when there is no sandbox here, or an option needs files.

    """
    if reason := why_no_filter():
        raise OptionError(f"--sandbox: {reason}")
    if device == "cuda":
        raise OptionError(
            "--sandbox goes without --device cuda, whose driver opens files; take cpu"
        )
    if wrong := [name for name, value in others.items() if value is not None]:
        raise OptionError(
            f"--sandbox goes without {wrong[0]}, which opens files later; leave it out"
        )


def enter_sandbox(*, unlinks: bool) -> None:
    """Give up files, sockets and programs for good; with `unlinks`, files may be removed.

    Raises:
        OptionError: when the kernel takes no filter.

    """
    import_all()
    denied = _DENIED if unlinks else _DENIED | _UNLINK
    try:
        confine(build_filter(platform.machine(), denied.values(), threads_only=True))
    except OSError as error:
        raise OptionError(f"--sandbox: the kernel takes no filter ({error.strerror})") from error
