"""The report of a run: Markdown for RESULTS.md, and everything as JSON."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from .engines import Files
from .measure import Measured
from .tables import medians, ratios


def markdown(measured: Measured, files: Files, quick: bool) -> str:
    """Return the report."""
    versions = ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    parts = [
        f"{datetime.datetime.now(datetime.UTC).date()}. {os.cpu_count()} cores of an {_cpu()}, "
        f"{files.threads} threads, {versions}." + (" A quick run." if quick else ""),
        "Medians; of an engine's settings the better one, work by work:",
        medians(measured.taken),
        "Ratios of the same run:",
        ratios(measured.taken),
        *(f"{worker} did not start: {why}" for worker, why in measured.absent.items()),
        f"Written into the home folder by any of them: {', '.join(measured.written) or 'nothing'}.",
    ]
    return "\n\n".join(parts)


def as_json(measured: Measured, files: Files, quick: bool) -> dict[str, Any]:
    """Return everything that was taken, in seconds and bytes."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": files.threads,
        "quick": quick,
        "versions": measured.versions,
        "absent": measured.absent,
        "written": measured.written,
        "taken": [
            {"engine": engine, "measure": measure, "setting": setting, "values": values}
            for (engine, measure), settings in measured.taken.values.items()
            for setting, values in settings.items()
        ],
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"
