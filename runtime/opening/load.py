"""`load`: open the best plan for a bundle and return the model in it."""

from __future__ import annotations

import warnings
from pathlib import Path

from ..annotated import checked
from ..backends.onnxruntime import warn_of_telemetry
from ..bundle.contract import Bundle
from ..engine.disk_cache import Saved, make_folder, maker_of
from ..engine.session import Session
from ..errors import OptionError, RefactEdgeWarning
from ..model import Model
from ..trust.check import Trusted, open_bundle
from .budget import count, one_at_a_time
from .cpu_engine import ENGINES
from .demo import demo_bundle
from .machine import this_machine
from .open import OpenOptions, open_wished
from .plan import DEVICES, PREFILL, Plan, Wishes, plan
from .room import bounded, need_of


@checked
def load(
    bundle: str | Path | None = None,
    *,
    variant: str | None = None,
    device: str = DEVICES[0],
    threads: int | None = None,
    hashes: bool = True,
    lookup: bool = True,
    prepacked: bool = True,
    engine: str = ENGINES[0],
    prefill: str = PREFILL[0],
    caches: str | Path | None = None,
    copy_weights: bool = False,
    kv_type: str | None = None,
    context: int | None = None,
    trust: str | Path | None = None,
    digest: str | None = None,
) -> Model:
    """Open a bundle and return the model in it.

    Args:
        bundle: the folder; None takes the demo's, of a checkout or of the extra `demo`.
        variant: int4, int8, fp32 or fp16; None takes the best for the device. hybrid opens int8 to
            prefill prompts and int4 to decode, and takes the memory of both.
        device: auto, cpu or cuda. auto falls back to the CPU with one RefactEdgeWarning, and goes
            on there, from the same tokens, when the GPU fails later.
        threads: None means one a physical core.
        hashes: False skips the sha256 of the files (about a second a gigabyte), not their sizes.
        lookup: whether ids that followed the last ones before are tried as a draft: the same text,
            sooner.
        prepacked: whether what the command `warm` left is used, where there is something: weights
            that it hashed are not hashed again, and a copy for onnxruntime is opened.
        engine: what computes int4 and int8 on a CPU: native, which is this package's own kernels,
            or onnxruntime, which computes all else. auto takes native where it is the faster one
            and passes its self-test; `doctor` says which and why.
        prefill: what evaluates prompts: the same engine, or openvino, which holds the weights a
            second time and takes longer to open.
        caches: a folder to which `Model.save_caches` writes the KV caches of prompts, for the next
            process to read, on a CPU. Its files hold your text, for you alone; a folder that others
            may write to is refused.
        copy_weights: read the weights into memory of this process. Usually they are mapped, which
            opens sooner and is shared between processes; but whoever truncates a mapped file ends
            the process. What `warm` left for onnxruntime is not used then.
        kv_type: of the KV caches of the native kernels: fp32, fp16 or int8 (a scale a token and
            head); None takes the smallest that loses nothing to speak of. Other engines have
            their graph's own.
        context: tokens that prompt and answer may have together, to take less memory; None takes
            the model's.
        trust: a file with the public key, or the certificates, in PEM, that the bundle's signature
            (model.sig) has to lead to; None takes that of REFACT_EDGE_TRUST, if it is set.
        digest: what the bundle has to be, as `info --digest` prints it; None takes that of
            REFACT_EDGE_DIGEST, if it is set.

    Raises:
        BundleError: when the bundle is missing, incomplete or altered, or is not the trusted one.
        OptionError: when variant, device, engine or prefill is unknown, or they do not go together,
            or `caches` is no folder, or one that others may write to, or `trust` no key.
        DeviceError: when cuda is asked for and cannot be used, as hybrid and openvino cannot, or
            the model does not fit this machine's memory, or what `limit_memory` leaves of it; says
            what would.
        MissingExtraError: when onnxruntime, openvino or cryptography is needed and not installed.

    """
    warn_of_telemetry()
    if bundle == "":
        raise OptionError("bundle ''; expected the folder of a bundle, or None for the demo's")
    wishes = Wishes(variant, device, engine, prefill, kv_type)
    options = OpenOptions(threads, hashes, prepacked, copy_weights)
    trusted = _trusted(trust, digest, hashes=hashes)
    whole = open_bundle(Path(bundle) if bundle is not None else demo_bundle(), trusted)
    opened = bounded(whole, context)
    folder = Path(caches) if caches is not None else None
    if folder is not None and plan(opened, wishes, this_machine()).device == "cpu":
        make_folder(folder)  # before opening takes its time
    with one_at_a_time():
        return _open(opened, whole, wishes, options, folder, lookup=lookup)


def _open(
    bundle: Bundle,
    whole: Bundle,
    wishes: Wishes,
    options: OpenOptions,
    folder: Path | None,
    *,
    lookup: bool,
) -> Model:
    """Open a bundle, whose context may be less than that of the `whole` one."""
    chosen, session = open_wished(bundle, wishes, this_machine(), options)
    for message in chosen.warnings:
        warnings.warn(message, RefactEdgeWarning, stacklevel=4)
    saved = _saved(folder, whole, chosen, session) if folder is not None else None
    model = Model(bundle, chosen.variant, session, lookup=lookup, saved=saved)
    if chosen.device == "cpu":
        count(model, need_of(bundle, chosen).total)
    return model


def _trusted(trust: str | Path | None, digest: str | None, *, hashes: bool) -> Trusted:
    """Return what is asked for, by arguments or else by the environment."""
    trusted = Trusted.of_environment()
    key = Path(trust) if trust is not None else trusted.key
    trusted = Trusted(key, digest if digest is not None else trusted.digest)
    if trusted and not hashes:
        raise OptionError("a bundle is to be trusted, and hashes is False; leave one of them out")
    return trusted


def _saved(folder: Path, bundle: Bundle, chosen: Plan, session: Session) -> Saved | None:
    """Return the KV caches in a folder; None on a GPU, with a warning."""
    if chosen.device != "cpu":
        warnings.warn(
            f"caches are not kept on {chosen.device}, where a prompt is evaluated again as soon",
            RefactEdgeWarning,
            stacklevel=5,
        )
        return None
    maker = maker_of(bundle, chosen.parts, session.engine, chosen.kv_type)
    return Saved(folder, maker, bundle.sizes)
