"""What a plan depends on of this machine: kernels, onnxruntime, CUDA and openvino.

Each is looked up when it is first needed, and once a process: importing onnxruntime, the kernels'
self-test and a trial all take their time.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from ..backends.absence import is_installed, remedy
from ..backends.cuda import Card, card
from ..backends.native.library import opened
from ..backends.native.selftest import computes_rightly
from ..backends.onnxruntime import has_cuda_library, why_not_cuda
from ..errors import OptionError
from ..machine.memory import available_memory
from .facts import Machine
from .trial import Trial, settle

FAILED = "fail their self-test"
# Slower than onnxruntime's kernels, and faster on every machine where they were timed. All other
# kinds are timed on the machine itself, at first use.
_SLOW, _FAST = "portable", ("amx", "avx512vnni", "avxvnni", "avx2")


@cache
def why_not_native() -> str:
    """Return why the native kernels cannot be used on this machine; "" where they can."""
    try:
        native = opened()
    except OptionError as error:
        return str(error)
    if not computes_rightly(native, native.best):
        return f"the native kernels {FAILED} on this CPU ({native.best}); please report it"
    return ""


@cache
def trial() -> Trial | None:
    """Return how the kernels of this machine did beside onnxruntime; see `trial.settle`.

    None where every machine of their kind did the same, or there is no onnxruntime.

    Raises:
        OptionError: when there is no library.

    """
    native = opened()
    return None if native.best in (_SLOW, *_FAST) else settle(native)


class ThisMachine:
    """The machine that this process runs on; see `facts.Machine`."""

    @property
    def without_onnxruntime(self) -> str:
        """What to do about it where there is no onnxruntime; "" where there is one."""
        return "" if is_installed() else remedy()

    @property
    def has_cuda(self) -> bool:
        """Whether the installed onnxruntime comes with CUDA."""
        return has_cuda_library()

    @property
    def cuda_problem(self) -> str:
        """Why CUDA cannot be used; "" where it can."""
        return why_not_cuda()

    @property
    def card(self) -> Card | None:
        """The GPU, where its driver tells of one."""
        return card()

    @property
    def has_openvino(self) -> bool:
        """Whether openvino is installed."""
        return find_spec("openvino") is not None

    @property
    def available_memory(self) -> int | None:
        """The bytes of memory that can still be had; None where nothing says so."""
        return available_memory()

    @property
    def native_kind(self) -> str:
        """The best kind of the native kernels here; "" where there are none."""
        try:
            return opened().best
        except OptionError:
            return ""

    @property
    def native_problem(self) -> str:
        """Why the native kernels cannot be used; "" where they can."""
        return why_not_native()

    @property
    def native_fails(self) -> bool:
        """Whether that is because they fail their self-test."""
        return FAILED in why_not_native()

    @property
    def native_is_slower(self) -> bool:
        """Whether onnxruntime is faster than they are."""
        if self.native_kind == _SLOW:
            return True
        outcome = trial()
        return outcome is not None and not outcome.faster

    @property
    def native_timing(self) -> str:
        """How they did beside onnxruntime, here or wherever their kind was timed; "" else."""
        if self.native_kind == _SLOW:
            return f"the native kernels for this CPU ({_SLOW}) are slower than onnxruntime's"
        outcome = trial()
        return str(outcome) if outcome is not None else ""


def this_machine() -> Machine:
    """Return the facts of the machine that this process runs on."""
    return ThisMachine()
