"""The whole path at the exact shape of a model, on random weights: that it holds, what it costs.

Usage: python -m bench.fullsize DIR [--shape NAME] [--variants int4]

Fabricates a checkpoint, exports it, verifies every graph against the reference (if fp32 is among
the variants) and completes a prompt of 2,000 tokens, each in a process of its own whose peak
memory the system reports.
Random weights show speed, memory and parity; they say nothing about quality.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from refact_edge import Sampling, load
from refact_edge.export.fabricate import decoder_of_shape
from refact_edge.export.published import shape_of
from refact_edge.runtime.bundle.contract import weights_file
from refact_edge.runtime.bundle.decoder import parameter_count

SHAPE, VARIANTS = "refact-1.6b", "fp32,int8,int4"
BYTES = {"fp32": 4.0, "fp16": 2.0, "int8": 1.1, "int4": 0.75}  # a weight, at most
CHECKPOINT_BYTES, MEMORY_BYTES = 2.0, 5.0
PROMPT_TOKENS = 2000
NEW_TOKENS = 32
# Promised of an int4 export: 2.5 GB at 1.6B parameters, 4 GB at 6.7B.
EXPORT_BYTES, EXPORT_BYTES_A_WEIGHT = 2.04e9, 0.291


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    peak_bytes: int
    output: str


def run(*arguments: object) -> Cost:
    """Run a command, its progress shown, and return its cost; a failure ends everything."""
    start = time.perf_counter()
    command = [str(argument) for argument in arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        click.echo(output)
        raise click.ClickException(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(time.perf_counter() - start, usage.ru_maxrss * 1024, output)


def refact_edge(*arguments: object) -> Cost:
    """Run one of our own commands."""
    click.echo(f"$ refact-edge {' '.join(map(str, arguments))}", err=True)
    return run(sys.executable, "-m", "refact_edge.runtime", *arguments)


def real_prompt(count: Any, tokens: int) -> tuple[str, str]:
    """Return text before and after a hole in the standard library, of about `tokens` tokens.

    `count` tells the tokens of a text.
    """
    library = Path(sysconfig.get_path("stdlib"))
    text = "".join((library / name).read_text() for name in ("argparse.py", "heapq.py", "shlex.py"))
    lines = text.splitlines(keepends=True)
    at, size = 900, 0
    while count("".join(lines[at : at + size])) < tokens - 3:
        size += 10
    part = lines[at : at + size]
    cut = int(len(part) * 0.8)
    return "".join(part[:cut]), "".join(part[cut + 1 :])


def measure(bundle: Path, variant: str) -> dict[str, float]:
    """Load a variant and complete the prompt; times in seconds, sizes in tokens and bytes."""
    start = time.perf_counter()
    model = load(bundle, variant=variant, device="cpu", hashes=False)
    loaded = time.perf_counter() - start
    prefix, suffix = real_prompt(lambda text: len(model.tokens.encode(text)), PROMPT_TOKENS)
    stream = model.complete(
        prefix, suffix, max_tokens=NEW_TOKENS, stop=(), sampling=Sampling(temperature=0)
    )
    start, moments = time.perf_counter(), []
    for _ in stream:
        moments.append(time.perf_counter())
    first, last = moments[0] - start, moments[-1] - moments[0]
    return {
        "load_s": loaded,
        "prompt": stream.usage.prompt,
        "prefill_tokens_per_s": stream.usage.prompt / first,
        "new": stream.usage.new,
        "decode_tokens_per_s": (stream.usage.new - 1) / last if last else 0.0,
    }


def check_room(folder: Path, disk_bytes: float, memory_bytes: float) -> None:
    """Say what is needed, and refuse to begin without it."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    click.echo(
        f"needs {disk_bytes / 1e9:.0f} GB of disk in {folder} ({free / 1e9:.0f} GB free) and "
        f"about {memory_bytes / 1e9:.0f} GB of memory"
    )
    if free < disk_bytes:
        raise click.ClickException("too little disk; name another: make fullsize FULL_DIR=...")


def tokenizer() -> list[object]:
    """Return the option that names the real tokenizer, where it is at hand."""
    data = Path(os.environ.get("REFACT_EDGE_TEST_DATA", "../shared"))
    file = data / "refact-tokenizer" / "tokenizer.json"
    if file.is_file():
        return ["--tokenizer", file]
    click.echo(f"{file} is absent: a made-up tokenizer stands in")
    return []


def print_results(costs: dict[str, Cost], runs: dict[str, tuple[Cost, dict[str, Any]]]) -> None:
    """Print the table of steps and the table of variants."""
    click.echo(f"\n{'step':28} {'seconds':>8} {'peak MB':>8}")
    for step, cost in costs.items():
        click.echo(f"{step:28} {cost.seconds:8.1f} {cost.peak_bytes / 1e6:8.0f}")
    click.echo(
        f"\n{'variant':8} {'file MB':>8} {'load s':>7} {'prompt':>7} {'prefill tok/s':>14} "
        f"{'decode tok/s':>13} {'peak MB':>8}"
    )
    for variant, (cost, figures) in runs.items():
        click.echo(
            f"{variant:8} {figures['bytes'] / 1e6:8.0f} {figures['load_s']:7.1f} "
            f"{figures['prompt']:7.0f} {figures['prefill_tokens_per_s']:14.1f} "
            f"{figures['decode_tokens_per_s']:13.1f} {cost.peak_bytes / 1e6:8.0f}"
        )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--shape", default=SHAPE, show_default=True, help="A published model's.")
@click.option("--variants", default=VARIANTS, show_default=True, help="Comma-separated.")
@click.option("--keep", is_flag=True, help="Keep checkpoint and bundle when done.")
@click.option("--measure", "only", nargs=2, hidden=True, help="BUNDLE VARIANT: one measurement.")
def main(folder: Path, shape: str, variants: str, keep: bool, only: tuple[str, str] | None) -> None:
    """Prove and measure the full shape; DIR holds the files, about 19 GB at 1.6B parameters."""
    if only:
        click.echo(json.dumps(measure(Path(only[0]), only[1])))
        return
    weights, names = parameter_count(decoder_of_shape(shape_of(shape))), variants.split(",")
    disk = CHECKPOINT_BYTES + BYTES["int4"] + sum(BYTES[name] for name in names)
    memory = MEMORY_BYTES if "fp32" in names else 1.0
    check_room(folder, disk * weights, memory * weights)
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    costs = prepare(shape, checkpoint, bundle, variants)
    if "fp32" in names:
        costs["verify"] = refact_edge("verify", bundle, "--checkpoint", checkpoint, "--json")
    runs = {}
    for variant in names:
        cost = run(sys.executable, "-m", "bench.fullsize", folder, "--measure", bundle, variant)
        size = (bundle / weights_file(variant)).stat().st_size
        runs[variant] = (cost, json.loads(cost.output) | {"bytes": size})
    print_results(costs, runs)
    if "verify" in costs:
        print_verified(costs["verify"])
    if not keep:
        for made in (checkpoint, bundle):
            shutil.rmtree(made)
    limit = EXPORT_BYTES + EXPORT_BYTES_A_WEIGHT * weights
    if costs["export int4"].peak_bytes > limit:
        raise click.ClickException(f"the int4 export took more than {limit / 1e9:.1f} GB of memory")


def prepare(shape: str, checkpoint: Path, bundle: Path, variants: str) -> dict[str, Cost]:
    """Make a checkpoint and its bundle; return what each step took, int4 alone among them."""
    costs = {}
    if not checkpoint.exists():
        real = tokenizer() if shape == SHAPE else ()
        command = ("fabricate", checkpoint, "--shape", shape, "--shards", 4, *real)
        costs["fabricate"] = refact_edge(*command)
    fast = ["--no-calibration", "--no-report", "--force"]  # bench.calibration looks at these
    small = bundle.with_name("bundle-int4")
    costs["export int4"] = refact_edge("export", checkpoint, small, "--variants", "int4", *fast)
    if variants == "int4":
        small.replace(bundle)
        return costs
    shutil.rmtree(small)
    costs[f"export {variants}"] = refact_edge(
        "export", checkpoint, bundle, "--variants", variants, *fast
    )
    return costs


def print_verified(cost: Cost) -> None:
    """Print what `verify` said of each variant."""
    click.echo("\nverify:")
    for variant, figures in json.loads(cost.output)["variants"].items():
        greedy = ""
        if figures["greedy_length"]:
            greedy = f", greedy text {figures['greedy_tokens']} of {figures['greedy_length']} equal"
        click.echo(
            f"{variant:8} max abs diff {figures['max_abs_diff']:.2e}, "
            f"top-1 {figures['top1_agreement']:.2%}, near ties {figures['near_ties']}{greedy}"
        )


if __name__ == "__main__":
    main()
