"""Commands that need the export extra: export, verify, fabricate."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..quant.report import quality_lines
from ..quant.schemes import DEFAULT_VARIANTS, SCHEMES
from ..runtime.console.cli import progress_bar
from ..runtime.console.params import trust_options
from ..runtime.console.terminal import echo
from ..runtime.errors import MissingExtraError, OptionError
from .effort import EFFORTS

if TYPE_CHECKING:
    from .parity import Comparison

_FOLDER = click.Path(path_type=Path)
REFACT = "refact-1.6b"  # the shape of a checkpoint when none is named
_LORA = click.option(
    "--lora",
    type=_FOLDER,
    metavar="ADAPTER",
    help="Folder of a LoRA adapter (PEFT's form) to merge into the checkpoint.",
)


def _require(extra: str) -> None:
    """Look for the packages of an extra without importing them."""
    packages = [
        "onnx",
        "safetensors",
        "ml_dtypes",
        "threadpoolctl",
        "cyclonedx",
        "yaml",
        *(["torch"] if extra == "verify" else []),
    ]
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)


@click.command()
@click.argument("checkpoint", type=_FOLDER)
@click.argument("bundle", type=_FOLDER)
@click.option(
    "--variants",
    default=",".join(DEFAULT_VARIANTS),
    show_default=True,
    help=f"Comma-separated: {', '.join(SCHEMES)}.",
)
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--license", "licence", type=_FOLDER, help="Licence file of the weights.")
@_LORA
@click.option(
    "--calibrate",
    type=_FOLDER,
    metavar="DIR",
    help="Source files to calibrate on, such as your own; a small set by default.",
)
@click.option(
    "--bytes",
    "limit",
    metavar="SIZE",
    help="Most bytes for int4's weights, such as 900MB; its forms are mixed to fit.",
)
@click.option(
    "--kl",
    "limit_kl",
    type=float,
    metavar="NATS",
    help="Most that int4 may lose, such as 0.01; its forms are mixed to the fewest bytes.",
)
@click.option("--name", help="What servers call the model; by default as its checkpoint does.")
@click.option(
    "--effort",
    type=click.Choice(list(EFFORTS)),
    help="How weights are rounded: more loses less. By default what takes about an hour at most.",
)
@click.option("--no-calibration", is_flag=True, help="Round to nearest: fast, and less exact.")
@click.option("--no-report", is_flag=True, help="Do not measure what was lost.")
@click.option(
    "--prompts",
    metavar="FAMILY",
    help="How the model was trained to be asked, such as mellum; told by its tokens by default.",
)
def export(
    checkpoint: Path,
    bundle: Path,
    variants: str,
    force: bool,
    licence: Path | None,
    lora: Path | None,
    calibrate: Path | None,
    limit: str | None,
    limit_kl: float | None,
    name: str | None,
    effort: str | None,
    no_calibration: bool,
    no_report: bool,
    prompts: str | None,
) -> None:
    """Turn the folder CHECKPOINT, or a GGUF file, into the ONNX bundle BUNDLE.

    Quantized weights are rounded for the prompts that the model will see: holes and questions cut
    from source files, which are read and never run. One is rounded after the other, to make good
    what those before it lost. Then each variant is measured against full
    precision on other files, and the figures are written into the bundle.

    \b
    Examples:
      refact-edge export Refact-1_6B-fim bundle
      refact-edge export Refact-1_6B-fim bundle --calibrate my-project --lora my-adapter
      refact-edge export Refact-1_6B-fim bundle --variants fp16,int4
      refact-edge export Refact-1_6B-fim bundle --force --license LICENSE
      refact-edge export qwen2.5-coder-1.5b-q8_0.gguf bundle
    """
    _require("export")
    from .convert import export_bundle
    from .options import calibration_sources, limit_of, variant_names
    from .quality import default_data
    from .scratch import folder_of

    try:
        done = export_bundle(
            checkpoint,
            bundle,
            variant_names(variants),
            force=force,
            licence=licence,
            adapter=lora,
            calibration=calibration_sources(calibrate, no_calibration, effort),
            effort=effort,
            data=() if no_report else default_data(),
            limit=limit_of(limit, limit_kl),
            prompts=prompts,
            name=name,
            track=progress_bar,
        )
    except KeyboardInterrupt:
        if (left := folder_of(bundle.resolve())).exists():
            echo(f"\n{left} has what was done; the same command goes on from there", err=True)
        raise
    echo(f"{bundle} ({done.manifest['architecture']})")
    echo(f"{'variant':8} {'MB':>8} {'bits/weight':>12}")
    for name, entry in done.manifest["variants"].items():
        bits = entry["report"]["bits_per_weight"]
        echo(f"{name:8} {entry['bytes'] / 1e6:8.1f} {bits:12}")
    for line in quality_lines(done.manifest["quality"]) if "quality" in done.manifest else ():
        echo(line)
    for note in done.notes:
        echo(f"note: {note}", err=True)


@click.command()
@click.argument("bundle", type=_FOLDER)
@trust_options
@click.option("--checkpoint", type=_FOLDER, required=True, help="The folder it was made from.")
@_LORA
@click.option("--variants", help="Comma-separated; all of the bundle's when not given.")
@click.option("--tokens", default=512, show_default=True, help="Length of the text compared.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(
    bundle: Path,
    checkpoint: Path,
    lora: Path | None,
    variants: str | None,
    tokens: int,
    as_json: bool,
) -> None:
    """Compare a bundle's graphs with the torch reference.

    Exits with 1 when an fp32 graph differs by more than 1e-3 or in a first choice. Quantized
    variants differ by design; their figures are shown and judged by nobody.

    \b
    Examples:
      refact-edge verify bundle --checkpoint Refact-1_6B-fim
      refact-edge verify bundle --checkpoint Refact-1_6B-fim --variants fp32 --json
    """
    _require("verify")
    from .options import variant_names
    from .parity import compare

    if tokens < 1:
        raise OptionError(f"tokens {tokens}; expected 1 or more")
    names = None if variants is None else variant_names(variants)
    results = compare(
        checkpoint, bundle, adapter=lora, variants=names, prompt_tokens=tokens, track=progress_bar
    )
    exact = "fp32" not in results or results["fp32"].exact
    if as_json:
        content = {name: result.as_json() for name, result in results.items()}
        echo(json.dumps({"ok": exact, "variants": content}))
    else:
        _print_comparison(results)
        if "fp32" in results:
            echo("fp32 agrees with the reference" if exact else "fp32 DIFFERS: see above")
    if not exact:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("bundle", type=_FOLDER)
@trust_options
@click.option("--checkpoint", type=_FOLDER, required=True, help="The folder it was made from.")
@_LORA
@click.option("--variants", help="Comma-separated; all of the bundle's when not given.")
@click.option(
    "--data", type=_FOLDER, metavar="DIR", help="Source files to measure on; a few by default."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--html", "page", type=_FOLDER, metavar="FILE", help="Write a page with plots.")
def quality(
    bundle: Path,
    checkpoint: Path,
    lora: Path | None,
    variants: str | None,
    data: Path | None,
    as_json: bool,
    page: Path | None,
) -> None:
    """Measure what the variants of a bundle lost against full precision.

    \b
    Examples:
      refact-edge quality bundle --checkpoint Refact-1_6B-fim
      refact-edge quality bundle --checkpoint Refact-1_6B-fim --data my-project --json
      refact-edge quality bundle --checkpoint Refact-1_6B-fim --html quality.html
    """
    _require("export")
    from ..quant.texts.sources import find_sources
    from .options import variant_names
    from .quality import check_page, default_data, measure_bundle, write_page

    if page is not None:
        check_page(page)

    names = None if variants is None else variant_names(variants)
    sources = default_data() if data is None else find_sources(data).files
    figures = measure_bundle(
        checkpoint, bundle, data=sources, adapter=lora, variants=names, track=progress_bar
    )
    if page is not None:
        write_page(page, bundle.name, figures)
    if as_json:
        echo(json.dumps(figures))
    else:
        for line in quality_lines(figures):
            echo(line)


def _print_comparison(results: dict[str, Comparison]) -> None:
    echo(f"{'variant':8} {'max abs diff':>13} {'top-1':>8}  largest difference by path")
    for name, result in results.items():
        paths = ", ".join(f"{path} {value:.1e}" for path, value in result.paths.items())
        echo(f"{name:8} {result.max_abs_diff:13.2e} {result.top1_agreement:8.2%}  {paths}")
        if result.greedy_length:
            count, equal = result.greedy_length, result.greedy_tokens
            echo(
                f"{'':8} greedy text: {equal} of {count} tokens equal the reference's "
                f"(near ties: {result.greedy_near_ties})"
            )
        if result.near_ties:
            echo(f"{'':8} near ties that changed places: {result.near_ties}")
    lengths = next(iter(results.values())).lengths
    echo(f"prompt lengths tried: {', '.join(map(str, lengths))}")


@click.command()
@click.argument("target", metavar="DIR", type=_FOLDER)
@click.option("--tokenizer", type=_FOLDER, help="A tokenizer.json; a made-up one when not given.")
@click.option("--shape", "name", default=REFACT, show_default=True, help="A published model's.")
@click.option("--layout", type=click.Choice(["fused", "unfused"]), default="fused")
@click.option("--shards", default=1, show_default=True, help="Number of weight files.")
@click.option("--seed", default=0, show_default=True)
@click.option("--layers", type=int, help="Fewer make a smaller stand-in.")
def fabricate(
    target: Path,
    tokenizer: Path | None,
    name: str,
    layout: str,
    shards: int,
    seed: int,
    layers: int | None,
) -> None:
    """Write a random checkpoint of a published model's shape to DIR.

    It is bf16, two bytes a weight, and is for measuring speed, memory and parity. Random weights
    say nothing about quality. The layout is of Refact's files, of which there are two.

    \b
    Examples:
      refact-edge fabricate random-1.6b --tokenizer tokenizer.json
      refact-edge fabricate random-1.6b --layout unfused --shards 4 --seed 7
      refact-edge fabricate random-qwen --shape qwen2.5-coder-1.5b
    """
    _require("export")
    from .architectures.gpt_refact import UNFUSED
    from .fabricate import fabricate as write
    from .published import shape_of

    if not (1 <= shards <= 100 and (layers is None or 1 <= layers <= 1000) and seed >= 0):
        raise OptionError(
            f"shards {shards}, layers {layers}, seed {seed}; expected 1 to 100, 1 to 1000 and "
            "0 or more"
        )
    if layout == "unfused" and name != REFACT:
        raise OptionError(f"layout unfused is {REFACT}'s; leave it out for {name}")
    shape = shape_of(name) if layers is None else shape_of(name).with_layers(layers)
    table = UNFUSED if layout == "unfused" else None
    size = write(
        target, shape, tokenizer, table=table, seed=seed, shards=shards, track=progress_bar
    )
    echo(f"{target}: {size / 1e9:.2f} GB of random weights, {name}, seed {seed}")
