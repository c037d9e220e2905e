"""Opening a session of a variant: by which engine, on which device, from which files."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

from ..backends import hybrid
from ..backends.native.session import VARIANT as NATIVE_VARIANT
from ..backends.native.session import NativeSession
from ..backends.native.weights import BLOCK, OtherGraphError
from ..backends.onnxruntime import Session, SessionOptions, choose_device, reaching
from ..backends.openvino import OpenVinoSession
from ..backends.weights_file import check_openvino_follows
from ..bundle.contract import (
    HYBRID,
    TOKENIZER,
    Bundle,
    engine_graph,
    verify_files,
    verify_variant,
    weights_file,
)
from ..errors import BundleError, DeviceError, OptionError, RefactEdgeWarning
from ..store import hash_notes as checked
from ..store import prepack
from . import verdict
from .choice import required_variants

ENGINES = ("auto", "native", "onnxruntime")
PREFILL = ("same", "openvino")
OPENVINO_VARIANT = "int4"  # int8's operators are slow there

OneSession = Session | NativeSession


@dataclass(frozen=True)
class How:
    """How files are opened: see `load`."""

    options: SessionOptions
    hashes: bool
    prepacked: bool
    engine: str
    prefill: str
    copied: bool = False  # whether weights are read into memory, and not mapped
    kind: str | None = None  # of native kernels, for measuring; None is the best here

    def on_gpu(self) -> bool:
        """Whether a GPU is to be taken."""
        return choose_device(self.options.device) != "cpu"

    def on_cpu(self) -> How:
        """Return the same for a CPU."""
        return replace(self, options=replace(self.options, device="cpu"))


def open_session(bundle: Bundle, variant: str, how: How) -> OneSession | hybrid.Hybrid:
    """Open a variant of a bundle, or hybrid's two.

    Raises:
        BundleError: when its files are missing, altered, or of another make.
        OptionError: when the engine, or what reads, cannot be had for it.
        DeviceError: when cuda is asked for and cannot be used.
        MissingExtraError: when an engine is not installed.

    """
    if how.engine == "native" and variant not in (NATIVE_VARIANT, HYBRID):
        raise OptionError(f"native kernels compute {NATIVE_VARIANT}, not {variant}")
    if how.prefill == "openvino":
        return _open_with_openvino(bundle, variant, how)
    return (_open_hybrid if variant == HYBRID else _open)(bundle, variant, how)


def _open(bundle: Bundle, variant: str, how: How) -> OneSession:
    kv_type = bundle.require_variant(variant).kv_type
    if variant == NATIVE_VARIANT and how.on_gpu() and bundle.sizes.width % BLOCK:
        how = _off_the_gpu(bundle, how)
    if variant == NATIVE_VARIANT and how.engine != "onnxruntime":
        session = _open_native(bundle, how)
        if session is not None:
            return session
    if how.prepacked and not how.copied and not how.on_gpu():
        copy = prepack.find(bundle, variant)
        if copy is not None:
            verify_files(bundle, [TOKENIZER], hashes=how.hashes)
            try:
                return Session(copy, bundle.sizes, kv_type, how.on_cpu().options)
            except BundleError as error:
                warnings.warn(f"not using a prepacked copy: {error}", RefactEdgeWarning, 3)
    verify_variant(bundle, variant, hashes=how.hashes)
    graph, weights = bundle.path / engine_graph(variant), bundle.path / weights_file(variant)
    options = replace(how.options, copied=weights if how.copied else None)
    return Session(graph, bundle.sizes, kv_type, reaching(options, graph, weights))


def _off_the_gpu(bundle: Bundle, how: How) -> How:
    """Keep an int4 from a GPU that would answer wrongly.

    GatherBlockQuantized of the CUDA provider (1.31.1) takes other rows' scales where a row's last
    block is short.
    """
    reason = (
        f"onnxruntime looks up wrong values on a GPU in int4's table, as its rows of "
        f"{bundle.sizes.width} are no whole blocks of {BLOCK}; take fp16, or device cpu"
    )
    if how.options.device == "cuda":
        raise DeviceError(f"cuda was asked for and is not usable: {reason}")
    warnings.warn(f"running on cpu: {reason}", RefactEdgeWarning, stacklevel=5)
    return how.on_cpu()


def _open_native(bundle: Bundle, how: How) -> NativeSession | None:
    """Return a session of our own kernels; None where onnxruntime is to be taken."""
    must = how.engine == "native"
    if must and how.options.device == "cuda":
        raise OptionError("native kernels are for CPUs; take device cpu, or engine onnxruntime")
    if not must and how.on_gpu():
        return None
    if reason := verdict.why_not(slow=must):
        if must:
            raise OptionError(f"engine native cannot be had: {reason}")
        if verdict.FAILED in reason:
            warnings.warn(f"onnxruntime computes: {reason}", RefactEdgeWarning, stacklevel=4)
        return None
    graph = verify_variant(bundle, NATIVE_VARIANT, hashes=how.hashes, hash_weights=False)
    try:
        session = NativeSession(
            bundle, threads=how.options.threads, cpu=how.kind, graph=graph, copied=how.copied
        )
    except OtherGraphError:
        if must:
            raise
        return None
    if how.hashes and not (how.prepacked and checked.is_noted(bundle, NATIVE_VARIANT)):
        verify_files(bundle, [weights_file(NATIVE_VARIANT)])
    return session


def _open_hybrid(bundle: Bundle, name: str, how: How) -> hybrid.Hybrid:
    parts = required_variants(bundle, name)
    if how.options.device == "cuda":
        raise DeviceError("hybrid is for CPUs, int8 has no kernels on a GPU; take fp16 or int4")
    return hybrid.Hybrid(*(_open(bundle, part, how.on_cpu()) for part in parts))


def _open_with_openvino(bundle: Bundle, variant: str, how: How) -> hybrid.Hybrid:
    if how.options.device == "cuda":
        raise DeviceError("openvino reads on CPUs only; take device cpu, or no openvino")
    if variant != OPENVINO_VARIANT:
        raise OptionError(f"openvino reads {OPENVINO_VARIANT}, not {variant}")
    # First, as a kept copy would let the writer pass by the files; and then not a second time.
    verify_variant(bundle, variant, hashes=how.hashes)
    graph = bundle.path / engine_graph(variant)
    check_openvino_follows(graph, bundle.path / weights_file(variant))
    writer = _open(bundle, variant, replace(how.on_cpu(), hashes=False))
    reader = OpenVinoSession(graph, bundle.sizes, how.options.threads, copied=how.copied)
    return hybrid.Hybrid(reader, writer)
