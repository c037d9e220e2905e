"""The report of a run: Markdown for RESULTS.md, and everything as JSON."""

from __future__ import annotations

import datetime
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .engines import Files
from .kinds import KINDS
from .limits import in_words
from .measure import Measured
from .tables import aims_of, medians, ratios, ratios_of_one_kind
from .work import DEPTHS

QUICK = (
    " A quick look: few rounds, of random weights few layers, on a machine that may be busy; no "
    "figure here is one to quote."
)


def markdown(measured: Measured, files: Files, quick: bool) -> str:
    """Return the report."""
    spare = KINDS[files.kind].why if files.variant else ""
    why = f" For {KINDS[files.kind].variant} could not be used: {spare}." if spare else ""
    versions = ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    of = f" Real weights: {files.model.name}." if files.model else ""
    parts = [
        f"{datetime.datetime.now(datetime.UTC).date()}. {os.cpu_count()} cores of an {_cpu()}, "
        f"{files.threads} threads, {versions}.{of}" + (QUICK if quick else ""),
        f"Our kernels are held to {files.kind}, and llama.cpp to {files.llama_library}.{why}",
        "Medians; of an engine's settings the better one, work by work:",
        medians(measured.measurements),
        "Ratios of the same run:",
        _ratios(measured, files),
        *_limits(measured, files),
        *(f"{worker} was not measured: {why}" for worker, why in measured.absent.items()),
        f"Written into the home folder by any of them: {', '.join(measured.written) or 'nothing'}.",
    ]
    return "\n\n".join(parts)


def _ratios(measured: Measured, files: Files) -> str:
    """Return the table of ratios, beside what is aimed at for this model."""
    if files.forced:
        return ratios_of_one_kind(measured.measurements)
    if files.model is None:
        return ratios(measured.measurements)
    return ratios(measured.measurements, aims=aims_of(measured.orders, files.kind))


def _limits(measured: Measured, files: Files) -> list[str]:
    """Return the machine's limits, where they were measured."""
    if not measured.limits:
        return []
    token = measured.measurements.best("int4", f"decode at {DEPTHS[0]}")
    return [in_words(measured.limits, token[0] if token else None, files.kind)]


def as_json(measured: Measured, files: Files, quick: bool) -> dict[str, Any]:
    """Return everything that was measured, in seconds and bytes."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": files.threads,
        "quick": quick,
        "model": files.model.name if files.model else None,
        "kind": files.kind,
        "llama.cpp": files.llama_library,
        "limits": [asdict(one) for one in measured.limits],
        "versions": measured.versions,
        "absent": measured.absent,
        "written": measured.written,
        "values": [
            {"engine": engine, "measure": measure, "setting": setting, "values": values}
            for (engine, measure), settings in measured.measurements.values.items()
            for setting, values in settings.items()
        ],
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"
