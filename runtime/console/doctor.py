"""What this machine and this installation look like to the runtime."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from ..backends.absence import NEEDS_IT, why_no_wheel
from ..backends.native.session import VARIANTS as NATIVE_VARIANTS
from ..backends.onnxruntime import TELEMETRY, import_onnxruntime, why_not_cuda
from ..backends.wheels import onnxruntime_wheels
from ..bundle.contract import Bundle, gpu_graph, read_bundle
from ..bundle.verified import Verified, verify, verify_files, verify_gpu, verify_standard
from ..errors import MissingExtraError, RefactEdgeError
from ..machine.cpu import cpu_summary
from ..opening.card_room import card_in_words
from ..opening.cpu_engine import cpu_engine_in_words
from ..opening.facts import Machine
from ..opening.machine import this_machine
from ..opening.plan import Failures, Wishes, plan
from ..opening.prepare import why_not_native_graph
from ..opening.room import caches_in_words, check_room, memory_in_words
from ..store import prepack
from ..store.folder import has_entry
from ..trust.check import Trusted, check
from ..trust.statement import SIGNATURE
from .findings import Finding
from .kit import kit_findings


def examine(bundle: Path | None) -> list[Finding]:
    """Return findings about this installation, and about `bundle` unless it is None."""
    imported_before = "onnxruntime" in sys.modules
    telemetry_before = os.environ.get(TELEMETRY)
    machine = this_machine()
    findings = [
        Finding("refact-edge", _version("refact-edge")),
        *kit_findings(),
        Finding("python", _python()),
        Finding("numpy, tokenizers", f"{_version('numpy')}, {_version('tokenizers')}"),
        _wheels(),
        Finding("openvino, optional", _version("openvino")),
        Finding("cpu", cpu_summary()),
        _kernels(machine),
    ]
    try:
        onnxruntime = import_onnxruntime()
    except MissingExtraError as error:
        findings.append(_absent(error, machine))
    else:
        providers = ", ".join(onnxruntime.get_available_providers())
        findings.append(
            Finding("providers", f"{providers} (onnxruntime {onnxruntime.__version__})")
        )
        if "CUDAExecutionProvider" in providers:
            reason = why_not_cuda()
            findings.append(
                Finding("cuda", "not usable" if reason else "usable", reason, bearable=True)
            )
        findings += _card(machine)
        findings.append(_telemetry(imported_before, telemetry_before))
    if bundle is not None:
        findings += _bundle(bundle, machine)
    return findings


def _python() -> str:
    # `platform.platform` starts a process, to ask for what is not said here.
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return f"{platform.python_version()} on {system}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _wheels() -> Finding:
    wheels = [f"{name} {version}" for name, version in onnxruntime_wheels().items()]
    problem = ""
    if len(wheels) > 1:
        problem = (
            "several onnxruntime wheels overwrite each other in one folder; uninstall all of them, "
            "then install one"
        )
    return Finding("onnxruntime wheels", ", ".join(wheels) or "none", problem)


def _kernels(machine: Machine) -> Finding:
    """Say which engine computes int4 and int8 on this CPU, and why."""
    problem = machine.native_problem if machine.native_fails else ""
    return Finding("int4 and int8", cpu_engine_in_words(machine), problem, bearable=True)


def _absent(error: MissingExtraError, machine: Machine) -> Finding:
    """Say why there may be no onnxruntime and what that costs; int4 and int8 may do without it."""
    reason = why_no_wheel() or "pip install 'refact-edge[cpu]' brings it"
    if machine.native_problem:
        return Finding("onnxruntime", "not installed", str(error))
    state = f"not installed ({reason}): {NEEDS_IT}, int4 and int8 run by the native kernels"
    return Finding("onnxruntime", state)


def _card(machine: Machine) -> list[Finding]:
    if (card := machine.card) is None:
        return []
    state = f"{card.name}, sm_{card.capability}, {card.memory / 1e9:.1f} GB"
    return [Finding("gpu", state)]


def _telemetry(imported_before: bool, value_before: str | None) -> Finding:
    if imported_before and value_before != "1":
        return Finding(
            "onnxruntime telemetry",
            "not prevented",
            f"the host program imported onnxruntime first; set {TELEMETRY}=1 before that",
        )
    return Finding("onnxruntime telemetry", "off")


def _bundle(path: Path, machine: Machine) -> list[Finding]:
    try:
        bundle = read_bundle(path)
    except RefactEdgeError as error:
        return [Finding("bundle", "unusable", str(error))]
    called = f"{bundle.name}, " if bundle.name else ""
    findings = [Finding("bundle", f"{path} ({called}{bundle.architecture})")]
    findings.append(_signature(bundle))
    try:
        verify_files(bundle, bundle.side_files())
    except RefactEdgeError as error:
        findings.append(Finding("  side files", "unusable", str(error)))
    refusal = ""
    for name in bundle.variants:
        try:
            verified = verify(bundle, name)
            verify_standard(bundle, name)
            for graph in bundle.gpu_graphs(name):
                folded = graph == gpu_graph(name)
                verify_gpu(bundle, name, folded=folded, hashed_before=lambda: True)
        except RefactEdgeError as error:
            findings.append(Finding(f"  {name}", "unusable", str(error)))
        else:
            findings.append(Finding(f"  {name}", "all files as the manifest says"))
            refusal = refusal or _refusal(verified, machine)
        findings += _copy(bundle, name)
    findings.append(Finding("  KV caches", caches_in_words(bundle)))
    if machine.card is not None:
        findings.append(Finding("  on the gpu", card_in_words(bundle, machine.card)))
    return [*findings, *_plan(bundle, machine, refusal)]


def _refusal(verified: Verified, machine: Machine) -> str:
    """Say why the native kernels that are here do not compute a variant, if they do not."""
    if verified.variant.name not in NATIVE_VARIANTS or machine.native_problem:
        return ""
    return why_not_native_graph(verified)


def _plan(bundle: Bundle, machine: Machine, refusal: str) -> list[Finding]:
    """Say as what `load` opens the bundle here, why, and what memory that takes."""
    try:
        chosen = plan(bundle, Wishes(), machine, Failures(native=refusal))
    except RefactEdgeError as error:  # a variant may be named, or a package installed
        return [Finding("  opens here as", f"nothing, as {error}")]
    findings = [Finding("  opens here as", f"{chosen}: {'; '.join(chosen.reasons)}")]
    if chosen.device != "cpu":
        return findings
    available, problem = machine.available_memory, ""
    try:
        check_room(bundle, chosen, available)
    except RefactEdgeError as error:
        problem = str(error)
    takes = memory_in_words(bundle, chosen, available)
    return [*findings, Finding("  memory, full context", takes, problem)]


def _signature(bundle: Bundle) -> Finding:
    """Tell whether a bundle is the trusted one, where the environment or an option names that."""
    subject, trusted = "  signature", Trusted.of_environment()
    if trusted:
        try:
            check(bundle, trusted)
        except RefactEdgeError as error:
            return Finding(subject, "not to be trusted", str(error))
        return Finding(subject, f"by {trusted.key}" if trusted.key else "none; of this digest")
    if (bundle.path / SIGNATURE).exists():
        return Finding(subject, f"{SIGNATURE}, not checked: --trust names a key")
    return Finding(subject, "none")


def _copy(bundle: Bundle, variant: str) -> list[Finding]:
    """Hash what `warm` laid out for onnxruntime, if it did."""
    try:
        folder = prepack.copy_folder(bundle, variant)
    except RefactEdgeError:  # without onnxruntime, or with an unusable manifest, none is opened
        return []
    if not has_entry(folder):
        return []
    reason = prepack.why_not_whole(bundle, variant, hashes=True)
    subject = f"  {variant}, warm's copy"
    if reason:
        problem = f"{folder}: {reason}; {prepack.remedy(bundle, variant)}"
        return [Finding(subject, "unusable", problem, bearable=True)]
    return [Finding(subject, f"unchanged since warm made it, in {folder}")]
