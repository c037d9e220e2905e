"""Opening a bundle: which variant, on which device.

The best variant depends on the device, and which device there truly is shows only when a session
has been opened on it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from . import checked, hybrid, prepack
from .bundle import (
    TOKENIZER,
    Bundle,
    default_bundle,
    engine_graph,
    read_bundle,
    verify_files,
    verify_variant,
    weights_file,
)
from .errors import BundleError, DeviceError, OptionError, RefactEdgeWarning
from .model import Model
from .native import library as native
from .native.session import VARIANT as NATIVE_VARIANT
from .native.session import NativeSession
from .native.weights import OtherGraphError
from .openvino_session import OpenVinoSession
from .saved import Saved, make_folder, maker_of
from .session import Session, SessionOptions, choose_device, why_not_cuda

ENGINES = ("auto", "native", "onnxruntime")
PREFILL = ("same", "openvino")
OPENVINO_VARIANT = "int4"  # int8's operators are slow there

# GatherBlockQuantized of the CUDA provider (1.31.1) takes other rows' scales where a row's last
# block is short.
INT4_BLOCK = 128

OneSession = Session | NativeSession

# What is taken when no variant is named. fp16 has no kernels on a CPU, int8 none on a GPU.
PREFERENCE = {"cpu": ("int4", "int8", "fp32"), "cuda": ("fp16", "int4", "fp32", "int8")}


def load(
    bundle: str | Path | None = None,
    *,
    variant: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    hashes: bool = True,
    lookup: bool = True,
    prepacked: bool = True,
    engine: str = ENGINES[0],
    prefill: str = PREFILL[0],
    caches: str | Path | None = None,
) -> Model:
    """Open a bundle and return the model in it.

    Args:
        bundle: the folder; None takes the demo bundle that the package may carry.
        variant: int4, int8, fp32 or fp16; None takes the best for the device. hybrid takes the
            memory of int8 and int4, reads prompts with the first and writes with the second.
        device: auto, cpu or cuda. auto falls back to the CPU with one RefactEdgeWarning.
        threads: None means one a physical core.
        hashes: False skips the sha256 of the files (about a second a gigabyte), not their sizes.
        lookup: whether ids that followed the last ones before are tried as guesses: the same text,
            sooner.
        prepacked: whether what the command `warm` left is used, where there is something: files
            that it hashed are not hashed again, and a copy for onnxruntime is opened.
        engine: what computes int4 on a CPU: native, which is this package's own kernels, or
            onnxruntime, which computes all else. auto takes native where it is the faster one and
            passes its self-test; `doctor` says which and why.
        prefill: what reads prompts: the same engine, or openvino, which holds the weights a second
            time and takes longer to open.
        caches: a folder in which `Model.save_caches` keeps what was read, and where it is found
            by the next process, on a CPU. It holds your text: it is for you alone.

    Raises:
        BundleError: when the bundle is missing, incomplete or altered.
        OptionError: when the variant, the device, the engine or what reads is unknown, or do not go
            together, or `caches` is no folder.
        DeviceError: when cuda is asked for and cannot be used, as hybrid and openvino cannot.
        MissingExtraError: when no onnxruntime is installed, or no openvino that was asked for.

    """
    opened = read_bundle(Path(bundle) if bundle is not None else _packaged_bundle())
    if engine == "native" and device == "auto":
        device = "cpu"
    name = variant or best_variant(opened, choose_device(device))
    if device == "auto" and (reason := why_not_cuda()):
        warnings.warn(f"running on cpu: {reason}", RefactEdgeWarning, stacklevel=2)
    if caches is not None:
        make_folder(Path(caches))  # before opening takes its time
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}; expected one of {', '.join(ENGINES)}")
    how = _How(SessionOptions(device, threads), hashes, prepacked, engine)
    if engine == "native" and name not in (NATIVE_VARIANT, hybrid.NAME):
        raise OptionError(f"native kernels compute {NATIVE_VARIANT}, not {name}")
    session: OneSession | hybrid.Hybrid
    if prefill == "openvino":
        name = variant or OPENVINO_VARIANT
        session = _open_with_openvino(opened, name, how)
    elif prefill not in PREFILL:
        raise OptionError(f"prefill {prefill!r}; expected one of {', '.join(PREFILL)}")
    elif name == hybrid.NAME:
        session = _open_hybrid(opened, how)
    else:
        session = _open(opened, name, how)
    better = best_variant(opened, session.device) if variant is None else name
    unexpected = session.device == "cpu" and choose_device(device) != "cpu"
    if better != name or (unexpected and name == NATIVE_VARIANT):
        # CUDA did not start, and what is best on a GPU is not what is best here.
        name, session = better, _open(opened, better, how.on_cpu())
    if name == "fp16" and session.device == "cpu":
        warnings.warn(
            "fp16 has no kernels on a CPU and gains nothing over fp32; take int4 or int8",
            RefactEdgeWarning,
            stacklevel=2,
        )
    saved = None
    if caches is not None and session.device != "cpu":
        warnings.warn(
            f"caches are not kept on {session.device}, which reads the text as soon as a file",
            RefactEdgeWarning,
            stacklevel=2,
        )
    elif caches is not None:
        saved = Saved(
            Path(caches), maker_of(opened, required_variants(opened, name), session.engine)
        )
    return Model(opened, name, session, lookup=lookup, saved=saved)


def required_variants(bundle: Bundle, name: str) -> tuple[str, ...]:
    """Return the variants of a bundle that are opened for a name: itself, or both of hybrid's.

    Raises:
        OptionError: when the bundle lacks one; lists those it has.

    """
    if name != hybrid.NAME:
        return (bundle.require_variant(name).name,)
    parts = (hybrid.READER, hybrid.WRITER)
    if missing := [part for part in parts if part not in bundle.variants]:
        raise OptionError(
            f"{bundle.path} has no variant {missing[0]!r}, and hybrid is {' and '.join(parts)} "
            f"together; it has: {', '.join(bundle.variants)}"
        )
    return parts


@dataclass(frozen=True)
class _How:
    """How files are opened: see `load`."""

    options: SessionOptions
    hashes: bool
    prepacked: bool
    engine: str

    def on_gpu(self) -> bool:
        return choose_device(self.options.device) != "cpu"

    def on_cpu(self) -> _How:
        return replace(self, options=replace(self.options, device="cpu"))


def _open(bundle: Bundle, variant: str, how: _How) -> OneSession:
    kv_type = bundle.require_variant(variant).kv_type
    if variant == NATIVE_VARIANT and how.engine != "onnxruntime":
        session = _open_native(bundle, how)
        if session is not None:
            return session
    if how.prepacked and not how.on_gpu():
        copy = prepack.find(bundle, variant)
        if copy is not None:
            verify_files(bundle, [TOKENIZER], hashes=how.hashes)
            try:
                return Session(copy, bundle.sizes, kv_type, how.on_cpu().options)
            except BundleError as error:
                warnings.warn(f"not using a prepacked copy: {error}", RefactEdgeWarning, 3)
    verify_variant(bundle, variant, hashes=how.hashes)
    if variant == NATIVE_VARIANT and bundle.sizes.width % INT4_BLOCK and how.on_gpu():
        raise DeviceError(
            f"onnxruntime looks up wrong values on a GPU in int4's table of rows of "
            f"{bundle.sizes.width}, no multiple of {INT4_BLOCK}; take fp16, or device cpu"
        )
    return Session(bundle.path / engine_graph(variant), bundle.sizes, kv_type, how.options)


def _open_native(bundle: Bundle, how: _How) -> NativeSession | None:
    """Return a session of our own kernels; None where onnxruntime is to be taken."""
    must = how.engine == "native"
    if must and how.options.device == "cuda":
        raise OptionError("native kernels are for CPUs; take device cpu, or engine onnxruntime")
    if not must and how.on_gpu():
        return None
    if reason := native.why_not(slow=must):
        if must:
            raise OptionError(f"engine native cannot be had: {reason}")
        if native.FAILED in reason:
            warnings.warn(f"onnxruntime computes: {reason}", RefactEdgeWarning, stacklevel=4)
        return None
    verify_variant(bundle, NATIVE_VARIANT, hashes=how.hashes, hash_weights=False)
    try:
        session = NativeSession(bundle, threads=how.options.threads)
    except OtherGraphError:
        if must:
            raise
        return None
    if how.hashes and not (how.prepacked and checked.is_noted(bundle, NATIVE_VARIANT)):
        verify_files(bundle, [weights_file(NATIVE_VARIANT)])
    return session


def _open_hybrid(bundle: Bundle, how: _How) -> hybrid.Hybrid:
    parts = required_variants(bundle, hybrid.NAME)
    if how.options.device == "cuda":
        raise DeviceError("hybrid is for CPUs, int8 has no kernels on a GPU; take fp16 or int4")
    return hybrid.Hybrid(*(_open(bundle, name, how.on_cpu()) for name in parts))


def _open_with_openvino(bundle: Bundle, variant: str, how: _How) -> hybrid.Hybrid:
    if how.options.device == "cuda":
        raise DeviceError("openvino reads on CPUs only; take device cpu, or no openvino")
    if variant != OPENVINO_VARIANT:
        raise OptionError(f"openvino reads {OPENVINO_VARIANT}, not {variant}")
    # First, as a kept copy would let the writer pass by the files; and then not a second time.
    verify_variant(bundle, variant, hashes=how.hashes)
    writer = _open(bundle, variant, replace(how.on_cpu(), hashes=False))
    graph = bundle.path / engine_graph(variant)
    return hybrid.Hybrid(OpenVinoSession(graph, bundle.sizes, how.options.threads), writer)


def _packaged_bundle() -> Path:
    path = default_bundle()
    if not path.exists():
        raise BundleError(
            "no bundle was named and the package carries none; name one, "
            "or make the demo's with: make demo"
        )
    return path


def best_variant(bundle: Bundle, device: str) -> str:
    """Return the variant that is taken on a device, cpu or cuda, when none is named.

    Raises:
        BundleError: when none of the bundle's is chosen by itself there.

    """
    for name in PREFERENCE[device]:
        if name in bundle.variants:
            return name
    raise BundleError(
        f"{bundle.path} holds only {', '.join(bundle.variants)}, which is not chosen on {device} "
        "by itself; export int4 or int8, or name the variant"
    )
