"""The engines, as a table: what each is started with, and beside which others it is measured.

An engine can have several runners, which are its settings; of these its better one counts, work by
work. Engines of one group are loaded at the same time, which bounds the memory of a run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refact_edge.runtime.bundle.contract import engine_graph
from refact_edge.runtime.store.folder import ENVIRONMENT

from .kinds import KINDS
from .process import Worker

FLASH, PLAIN = "flash", "no flash"  # attention
COPIED = ("int4 kept", "int4 kept onnxruntime")
LLAMA_FORMATS = ("Q4_0", "Q4_K_M", "Q8_0")
IK = "ik_llama.cpp Q4_0"
GROUP_SIZES = (128, 32)


LAYERS, QUICK_LAYERS = 32, 4


@dataclass(frozen=True)
class Files:
    """Where everything lies, how many threads work, and on which kind of CPU.

    `forced` says that the caller named the kind: then only engines that can be held to it run.
    """

    folder: Path
    peer: Path
    threads: int
    kind: str
    forced: bool = False
    variant: str = ""  # of llama.cpp's CPU libraries; the kind's own when empty
    ik: Path | None = None  # ik_llama.cpp's library, where it could be built
    layers: int = LAYERS  # of the model of random weights
    model: Path | None = None  # a checkpoint of real weights in its place
    engines: tuple[str, ...] = ()  # that take part; all of them when empty
    share: float = 1.0  # of the 1.6B model's disk and memory that this one needs, at most

    @property
    def llama_library(self) -> str:
        """The name of llama.cpp's library for the kind."""
        return f"libggml-cpu-{self.variant or KINDS[self.kind].variant}"

    @property
    def formats(self) -> tuple[str, ...]:
        """Those of llama.cpp's formats that take part."""
        return ("Q4_0", "Q8_0") if self.forced else LLAMA_FORMATS

    @property
    def checkpoint(self) -> Path:
        """The weights that all formats are made of."""
        return self.model or self.folder / "checkpoint"

    @property
    def bundle(self) -> Path:
        """Our export of them."""
        return self.folder / "bundle"

    @property
    def home(self) -> Path:
        """The home folder that workers see; what is in it after a run was written by one."""
        return self.folder / "home"

    def gguf(self, form: str) -> Path:
        """One of llama.cpp's files."""
        return self.folder / f"{form}.gguf"

    @property
    def copies(self) -> Path:
        """Where our variants' copies lie that open at once."""
        return self.folder / "copies"

    @property
    def openvino(self) -> Path:
        """Our graph in OpenVINO's form, and its cache."""
        return self.folder / "openvino"


@dataclass(frozen=True)
class Runner:
    """An engine in one setting: the worker process that runs it, and the slot there."""

    engine: str
    worker: str
    setting: str = ""
    slot: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is one of this project's variants."""
        return self.engine in OURS

    @property
    def every_order(self) -> bool:
        """Whether it gets prompts in every order: llama.cpp's own may not be the model's."""
        return self.engine in (*LLAMA_FORMATS, IK)

    @property
    def name(self) -> str:
        """Engine and setting."""
        return f"{self.engine}, {self.setting}" if self.setting else self.engine


OPTIONAL = ("int4 with OpenVINO",)  # read by it, written by onnxruntime
PLAIN_INT4, PLAIN_INT8 = "int4 on onnxruntime", "int8 on onnxruntime"  # else our own kernels
OURS = ("int4", PLAIN_INT4, "hybrid", "int8", PLAIN_INT8, *OPTIONAL)


@dataclass(frozen=True)
class Group:
    """Runners that take turns, at typing or at throughput."""

    name: str
    runners: tuple[Runner, ...]
    typing: bool = False


def _llama(form: str) -> tuple[Runner, ...]:
    return Runner(form, form, PLAIN, "plain"), Runner(form, form, FLASH, "flash")


def _ik(worker: str, how: str) -> tuple[Runner, ...]:
    return (
        Runner(IK, worker, f"{PLAIN}{how}", "plain"),
        Runner(IK, worker, f"{FLASH}{how}", "flash"),
    )


# Its weights as they lie in the file, and laid out anew for the CPU as it opens.
_IK = (*_ik("ik", ""), *_ik("ik repacked", ", repacked"))
_OPENVINO = tuple(Runner("OpenVINO", f"OpenVINO {n}", f"groups of {n}") for n in GROUP_SIZES)
_INT4, _HYBRID = Runner("int4", "int4"), Runner("hybrid", "hybrid")
_PLAIN = Runner(PLAIN_INT4, "int4 onnxruntime")
_INT8, _PLAIN_INT8 = Runner("int8", "int8"), Runner(PLAIN_INT8, "int8 onnxruntime")
_BOTH = Runner(OPTIONAL[0], "int4 openvino")
GROUPS = (
    Group("4 bits", (_INT4, *_llama("Q4_0"), _PLAIN, _HYBRID, _BOTH, *_OPENVINO)),
    Group("8 bits", (_INT8, *_llama("Q8_0"), _PLAIN_INT8, *_llama("Q4_K_M"))),
    Group("typing", (_INT4, *_llama("Q4_0"), _PLAIN, *_OPENVINO), typing=True),
)
STARTS, ONE_KIND = "starts", "one kind of CPU"
PARTS = (*(group.name for group in GROUPS), STARTS)  # of a run in which no kind is forced


def groups(files: Files) -> tuple[Group, ...]:
    """Return who takes turns: with a kind forced those that can be held to it, else all."""
    ik = _IK if files.ik else ()
    if files.forced:
        runners = (_INT4, *_llama("Q4_0"), *ik, _INT8, *_llama("Q8_0"))
        return (Group(ONE_KIND, _of(files, runners)),)
    first, *rest = GROUPS
    whole = (replace(first, runners=(*first.runners, *ik)), *rest)
    return tuple(replace(group, runners=_of(files, group.runners)) for group in whole)


def starts(files: Files) -> dict[str, Runner]:
    """Return the workers whose start and memory are measured; two more use what `warm` left."""
    copies = zip(COPIED, ("int4", PLAIN_INT4), strict=True)
    runners = (
        *(runner for group in GROUPS for runner in group.runners),
        *(Runner(engine, worker, "kept copy") for worker, engine in copies),
    )
    return {runner.worker: runner for runner in _of(files, runners)}


def _of(files: Files, runners: Sequence[Runner]) -> tuple[Runner, ...]:
    return tuple(one for one in runners if not files.engines or one.engine in files.engines)


def start(worker: str, files: Files) -> Worker:
    """Start a worker; it loads on while this returns."""
    log = files.folder / f"{worker.replace(' ', '-')}.log"
    seen = {"HOME": str(files.home), ENVIRONMENT: str(files.copies)}
    return Worker(_command(worker, files), seen, log)


def _command(worker: str, files: Files) -> list[str]:
    threads = str(files.threads)
    variant, *how = worker.split()
    if variant in OURS:
        python, module = sys.executable, "ours"
        kind = [files.kind] if set(how) <= {"kept"} else []
        arguments = [str(files.bundle), variant, threads, *how, *kind]
    elif worker in LLAMA_FORMATS:
        python, module = str(files.peer), "llama"
        arguments = [str(files.gguf(worker)), threads, files.llama_library]
    elif variant == "ik":
        python, module = sys.executable, "ik"
        arguments = [str(files.ik), str(files.gguf("Q4_0")), threads, *how]
    else:
        python, module = str(files.peer), "openvino"
        size = worker.removeprefix("OpenVINO ")
        graph = str(files.openvino / Path(engine_graph("int4")).name)
        arguments = [graph, str(files.openvino / f"cache-{size}"), size, threads]
    return [python, "-m", f"bench.peers.{module}", *arguments]
