"""Preparing a plan for this machine, so that opening it takes less time: what `warm` does."""

from __future__ import annotations

from collections.abc import Iterator

from ..backends.native.fits import OtherGraphError
from ..backends.native.session import NativeSession
from ..bundle.contract import Bundle
from ..bundle.verified import Verified, verify
from ..store import hash_notes, prepack
from .facts import Machine
from .plan import Failures, Plan, Wishes, plan


def prepare(bundle: Bundle, wishes: Wishes, machine: Machine) -> Iterator[str]:
    """Prepare each part of the plan for the wishes, and yield a line each on what lies where.

    For the native kernels the weights are hashed and noted; for onnxruntime they are laid out.

    Raises:
        BundleError: when the bundle is damaged, or nothing can be written.
        OptionError, DeviceError, MissingExtraError: see `plan`.

    """
    chosen = plan_of_graph(bundle, wishes, machine)
    for part in chosen.parts:
        if chosen.engine == "native":
            folder = hash_notes.note(bundle, part).parent
            yield f"{part}: weights are hashed; the note is in {folder}"
            continue
        folder = prepack.make(bundle, part)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        yield f"{part}: weights are laid out for onnxruntime: {size:.0f} MB in {folder}"


def plan_of_graph(bundle: Bundle, wishes: Wishes, machine: Machine) -> Plan:
    """Return the plan, made again where the native kernels do not compute the bundle's graph.

    The files are verified for that, but for the sha256 of the weights.

    Raises:
        BundleError, OptionError, DeviceError, MissingExtraError: see `plan` and `verify`.

    """
    chosen = plan(bundle, wishes, machine)
    if chosen.engine != "native":
        return chosen
    for part in chosen.parts:
        refusal = why_not_native_graph(verify(bundle, part, hashed_before=lambda: True))
        if refusal:
            return plan(bundle, wishes, machine, Failures(native=refusal))
    return chosen


def why_not_native_graph(verified: Verified) -> str:
    """Return why the native kernels do not compute a graph; "" where they do."""
    try:
        NativeSession(verified, threads=1).close()
    except OtherGraphError as error:
        return str(error)
    return ""
