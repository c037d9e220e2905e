"""Which engine computes int4 and int8 on a CPU: the native kernels, or onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError
from .facts import Machine

ENGINES = ("auto", "native", "onnxruntime")


@dataclass(frozen=True)
class Decision:
    """Which engine computes int4 and int8 on a CPU, and why.

    Args:
        engine: native or onnxruntime.
        reason: half a sentence.
        kind: of the native kernels.
        alarming: whether the reason is a fault that the user should hear of.

    """

    engine: str
    reason: str
    kind: str = ""
    alarming: bool = False

    def in_words(self, variant: str) -> str:
        """Return it as a sentence."""
        if self.engine == "native":
            return f"native kernels ({self.kind}) compute {variant}: {self.reason}"
        return f"{self.engine} computes {variant}: {self.reason}"


def cpu_engine(machine: Machine, wish: str = ENGINES[0], refusal: str = "") -> Decision:
    """Decide which engine computes int4 and int8 on a CPU.

    Args:
        machine: where.
        wish: one of `ENGINES`.
        refusal: why the native kernels do not compute the graph at hand, if they do not.

    Raises:
        OptionError: when native is wished for and cannot be had.

    """
    if wish == "onnxruntime":
        return Decision("onnxruntime", "named as the engine")
    if problem := refusal or machine.native_problem:
        if wish == "native":
            raise OptionError(f"engine native cannot be had: {problem}")
        return Decision("onnxruntime", problem, alarming=not refusal and machine.native_fails)
    if wish == "native":
        return Decision("native", "named as the engine", machine.native_kind)
    if machine.without_onnxruntime:
        return Decision("native", "onnxruntime is not installed", machine.native_kind)
    if machine.native_is_slower:
        return Decision("onnxruntime", machine.native_timing)
    timing = machine.native_timing or "faster than onnxruntime wherever this kind was timed"
    return Decision("native", timing, machine.native_kind)


def cpu_engine_in_words(machine: Machine) -> str:
    """Return which engine computes int4 and int8 on a machine's CPU, and why."""
    decision = cpu_engine(machine)
    if decision.engine == "native":
        timing = f": {machine.native_timing}" if machine.native_timing else ""
        return f"native kernels ({decision.kind}){timing}"
    return f"{'nothing' if machine.without_onnxruntime else 'onnxruntime'}: {decision.reason}"
