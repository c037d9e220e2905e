"""Whether a file or folder is this user's, on Windows."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

_FILE, _OWNER, _TOKEN_USER = 1, 1, 1  # SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION, TokenUser
_QUERY = 8  # TOKEN_QUERY
_ADMINISTRATORS = 26  # WinBuiltinAdministratorsSid: whose everything is that an elevated user makes
_TOKEN_BYTES = 256  # a SID has at most 68


def is_owned(path: Path) -> bool:
    """Whether a path belongs to this user or to the administrators; False where unknown."""
    security, kernel = ctypes.CDLL("advapi32"), ctypes.CDLL("kernel32")
    owner, descriptor = ctypes.c_void_p(), ctypes.c_void_p()
    name = ctypes.c_wchar_p(str(path))
    failed = security.GetNamedSecurityInfoW(
        name, _FILE, _OWNER, ctypes.byref(owner), None, None, None, ctypes.byref(descriptor)
    )
    if failed:
        return False
    try:
        if security.IsWellKnownSid(owner, _ADMINISTRATORS):
            return True
        user = _user(security, kernel)
        if user is None:
            return False
        return bool(security.EqualSid(owner, ctypes.c_void_p.from_buffer(user)))
    finally:
        kernel.LocalFree(descriptor)


def _user(security: Any, kernel: Any) -> ctypes.Array[ctypes.c_char] | None:
    """Return TOKEN_USER of this process, which begins with a pointer to the user's SID behind."""
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    token, size = ctypes.c_void_p(), ctypes.c_uint32()
    user = ctypes.create_string_buffer(_TOKEN_BYTES)
    this = ctypes.c_void_p(kernel.GetCurrentProcess())
    if not security.OpenProcessToken(this, _QUERY, ctypes.byref(token)):
        return None
    try:
        done = security.GetTokenInformation(
            token, _TOKEN_USER, user, _TOKEN_BYTES, ctypes.byref(size)
        )
        return user if done else None
    finally:
        kernel.CloseHandle(token)
