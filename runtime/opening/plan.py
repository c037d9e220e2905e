"""The plan: which variant is opened, by which engine, on which device, and why.

A pure function of the bundle, what the caller wishes, and facts of the machine. `load` opens a
plan, `warm` prepares for one, `doctor` and `info` print one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..backends.native.library import BLOCK
from ..backends.native.session import INT4
from ..backends.native.session import VARIANTS as NATIVE_VARIANTS
from ..bundle.contract import HYBRID, Bundle, gpu_graph
from ..engine.kv_type import KV_TYPES, graph_type
from ..errors import DeviceError, MissingExtraError, OptionError
from .card_room import fits, need_on_card
from .choice import PREFERENCE, best_variant, parts_of, required_variants
from .cpu_engine import ENGINES, cpu_engine
from .facts import Machine

DEVICES = ("auto", "cpu", "cuda")
PREFILL = SAME, OPENVINO = ("same", "openvino")
OPENVINO_VARIANT = "int4"  # int8's operators are slow there
# The smallest type that costs real weights at most 1e-4 in mean KL at 4,096 tokens: in full
# precision SmolLM2-135M and Qwen2.5-Coder-0.5B lose 1e-6 with fp16, and 1e-3 and 1e-2 with int8.
USUAL_KV_TYPE = "fp16"
_FLASH = 80  # the first compute capability with flash attention
_FP16_ON_CPU = "fp16 has no kernels on a CPU and gains nothing over fp32; take int4 or int8"
_IN_WORDS = {"native": "the native kernels", "onnxruntime": "onnxruntime"}


@dataclass(frozen=True)
class Wishes:
    """Those of load's options that the plan depends on; see `load`.

    Raises:
        OptionError: when one has no such value.

    """

    variant: str | None = None
    device: str = DEVICES[0]
    engine: str = ENGINES[0]
    prefill: str = PREFILL[0]
    kv_type: str | None = None

    def __post_init__(self) -> None:
        for name, values in (("device", DEVICES), ("engine", ENGINES), ("prefill", PREFILL)):
            if (value := getattr(self, name)) not in values:
                raise OptionError(f"{name} {value!r}; expected one of {', '.join(values)}")
        if self.kv_type not in (None, *KV_TYPES):
            raise OptionError(f"cache type {self.kv_type!r}; expected one of {', '.join(KV_TYPES)}")

    @property
    def for_cpu(self) -> bool:
        """Whether something is wished for that there is on CPUs alone."""
        return self.engine == "native" or self.prefill != PREFILL[0] or self.variant == HYBRID


@dataclass(frozen=True)
class Failures:
    """What an earlier plan came to grief on when it was opened: why, or "" where it did not."""

    cuda: str = ""  # it does not start
    native: str = ""  # the kernels do not compute this graph


@dataclass(frozen=True)
class Plan:
    """What is opened.

    Args:
        variant: a variant of the bundle, or hybrid.
        engine: what computes: native or onnxruntime. With openvino, what decodes.
        device: cpu or cuda.
        prefill: same, or what computes long steps: openvino.
        kv_type: the type of its caches: fp32, fp16 or int8.
        gpu_form: of the graph on cuda: folded or bias (see export/gpu.py), or "" for the engine's,
            where the bundle has none for a GPU.
        reasons: why it is so; sentences without a full stop.
        warnings: those of them that the user must be warned of.

    """

    variant: str
    engine: str
    device: str
    prefill: str
    kv_type: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    gpu_form: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The bundle's variants that are opened: hybrid's are two, prefill's first."""
        return parts_of(self.variant)

    def __str__(self) -> str:
        """Say it in a line, without the reasons."""
        prefill = "" if self.prefill == PREFILL[0] else f", prefill by {self.prefill}"
        return f"{self.variant} on {self.device} by {_IN_WORDS[self.engine]}{prefill}"


def plan(
    bundle: Bundle, wishes: Wishes, machine: Machine, failures: Failures | None = None
) -> Plan:
    """Decide what is opened. `failures` are those of the plans before, which exclude them.

    Raises:
        OptionError: when the wishes do not go together, the bundle lacks the variant, or the native
            kernels that are wished for cannot be used.
        BundleError: when none of the bundle's variants is chosen by itself.
        DeviceError: when cuda is wished for and cannot be used, as for hybrid and openvino.
        MissingExtraError: when onnxruntime or openvino is needed and not installed.

    """
    _check(wishes)
    failures = failures or Failures()
    named = _named_variant(bundle, wishes)
    device, gpu_left_out = _device(wishes, machine, failures)
    variant = named or _best(bundle, device, machine)
    if device == "cuda" and (gpu_left_out := _wrong_on_gpu(bundle, variant, wishes, machine)):
        device = "cpu"
        variant = named or best_variant(bundle, device)
    reasons = [f"{variant} was named" if named else f"{variant} is the bundle's best on {device}"]
    warnings = [f"running on cpu: {gpu_left_out}"] if gpu_left_out else []
    engine = "onnxruntime"
    if device == "cpu" and set(parts_of(variant)) <= set(NATIVE_VARIANTS):
        decision = cpu_engine(machine, wishes.engine, failures.native)
        engine = decision.engine
        reasons.append(decision.in_words(variant))
        warnings += [f"onnxruntime computes: {decision.reason}"] if decision.alarming else []
    if (variant, device) == ("fp16", "cpu"):
        warnings.append(_FP16_ON_CPU)
    prefill = _prefill(bundle, wishes, machine)
    if engine == "onnxruntime" and machine.without_onnxruntime:
        raise MissingExtraError("onnxruntime", "cpu", machine.without_onnxruntime)
    kv_type = _kv_type(bundle, wishes, variant, engine, prefill)
    form, why = _gpu_form(bundle, variant, machine) if device == "cuda" else ("", "")
    reasons += [why] if why else []
    return Plan(
        variant, engine, device, prefill, kv_type, (*reasons, *warnings), tuple(warnings), form
    )


def _gpu_form(bundle: Bundle, variant: str, machine: Machine) -> tuple[str, str]:
    """Return the form of a variant's graph for this machine's GPU, and why; "" for none."""
    graphs = bundle.gpu_graphs(variant)
    if not graphs:
        return "", f"{variant} of this bundle has no graph for GPUs, which export writes now"
    card, biased = machine.card, gpu_graph(variant, folded=False)
    if card is not None and card.capability < _FLASH and biased in graphs:
        return "bias", f"{card.name} is sm_{card.capability}, before flash attention"
    return "folded", ""


def _kv_type(bundle: Bundle, wishes: Wishes, variant: str, engine: str, prefill: str) -> str:
    """Return the type of the caches: a graph's own, wherever onnxruntime or openvino reads them."""
    if engine == "native" and prefill == SAME:
        return wishes.kv_type or USUAL_KV_TYPE
    own = graph_type(bundle.variants[parts_of(variant)[-1]].kv_type).name
    if wishes.kv_type not in (None, own):
        raise OptionError(
            f"cache type {wishes.kv_type}: {variant} has caches of {own} where onnxruntime or "
            "openvino computes; take the native kernels with int4 or int8, or no cache type"
        )
    return own


def _check(wishes: Wishes) -> None:
    """Refuse wishes that never go together, whatever the bundle and the machine."""
    variant, on_gpu = wishes.variant, wishes.device == "cuda"
    if wishes.engine == "native" and variant not in (None, *NATIVE_VARIANTS, HYBRID):
        raise OptionError(
            f"native kernels compute {' and '.join(NATIVE_VARIANTS)}, not {variant}; take one of "
            "these variants, or engine onnxruntime"
        )
    if wishes.prefill == "openvino" and variant not in (None, OPENVINO_VARIANT):
        raise OptionError(
            f"openvino prefills {OPENVINO_VARIANT}, not {variant}; take variant "
            f"{OPENVINO_VARIANT}, or no openvino"
        )
    if wishes.engine == "native" and on_gpu:
        raise OptionError("native kernels are for CPUs; take device cpu, or engine onnxruntime")
    if wishes.prefill == "openvino" and on_gpu:
        raise DeviceError("openvino prefills on CPUs only; take device cpu, or no openvino")
    if variant == HYBRID and on_gpu:
        raise DeviceError("hybrid is for CPUs, int8 has no kernels on a GPU; take fp16 or int4")


def _named_variant(bundle: Bundle, wishes: Wishes) -> str | None:
    """Return the variant that was named, or that alone goes with the other wishes."""
    named = wishes.variant
    if named is None and wishes.prefill == "openvino":
        named = OPENVINO_VARIANT
    if named is None and wishes.engine == "native":
        natives = [name for name in PREFERENCE["cpu"] if name in NATIVE_VARIANTS]
        named = next((name for name in natives if name in bundle.variants), natives[0])
    if named is not None:
        required_variants(bundle, named)
    return named


def _device(wishes: Wishes, machine: Machine, failures: Failures) -> tuple[str, str]:
    """Return cpu or cuda, and why a GPU is left out that onnxruntime is installed for."""
    if wishes.device == "cpu" or wishes.for_cpu:
        return "cpu", ""
    if wishes.device == "auto" and not machine.has_cuda:
        return "cpu", ""
    if machine.without_onnxruntime:
        # Where it could be installed, the machine's remedy is the extra cpu.
        remedy = machine.without_onnxruntime.replace("[cpu]", "[gpu]")
        raise MissingExtraError("onnxruntime", "gpu", remedy)
    problem = failures.cuda or machine.cuda_problem
    if problem and wishes.device == "cuda":
        raise DeviceError(f"cuda was asked for and is not usable: {problem}")
    return ("cpu", problem) if problem else ("cuda", "")


def _best(bundle: Bundle, device: str, machine: Machine) -> str:
    """Return the best variant for a device; for a GPU, of those that fit its memory, if any do."""
    if device == "cuda" and machine.card is not None:
        fitting = {n: v for n, v in bundle.variants.items() if fits(bundle, n, machine.card)}
        bundle = replace(bundle, variants=fitting or bundle.variants)
    return best_variant(bundle, device)


def _wrong_on_gpu(bundle: Bundle, variant: str, wishes: Wishes, machine: Machine) -> str:
    """Say why a variant is to stay off a GPU: too large, or wrong values; "" where it is not.

    GatherBlockQuantized of the CUDA provider (1.31.1) takes other rows' scales where a row's last
    block is short; graphs for GPUs do without.
    """
    card = machine.card
    if card is not None and not fits(bundle, variant, card):
        reason = (
            f"{variant} with a context of {bundle.sizes.context} tokens takes "
            f"{need_on_card(bundle, variant) / 1e9:.1f} GB, and {card.name} has "
            f"{card.memory / 1e9:.1f} GB; take a smaller variant, or a shorter context"
        )
    elif bundle.gpu_graphs(variant) or variant != INT4 or bundle.sizes.width % BLOCK == 0:
        return ""
    else:
        reason = (
            f"onnxruntime looks up wrong values on a GPU in int4's table, as its rows of "
            f"{bundle.sizes.width} are no whole blocks of {BLOCK}; take fp16, or device cpu"
        )
    if wishes.device == "cuda":
        raise DeviceError(f"cuda was asked for and is not usable: {reason}")
    return reason


def _prefill(bundle: Bundle, wishes: Wishes, machine: Machine) -> str:
    if wishes.prefill == "openvino" and bundle.sizes.width % BLOCK:
        raise OptionError(
            f"openvino cannot look up rows of {bundle.sizes.width} in int4's table, as they are no "
            f"whole blocks of {BLOCK}; leave openvino out"
        )
    if wishes.prefill == "openvino" and not machine.has_openvino:
        raise MissingExtraError("openvino", "openvino")
    return wishes.prefill
