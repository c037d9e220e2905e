"""What the measurements need, made where it is absent: checkpoint, bundle, the peers' files."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import click

from bench.fullsize import refact_edge, tokenizer
from bench.llama_files import quantize, write_full
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.runtime.files.atomic_write import atomic_write
from refact_edge.runtime.store.folder import ENVIRONMENT

from .engines import GROUP_SIZES, Files, start
from .kinds import KINDS
from .process import WorkerError
from .scales import with_constant_scales

# At the 1.6B shape, in bytes.
CHECKPOINT_BYTES, BUNDLE_BYTES, COPY_BYTES = 3.2e9, 2.5e9, 1.8e9
FULL_BYTES, LLAMA_BYTES, OPENVINO_BYTES = 6.4e9, 3.7e9, 3e9
MEMORY_BYTES = 11e9
TRIED = 64  # tokens that tell whether a library crashes
PEER_PACKAGES = ("llama_cpp", "gguf", "openvino")


def check(files: Files) -> None:
    """Refuse to begin without what is needed, and say what.

    Raises:
        ClickException: listing all that is missing.

    """
    files.folder.mkdir(parents=True, exist_ok=True)
    wrong = []
    if missing := _missing_packages(files.peer):
        wrong.append(f"{files.peer} lacks {', '.join(missing)}; run: make bench-peers")
    needed, free = _needed_bytes(files), shutil.disk_usage(files.folder).free
    if free < needed:
        wrong.append(
            f"{files.folder} needs {needed / 1e9:.1f} GB of disk and has {free / 1e9:.1f}; name "
            "another: make bench-peers PEERS_DIR=..."
        )
    if (memory := _free_memory()) < (least := MEMORY_BYTES * files.share):
        wrong.append(f"{memory / 1e9:.1f} GB of memory are free of {least / 1e9:.0f} needed")
    if wrong:
        raise click.ClickException("; ".join(wrong))


def make(files: Files) -> None:
    """Make what is absent."""
    if not files.checkpoint.exists():
        layers = ("--layers", files.layers)
        refact_edge("fabricate", files.checkpoint, *tokenizer(), *layers)
    if not files.bundle.exists():
        fast = ("--no-calibration", "--no-report")
        refact_edge("export", files.checkpoint, files.bundle, "--variants", "int4,int8", *fast)
    if absent := [form for form in files.formats if not files.gguf(form).exists()]:
        _make_gguf(files, absent)
    shutil.rmtree(files.home, ignore_errors=True)
    files.home.mkdir()
    if files.forced:  # neither onnxruntime nor OpenVINO can be held to a kind of CPU
        return
    os.environ[ENVIRONMENT] = str(files.copies)
    for engine in ("native", "onnxruntime"):  # a copy that is there stays
        refact_edge("warm", files.bundle, "--variant", "int4", "--engine", engine)
    if not files.openvino.exists():
        _make_openvino(files)


def with_working_library(files: Files) -> Files:
    """Return the same, with the spare of llama.cpp's library where that of the kind crashes."""
    kind = KINDS[files.kind]
    if not kind.spare:
        return files
    try:
        with start("Q4_0", files) as worker:
            worker.wait_until_loaded()
            worker.ask("prefill", slot="plain", ids=list(range(TRIED)))
    except WorkerError:
        return replace(files, variant=kind.spare)
    return files


def _make_gguf(files: Files, forms: list[str]) -> None:
    """Have llama.cpp quantize the checkpoint; a file under its name is a whole one."""
    source = inspect_checkpoint(files.checkpoint, SILENT)
    full = files.folder / "full.gguf"
    try:
        click.echo("writing the checkpoint for llama.cpp", err=True)
        write_full(source, files.peer, full)
        for form in forms:
            click.echo(f"llama.cpp makes {form}", err=True)
            with atomic_write(files.gguf(form)) as draft:
                quantize(files.peer, full, form, draft)
    finally:
        full.unlink(missing_ok=True)


def _make_openvino(files: Files) -> None:
    """Write the graph that OpenVINO reads, and have it fill its cache, a setting at a time."""
    with_constant_scales(files.bundle, "int4", files.openvino)
    for size in GROUP_SIZES:
        click.echo(f"OpenVINO compiles the graph, groups of {size}", err=True)
        with start(f"OpenVINO {size}", files) as worker, contextlib.suppress(WorkerError):
            worker.wait_until_loaded()  # the run itself says why it cannot


def _missing_packages(peer: Path) -> list[str]:
    if not peer.exists():
        return list(PEER_PACKAGES)
    script = (
        "import sys, importlib.util as u; print(*(n for n in sys.argv[1:] if not u.find_spec(n)))"
    )
    command = [str(peer), "-c", script, *PEER_PACKAGES]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def _needed_bytes(files: Files) -> float:
    absent = [form for form in files.formats if not files.gguf(form).exists()]
    return files.share * (
        CHECKPOINT_BYTES * (not files.checkpoint.exists())
        + BUNDLE_BYTES * (not files.bundle.exists())
        + (FULL_BYTES + LLAMA_BYTES) * bool(absent)
        + COPY_BYTES * (not files.forced and not files.copies.exists())
        + OPENVINO_BYTES * (not files.forced and not files.openvino.exists())
    )


def _free_memory() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * float(line.split()[1])
    return 0.0
