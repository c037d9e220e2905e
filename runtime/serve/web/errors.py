"""What a client reads when something is wrong: a status, one line, headers."""

from __future__ import annotations

from ...errors import (
    BundleError,
    BusyError,
    DeviceError,
    EndingError,
    MissingExtraError,
    RefactEdgeError,
    ReplacedError,
)

RETRY_AFTER_S = 1

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "invalid_request_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


class HttpError(Exception):
    """A request that is answered with a status other than 200."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


class FileGoneError(Exception):
    """A file of the bundle, or of this package, cannot be read any more."""


def response_to(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Return status, message and headers that tell of an error."""
    if isinstance(error, HttpError):
        return error.status, str(error), error.headers
    if isinstance(error, BusyError):
        return 503, str(error), {"retry-after": str(RETRY_AFTER_S)}
    if isinstance(error, ReplacedError):
        return 409, str(error), {}
    if isinstance(error, EndingError):
        return 503, str(error), {"connection": "close"}
    if isinstance(error, FileGoneError):
        return 503, "a file cannot be read any more; the server's log tells which", {}
    if is_for_the_log(error):
        return 503, "the model cannot be used; the server's log tells why", {}
    if isinstance(error, RefactEdgeError):
        return 400, str(error), {}
    return 500, "the server has a bug; its log tells more", {}


def is_for_the_log(error: Exception) -> bool:
    """Whether it is the server's user who can mend it, and no client should read where it lies."""
    return isinstance(error, (BundleError, DeviceError, MissingExtraError, FileGoneError))
