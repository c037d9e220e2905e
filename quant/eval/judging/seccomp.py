"""A filter of system calls for the sandbox, as the kernel's packet filter language has it.

What it takes away: new processes and threads (root is exempt from the limit on their number),
sockets (namespaces do not part those to the host of a virtual machine), memory that no limit
counts, and doors into the kernel that no program of a benchmark needs.
"""

from __future__ import annotations

import errno

from ....runtime.machine import seccomp
from ....runtime.machine.seccomp import CLONE, Denied

# ENOSYS makes the C library fall back from clone3 to clone.
_NO_MORE, _FORBIDDEN, _UNKNOWN = errno.EAGAIN, errno.EPERM, errno.ENOSYS
DENIED: dict[str, Denied] = {
    "fork": (57, None, _NO_MORE),
    "vfork": (58, None, _NO_MORE),
    "clone": (*CLONE, _NO_MORE),
    "clone3": (435, 435, _UNKNOWN),
    "socket": (41, 198, _FORBIDDEN),
    "memfd_create": (319, 279, _FORBIDDEN),
    "memfd_secret": (447, 447, _FORBIDDEN),
    "shmget": (29, 194, _FORBIDDEN),
    "msgget": (68, 186, _FORBIDDEN),
    "ptrace": (101, 117, _FORBIDDEN),
    "unshare": (272, 97, _FORBIDDEN),
    "setns": (308, 268, _FORBIDDEN),
    "mount": (165, 40, _FORBIDDEN),
    "bpf": (321, 280, _FORBIDDEN),
    "keyctl": (250, 219, _FORBIDDEN),
    "add_key": (248, 217, _FORBIDDEN),
    "request_key": (249, 218, _FORBIDDEN),
    "userfaultfd": (323, 282, _FORBIDDEN),
    "perf_event_open": (298, 241, _FORBIDDEN),
    "io_uring_setup": (425, 425, _FORBIDDEN),
}


def build_filter(machine: str) -> bytes:
    """Return the filter for `platform.machine()` as `bwrap --seccomp` reads it.

    Raises:
        KeyError: when there is no table of call numbers for that machine.

    """
    return seccomp.build_filter(machine, DENIED.values())
