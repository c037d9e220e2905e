"""One line of JSON a request, without users' text unless the settings say so."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Protocol

from ..process.logs import logger as logger
from ..service.run import Run
from ..service.settings import Settings

_POLLED = ("/health", "/v1/health", "/metrics")


class Logged(Protocol):
    """What the log needs of a request: see `exchange.Call`."""

    settings: Settings
    arrival_s: float
    text: str


def log_request(call: Logged, path: str, status: int, run: Run | None) -> None:
    """Write how a request went; not for clients that poll whether all is well."""
    if path in _POLLED and status == HTTPStatus.OK:
        return
    fields: dict[str, Any] = {
        "path": path,
        "status": status,
        "ms": _ms(time.perf_counter() - call.arrival_s),
    }
    if run is not None:
        usages = [stream.usage for stream in run.streams]
        fields |= {
            "first_ms": _ms(run.first_s - call.arrival_s) if run.first_s else None,
            "prompt": sum(usage.prompt for usage in usages),
            "reused": sum(usage.cached for usage in usages),
            "new": sum(usage.new for usage in usages),
            "finish": [run.finish(index) for index in range(len(run.streams))],
        }
        if call.settings.log_text:
            fields["answers"] = [stream.text for stream in run.streams]
    if call.text:
        fields["request"] = call.text
    logger.info("request", extra={"fields": fields})


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)
