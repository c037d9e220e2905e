"""How a mutant is opened. A job takes the mutant's folder and raises what the product raises."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path

from refact_edge.export.convert import export_bundle
from refact_edge.runtime.console.cli import cli
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import RefactEdgeError
from refact_edge.runtime.model import Model
from refact_edge.runtime.opening.load import load
from refact_edge.runtime.store.folder import ENVIRONMENT

from . import programs
from .originals import LONG

SUBJECT, TARGET, COPIES, CACHES = "subject", "target", "copies", "caches"
CHECKPOINT = "checkpoint"  # beside a mutated adapter, and a bundle beside mutated caches
WRITABLE = (TARGET, COPIES, CACHES)

Job = Callable[[Path], None]


def _open(folder: Path, variant: str, engine: str, threads: int = 1) -> Model:
    return load(folder, variant=variant, engine=engine, device="cpu", threads=threads)


def _answer(model: Model) -> None:
    """Have the model use each of its prompt layouts, and its own sampling."""
    stream = model.complete("def add(a, b):\n    return ", "\n", max_tokens=3)
    "".join(stream)
    files = [("a.py", "x = 1\n")]
    for order in list(model.layouts.fim)[:3]:
        more = model.complete(
            "y = ", "\nz", extra=files, filename="b.py", order=order, max_tokens=2, sampling=GREEDY
        )
        "".join(more)
    "".join(model.chat([{"role": "user", "content": "What is é?"}], max_tokens=2, sampling=GREEDY))
    "".join(model.generate("<|endoftext|>x", special=True, max_tokens=2, top_logprobs=2))


def _native(folder: Path) -> None:
    _answer(_open(folder / SUBJECT, "int4", "native", threads=2))


def _int4(folder: Path) -> None:
    _answer(_open(folder / SUBJECT, "int4", "onnxruntime"))


def _int8(folder: Path) -> None:
    _answer(_open(folder / SUBJECT, "int8", "onnxruntime"))


def _hybrid(folder: Path) -> None:
    _answer(_open(folder / SUBJECT, "hybrid", "auto"))


def _command(*arguments: str) -> Job:
    """Return a job that runs a command, whose output is not looked at."""

    def run(folder: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            code = cli.main([*arguments, str(folder / SUBJECT)], standalone_mode=False)
        if code:
            raise RefactEdgeError(f"{arguments[0]} exits with {code}")

    return run


def _export(folder: Path) -> None:
    """Export a checkpoint, and open what came of it."""
    export_bundle(folder / SUBJECT, folder / TARGET / "bundle", ["int4"])
    _answer(_open(folder / TARGET / "bundle", "int4", "auto"))


def _merge(folder: Path) -> None:
    """Export the honest checkpoint with a mutated adapter."""
    target = folder / TARGET / "bundle"
    export_bundle(folder / CHECKPOINT, target, ["int8"], adapter=folder / SUBJECT)


def _resume(variant: str, engine: str) -> Job:
    """Return a job that opens the honest bundle with mutated caches, and saves them again."""

    def run(folder: Path) -> None:
        caches = folder / CACHES
        bundle = folder / SUBJECT
        model = load(bundle, variant=variant, engine=engine, device="cpu", threads=1, caches=caches)
        for prompt in (LONG, LONG[:200] + "y = 1\n"):
            "".join(model.complete(prompt, "\n", max_tokens=3, stop=(), sampling=GREEDY))
        model.save_caches()

    return run


def _copied(variant: str) -> Job:
    """Return a job that opens the honest bundle, whose copy for onnxruntime is a mutant."""

    def run(folder: Path) -> None:
        os.environ[ENVIRONMENT] = str(folder / COPIES)
        _answer(_open(folder / SUBJECT, variant, "onnxruntime"))

    return run


JOBS: dict[str, Job] = {
    "native": _native,
    "native program": lambda folder: programs.run_mutant(folder / SUBJECT),
    "onnxruntime int4": _int4,
    "onnxruntime int8": _int8,
    "hybrid": _hybrid,
    "info": _command("info"),
    "info --json": _command("info", "--json"),
    "doctor": _command("doctor"),
    "export": _export,
    "merge": _merge,
    "caches native": _resume("int4", "native"),
    "caches int4": _resume("int4", "onnxruntime"),
    "caches int8": _resume("int8", "onnxruntime"),
    "copy int4": _copied("int4"),
    "copy int8": _copied("int8"),
}
