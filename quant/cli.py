"""The command `refact-edge eval`: what a bundle can do, and what a variant lost."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from ..runtime.bundle.contract import MANIFEST
from ..runtime.console.options import gathered
from ..runtime.console.terminal import echo
from ..runtime.engine.sampling import Sampling
from ..runtime.errors import OptionError
from ..runtime.model import Model
from ..runtime.opening.choice import required_variants
from ..runtime.opening.load import load
from ..runtime.trust.check import open_bundle
from .eval import report
from .eval.cli import (
    OPENING,
    SAMPLED,
    Opening,
    Sampled,
    collect,
    compare,
    compare_files,
    merge,
    say,
)
from .eval.fim import Filler, lender
from .eval.fim import summarize as summarize_holes
from .eval.forms import Writer, check_form, form_for
from .eval.judging.sandbox import Sandbox
from .eval.parts import part_settings
from .eval.presets import DEFAULT, INFILLING, OWN_QUESTION, PRESETS, Preset
from .eval.problems import Benchmark, read_benchmark
from .eval.results import HOLES, SAMPLES, Record, Results, open_results
from .eval.samples import Write, canonical, empty, judged, of_run, sampled, slots, summarize
from .texts.holes import KINDS, cut_holes, fingerprint
from .texts.sources import EXTENSIONS, find_sources

_PATH = click.Path(path_type=Path)
WITHOUT_MODEL: dict[str, Write] = {"canonical": canonical, "empty": empty}


@click.group(name="eval")
def evaluate() -> None:
    """Measure what a bundle can do, and what a variant lost.

    \b
    Examples:
      refact-edge eval humaneval HumanEval.jsonl.gz --bundle bundle --compare int4 fp32
      refact-edge eval infilling HumanEval-SingleLineInfilling.jsonl.gz --bundle bundle
      refact-edge eval fim my-project --bundle bundle
    """


evaluate.add_command(compare_files)
evaluate.add_command(merge)


@evaluate.command()
@click.argument("file", type=_PATH)
@click.option(
    "--preset", default=DEFAULT, show_default=True, help=f"Settings: {', '.join(PRESETS)}."
)
@gathered("options", Sampled, SAMPLED)
@gathered("opening", Opening, OPENING)
def humaneval(file: Path, preset: str, options: Sampled, opening: Opening) -> None:
    """Judge completions of HumanEval's problems.

    FILE is HumanEval.jsonl or .jsonl.gz, as it is published.

    Presets redo the rows of the model card. For Refact: greedy (T 0.01), cool (T 0.2, 20 samples),
    warm (T 0.8, 200 samples) and chat. For others, by name: base models complete, instruct models
    are asked as their makers ask. Forms: ltr, fim (the model's own order), spm, psm, chat.
    Generated code runs under bubblewrap, without network and files.

    \b
    Examples:
      refact-edge eval humaneval HumanEval.jsonl.gz --bundle bundle --out greedy.jsonl
      refact-edge eval humaneval HumanEval.jsonl.gz --bundle bundle --preset warm --out warm.jsonl
      refact-edge eval humaneval HumanEval.jsonl.gz --bundle bundle --compare int4 fp32
      refact-edge eval humaneval HumanEval.jsonl.gz --canonical
    """
    if preset not in PRESETS:
        raise OptionError(f"preset {preset!r}; expected one of: {', '.join(PRESETS)}")
    _run_samples(read_benchmark(file), options, options.preset(PRESETS[preset]), opening)


@evaluate.command()
@click.argument("file", type=_PATH)
@gathered("options", Sampled, SAMPLED)
@gathered("opening", Opening, OPENING)
def infilling(file: Path, options: Sampled, opening: Opening) -> None:
    """Judge fillings of the holes of a HumanEval infilling benchmark.

    FILE is its .jsonl or .jsonl.gz, as it is published.

    Forms: fim (the model's own order, the default), spm (suffix first), psm, and ltr, which shows
    no suffix. In SingleLine files the answer is cut at its first line's end; in others it ends
    where the model ends it.

    \b
    Examples:
      refact-edge eval infilling HumanEval-SingleLineInfilling.jsonl.gz --bundle bundle
      refact-edge eval infilling HumanEval-RandomSpanInfillingLight.jsonl.gz --form psm
      refact-edge eval infilling HumanEval-SingleLineInfilling.jsonl.gz --empty
    """
    _run_samples(read_benchmark(file, infilling=True), options, options.preset(INFILLING), opening)


@evaluate.command()
@click.argument("folder", type=_PATH)
@click.option("--holes", default=120, show_default=True, help="How many, over all kinds.")
@click.option("--kinds", default=",".join(KINDS), show_default=True, help="Comma-separated.")
@click.option("--ext", multiple=True, help="File ending, in place of the usual; may be repeated.")
@click.option("--context", type=int, help="Tokens shown at most; 1024 or what the model holds.")
@click.option("--order", help="Of what is written, as spm; the model's own by default.")
@click.option("--seed", default=0, show_default=True, help="The same seed, the same holes.")
@gathered("opening", Opening, OPENING)
def fim(
    folder: Path,
    holes: int,
    kinds: str,
    ext: tuple[str, ...],
    context: int | None,
    order: str | None,
    seed: int,
    opening: Opening,
) -> None:
    """Measure how well holes in a folder's files are filled.

    FOLDER holds source files of any language; holes are cut into a copy in memory.

    Nothing is run, and nothing leaves this machine. A file written by --out holds pieces of your
    code: treat it like the code.

    Holes: line (one whole line), span (any characters), body (an indented block). Exact match with
    and without the suffix is compared on lines only, both cut at the line end, as nothing but a
    suffix lets the model end by itself; without it the indent is shown or not, and either counts.
    Bits a byte say what the true text costs the model.

    \b
    Examples:
      refact-edge eval fim my-project --bundle bundle --out holes.jsonl
      refact-edge eval fim my-project --bundle bundle --compare int4 fp32
      refact-edge eval fim my-project --ext vue --ext ts --kinds line --holes 50
    """
    sources = find_sources(folder, ext or EXTENSIONS)
    names = [name.strip() for name in kinds.split(",") if name.strip()]
    cut = cut_holes(sources.files, names, holes, seed)
    skipped = "".join(f", {count} {reason}" for reason, count in sources.skipped.items())
    files = f"{len(cut)} holes in {len({hole.file for hole in cut})} of {len(sources.files)} files"
    echo(f"{files}{'; skipped: ' + skipped[2:] if skipped else ''}", err=True)

    def run(model: Model) -> Results:
        filler = Filler(model, context, order)
        settings = {
            "kind": HOLES,
            "benchmark": "fim",
            "sha256": fingerprint(cut),
            **_identity(model),
            "context": filler.context,
            "order": filler.order,
        }
        results = open_results(opening.out_for(model.variant), settings)
        done = {record["hole"] for record in results.records}
        todo = [place for place, hole in enumerate(cut) if hole.name not in done]
        measured = (filler.measure(cut[place], lender(cut, place)) for place in todo)
        collect(results, measured, model.variant, len(todo))
        return results

    _run_variants(opening, run, summarize_holes, report.holes)


@dataclass(frozen=True)
class _Judging:
    """One benchmark, and how samples of its problems are made and judged."""

    benchmark: Benchmark
    options: Sampled
    preset: Preset
    opening: Opening
    sandbox: Sandbox
    published: Mapping[int, float]  # of the whole run

    def with_model(self, model: Model) -> Results:
        """Run it with a model's samples."""
        preset, seed = self.preset, self.options.seed
        sampling = Sampling(preset.temperature, preset.top_k, preset.top_p)
        if self.options.max_tokens < 1:
            raise OptionError(f"max_tokens {self.options.max_tokens}; expected 1 or more")
        most = min(self.options.max_tokens, model.context_tokens // 2)
        drawn = {name: getattr(sampling, name) for name in _DRAWN}
        form = form_for(model, preset.form)
        settings = {**_identity(model), "form": form, **drawn, "seed": seed}
        if preset.question != OWN_QUESTION:
            settings["question"] = preset.question.name
        writer = Writer(model, form, self.benchmark.infilling, most, preset.question)
        return self._run(
            {**settings, "max_tokens": most},
            sampled(writer, sampling, seed),
            preset.samples,
            model.variant,
            self.opening.out_for(model.variant),
        )

    def without_model(self, how: str) -> Results:
        """Run it with the published solutions, or with nothing in their place."""
        return self._run({"form": how}, WITHOUT_MODEL[how], 1, how, self.opening.out)

    def _run(
        self, own: Mapping[str, Any], write: Write, samples: int, label: str, out: Path | None
    ) -> Results:
        settings = {
            "kind": SAMPLES,
            "benchmark": self.benchmark.name,
            "sha256": self.benchmark.sha256,
            "timeout_s": self.options.timeout,
            **own,
        }
        problems = self.options.chosen(self.benchmark.problems)
        whole = replace(self.options, part=None).chosen(self.benchmark.problems)
        settings |= part_settings(self.options.part, len(whole), samples, self.published)
        results = open_results(out, settings)
        todo = slots(problems, samples, results.records)
        collect(results, judged(todo, write, self.sandbox, self.options.jobs), label, len(todo))
        return replace(results, records=of_run(results.records, problems, samples))


def _run_samples(benchmark: Benchmark, options: Sampled, preset: Preset, opening: Opening) -> None:
    check_form(preset.form, infilling=benchmark.infilling)
    how = options.without_model
    if how and opening.compare:
        raise OptionError(f"--{how} needs no model, so there is nothing to --compare")
    if options.unsafe:
        echo("warning: --unsafe: generated code runs as you, only bounded", err=True)
    sandbox = Sandbox(options.timeout, unsafe=options.unsafe)
    published: Mapping[int, float] = {}
    if opening.bundle is not None and not how:  # of the demo nothing was published
        bundle = open_bundle(opening.bundle)
        family = str(bundle.prompts.get("family"))
        published = preset.published_for(len(benchmark.problems), bundle.sizes, family)
    judging = _Judging(benchmark, options, preset, opening, sandbox, published)
    if how:
        show = functools.partial(report.samples, published={})
        _finish({how: judging.without_model(how)}, summarize, show, opening)
        return
    beside = {} if options.part else published
    show = functools.partial(report.samples, published=beside)
    _run_variants(opening, judging.with_model, summarize, show)


_DRAWN = ("temperature", "top_k", "top_p")


def _identity(model: Model) -> dict[str, str]:
    """Return which bundle and variant it is; the manifest holds the hash of every file."""
    manifest = (model.bundle.path / MANIFEST).read_bytes()
    return {"bundle": hashlib.sha256(manifest).hexdigest(), "variant": model.variant}


def _run_variants(
    opening: Opening,
    run: Callable[[Model], Results],
    summarize: Callable[[list[Record]], dict[str, Any]],
    show: Callable[..., Iterable[str]],
) -> None:
    """Run each variant of the run, one model at a time, and show what came of it."""
    variants, folder = opening.variants(), opening.folder()
    if opening.compare:
        bundle = open_bundle(folder)
        for name in opening.compare:  # the second must not fail when the first is done
            required_variants(bundle, name)
    runs: dict[str, Results] = {}
    for variant in variants:
        model = load(folder, variant=variant, device=opening.device, threads=opening.threads)
        runs[model.variant] = run(model)
        del model  # before the next one is opened
    _finish(runs, summarize, show, opening)


def _finish(
    runs: Mapping[str, Results],
    summarize: Callable[[list[Record]], dict[str, Any]],
    show: Callable[..., Iterable[str]],
    opening: Opening,
) -> None:
    figures = {name: summarize(results.records) for name, results in runs.items()}
    for name, results in runs.items():
        say(show(name, results.settings, figures[name]))
    summary = {
        "runs": {
            name: {"settings": dict(results.settings), "figures": figures[name]}
            for name, results in runs.items()
        }
    }
    if opening.compare:
        compare(list(runs), tuple(runs.values()), summary, opening.as_json)
    elif opening.as_json:
        echo(json.dumps(summary))
