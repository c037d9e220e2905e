"""A filter of system calls for the sandbox, as the kernel's packet filter language has it.

What it takes away: new processes and threads (root is exempt from the limit on their number),
sockets (namespaces do not part those to the host of a virtual machine), memory that no limit
counts, and doors into the kernel that no program of a benchmark needs.
"""

from __future__ import annotations

import errno
import struct

# Linux calls what `platform.machine()` says by these numbers in the filter (linux/audit.h).
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# System call: its number on x86_64 and on aarch64 (None: it has no such call), and the error that
# it then fails with. ENOSYS makes the C library fall back from clone3 to clone.
_NO_MORE, _FORBIDDEN, _UNKNOWN = errno.EAGAIN, errno.EPERM, errno.ENOSYS
DENIED: dict[str, tuple[int | None, int | None, int]] = {
    "fork": (57, None, _NO_MORE),
    "vfork": (58, None, _NO_MORE),
    "clone": (56, 220, _NO_MORE),
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

# linux/bpf_common.h, linux/seccomp.h
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_CALL_NUMBER, _ARCHITECTURE = 0, 4  # offsets into struct seccomp_data
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32_CALLS = 0x40000000  # x86_64 has every call a second time from here on


def build_filter(machine: str) -> bytes:
    """Return the filter for `platform.machine()` as `bwrap --seccomp` reads it.

    Raises:
        KeyError: when there is no table of call numbers for that machine.

    """
    column = list(ARCHITECTURES).index(machine) if machine in ARCHITECTURES else -1
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL_NUMBER),
        (_IF_AT_LEAST, 0, 1, _X32_CALLS),
        (_RETURN, 0, 0, _FAIL | _FORBIDDEN),
    ]
    for *numbers, error in DENIED.values():
        if (number := numbers[column]) is not None:
            steps += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL | error)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)
