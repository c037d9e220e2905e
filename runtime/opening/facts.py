"""What a plan may ask of a machine. `machine.py` looks it up; tests write it down."""

from __future__ import annotations

from typing import Protocol

from ..backends.cuda import Card


class Machine(Protocol):
    """Facts of a machine. Some cost a lookup, which is made when the plan first depends on it."""

    @property
    def without_onnxruntime(self) -> str:
        """What to do about it where there is no onnxruntime; "" where there is one."""
        ...

    @property
    def has_cuda(self) -> bool:
        """Whether the installed onnxruntime comes with CUDA."""
        ...

    @property
    def cuda_problem(self) -> str:
        """Why CUDA cannot be used; "" where it can. Imports onnxruntime."""
        ...

    @property
    def card(self) -> Card | None:
        """The GPU, where its driver tells of one."""
        ...

    @property
    def has_openvino(self) -> bool:
        """Whether openvino is installed."""
        ...

    @property
    def available_memory(self) -> int | None:
        """The bytes of memory that can still be had; None where nothing says so."""
        ...

    @property
    def native_kind(self) -> str:
        """The best kind of the native kernels here; "" where there are none."""
        ...

    @property
    def native_problem(self) -> str:
        """Why the native kernels cannot be used; "" where they can. Runs their self-test once."""
        ...

    @property
    def native_fails(self) -> bool:
        """Whether that is because they fail their self-test."""
        ...

    @property
    def native_is_slower(self) -> bool:
        """Whether onnxruntime is faster than they are. May hold a trial of less than a second."""
        ...

    @property
    def native_timing(self) -> str:
        """How they did beside onnxruntime, here or wherever their kind was timed; "" else."""
        ...
