"""Opening a plan: verify the files, then hand them to sessions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..backends.cuda import CudaStartError
from ..backends.fallback import FallbackSession
from ..backends.gpu import GpuSession
from ..backends.hybrid import HybridSession
from ..backends.native.fits import OtherGraphError
from ..backends.native.session import NativeSession
from ..backends.onnxruntime import OnnxruntimeSession, SessionOptions
from ..backends.openvino import OpenVinoSession
from ..bundle.contract import Bundle
from ..bundle.limits import THREADS
from ..bundle.verified import Verified, VerifiedGraph, verify, verify_gpu
from ..engine.kv_type import KV_TYPES, KvType
from ..engine.session import Session
from ..errors import BundleError, OptionError, RefactEdgeWarning
from ..store import hash_notes, prepack
from .budget import left
from .facts import Machine
from .plan import Failures, Plan, Wishes, plan
from .room import check_room

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenOptions:
    """How the files of a plan are opened.

    Args:
        threads: None means one a fast physical core.
        hashes: False skips the sha256 of the files, not their sizes.
        prepacked: whether what the command `warm` left is used, where there is something.
        copied: whether weights are read into memory of this process and not mapped.
        kind: of native kernels, for measuring; None is the best here.

    Raises:
        OptionError: when there are no such numbers of threads.

    """

    threads: int | None = None
    hashes: bool = True
    prepacked: bool = True
    copied: bool = False
    kind: str | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= THREADS:
            raise OptionError(f"threads {self.threads}; expected 1 to {THREADS}")


def open_wished(
    bundle: Bundle, wishes: Wishes, machine: Machine, options: OpenOptions
) -> tuple[Plan, Session]:
    """Open the best plan that can be opened and fits this machine's memory, and return both.

    That CUDA does not start, or the native kernels do not compute a graph, shows only when it is
    opened: another plan is made then, which does without.

    Raises:
        BundleError, OptionError, DeviceError, MissingExtraError: see `plan` and `open_plan`.

    """
    failures = Failures()
    while True:  # twice more at most, as each failure excludes what has failed
        chosen = plan(bundle, wishes, machine, failures)
        _log.debug("plan: %s (%s)", chosen, "; ".join(chosen.reasons))
        check_room(bundle, chosen, left(machine.available_memory))
        try:
            session = open_plan(bundle, chosen, options)
            if isinstance(session, GpuSession) and wishes.device == "auto":
                session = _with_fallback(session, bundle, wishes, machine, options)
            return chosen, session
        except CudaStartError as error:
            failures = replace(failures, cuda=error.reason)
        except OtherGraphError as error:
            if wishes.engine == "native":
                raise
            failures = replace(failures, native=str(error))


def _with_fallback(
    session: GpuSession, bundle: Bundle, wishes: Wishes, machine: Machine, options: OpenOptions
) -> Session:
    """Return a session that goes on on the CPU, by the best plan there, when the GPU fails."""
    on_cpu = replace(wishes, device="cpu")
    return FallbackSession(session, lambda: open_wished(bundle, on_cpu, machine, options)[1])


def open_plan(bundle: Bundle, chosen: Plan, options: OpenOptions) -> Session:
    """Verify what a plan opens, and return its session.

    Raises:
        BundleError: when a file is missing, altered, or of another make.
        OtherGraphError: when the native kernels do not compute the graph.
        OptionError: when an engine cannot take the weights as they lie.
        CudaStartError: when the device is cuda and CUDA does not start.
        MissingExtraError: when an engine is not installed.

    """
    if chosen.prefill == "openvino":
        return _open_with_openvino(bundle, chosen, options)
    sessions = [_open(bundle, part, chosen, options) for part in chosen.parts]
    return HybridSession(*sessions) if len(sessions) == 2 else sessions[0]


def _open(bundle: Bundle, part: str, chosen: Plan, options: OpenOptions) -> Session:
    if chosen.engine == "native":
        kv_type = KV_TYPES[chosen.kv_type]
        return _native(_verify(bundle, part, options), options, kv_type)
    if chosen.gpu_form:
        return _gpu(bundle, part, chosen, options)
    if options.prepacked and not options.copied and chosen.device == "cpu":
        copy = prepack.find(bundle, part, hashes=options.hashes)
        if copy is not None:
            try:
                return _onnxruntime(copy, chosen.device, options)
            except BundleError as error:
                message = f"not using a prepacked copy: {error}"
                warnings.warn(message, RefactEdgeWarning, stacklevel=2)
    return _onnxruntime(_verify(bundle, part, options), chosen.device, options)


def _open_with_openvino(bundle: Bundle, chosen: Plan, options: OpenOptions) -> Session:
    """Open a variant twice, by its own files both times: openvino is to read no altered one."""
    verified = _verify(bundle, chosen.variant, options)
    decode: Session
    if chosen.engine == "native":
        decode = _native(verified, options, KV_TYPES[chosen.kv_type])
    else:
        decode = _onnxruntime(verified, chosen.device, options)
    prefill = OpenVinoSession(verified, options.threads, copied=options.copied)
    return HybridSession(prefill, decode)


def _verify(bundle: Bundle, part: str, options: OpenOptions) -> Verified:
    """Check a variant's files; weights that `warm` hashed before are not hashed again."""
    hashed_before = _hashed_before(bundle, part, options)
    return verify(bundle, part, hashes=options.hashes, hashed_before=hashed_before)


def _hashed_before(bundle: Bundle, part: str, options: OpenOptions) -> Callable[[], bool]:
    """Return what tells whether a variant's weights were hashed before."""

    def hashed_before() -> bool:
        noted = options.prepacked and hash_notes.is_noted(bundle, part)
        _log.debug("%s: the weights %s", part, "were hashed before" if noted else "are hashed")
        return noted

    return hashed_before


def _gpu(bundle: Bundle, part: str, chosen: Plan, options: OpenOptions) -> Session:
    verified = verify_gpu(
        bundle,
        part,
        folded=chosen.gpu_form == "folded",
        hashes=options.hashes,
        hashed_before=_hashed_before(bundle, part, options),
    )
    settings = SessionOptions(chosen.device, options.threads, copied=options.copied)
    return GpuSession(verified, settings)


def _native(verified: Verified, options: OpenOptions, kv_type: KvType) -> Session:
    return NativeSession(
        verified,
        threads=options.threads,
        cpu=options.kind,
        copied=options.copied,
        kv_type=kv_type,
    )


def _onnxruntime(verified: VerifiedGraph, device: str, options: OpenOptions) -> Session:
    settings = SessionOptions(device, options.threads, copied=options.copied)
    return OnnxruntimeSession(verified, settings)
