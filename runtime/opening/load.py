"""Opening a bundle: which variant, on which device.

The best variant depends on the device, and which device there truly is shows only when a session
has been opened on it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from ..backends.native.session import VARIANT as NATIVE_VARIANT
from ..backends.onnxruntime import Session, SessionOptions, choose_device, why_not_cuda
from ..bundle.contract import HYBRID, read_bundle
from ..engine.disk_cache import Saved, make_folder, maker_of
from ..errors import OptionError, RefactEdgeWarning
from ..model import Model
from .choice import best_variant, required_variants
from .demo import demo_bundle
from .open import ENGINES, OPENVINO_VARIANT, PREFILL, How, open_session


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
    copy_weights: bool = False,
) -> Model:
    """Open a bundle and return the model in it.

    Args:
        bundle: the folder; None takes the demo's, of a checkout or of the extra `demo`.
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
            by the next process, on a CPU. Its files hold your text, for you alone; a folder that
            others may write to is refused.
        copy_weights: read the weights into memory of this process. Usually they are mapped, which
            opens sooner and is shared between processes; but whoever cuts a mapped file short in
            its place ends the process. What `warm` left for onnxruntime is not used then.

    Raises:
        BundleError: when the bundle is missing, incomplete or altered.
        OptionError: when the variant, the device, the engine or what reads is unknown, or do not go
            together, or `caches` is no folder, or one that others may write to.
        DeviceError: when cuda is asked for and cannot be used, as hybrid and openvino cannot.
        MissingExtraError: when no onnxruntime is installed, or no openvino that was asked for.

    """
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}; expected one of {', '.join(ENGINES)}")
    if prefill not in PREFILL:
        raise OptionError(f"prefill {prefill!r}; expected one of {', '.join(PREFILL)}")
    opened = read_bundle(Path(bundle) if bundle is not None else demo_bundle())
    reads = OPENVINO_VARIANT if prefill == "openvino" else None
    if device == "auto" and (engine == "native" or reads or variant == HYBRID):
        device = "cpu"  # all of these are for it
    name = variant or reads or best_variant(opened, choose_device(device))
    if device == "auto" and (reason := why_not_cuda()):
        warnings.warn(f"running on cpu: {reason}", RefactEdgeWarning, stacklevel=2)
    if caches is not None and choose_device(device) == "cpu":
        make_folder(Path(caches))  # before opening takes its time
    options = SessionOptions(device, threads)
    how = How(options, hashes, prepacked, engine, prefill, copied=copy_weights)
    session = open_session(opened, name, how)
    better = name if variant or reads else best_variant(opened, session.device)
    unexpected = session.device == "cpu" and how.on_gpu() and isinstance(session, Session)
    if better != name or (unexpected and name == NATIVE_VARIANT):
        # CUDA did not start, and what is best on a GPU is not what is best here.
        name, session = better, open_session(opened, better, how.on_cpu())
    if name == "fp16" and session.device == "cpu":
        warnings.warn(
            "fp16 has no kernels on a CPU and gains nothing over fp32; take int4 or int8",
            RefactEdgeWarning,
            stacklevel=2,
        )
    saved = None
    if caches is not None and session.device != "cpu":
        warnings.warn(
            f"caches are not kept on {session.device}, where reading a text again takes no longer",
            RefactEdgeWarning,
            stacklevel=2,
        )
    elif caches is not None:
        made_by = maker_of(opened, required_variants(opened, name), session.engine)
        saved = Saved(Path(caches), made_by, opened.sizes)
    return Model(opened, name, session, lookup=lookup, saved=saved)
