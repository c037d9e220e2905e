"""The command line: complete, chat, info, doctor; export's commands join as entry points."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click

from . import checked, prepack
from .bundle import default_bundle, read_bundle, verify_variant
from .cursor import decode_text, split_at, split_marker
from .describe import describe
from .doctor import examine
from .endings import Endings
from .errors import BundleError, OptionError, PromptError, RefactEdgeError
from .load import ENGINES, PREFILL, best_variant, load, required_variants
from .model import Model
from .native.session import VARIANT as NATIVE_VARIANT
from .native.session import why_not_this
from .sampling import Sampling
from .stream import Stream

_PATH = click.Path(path_type=Path)


class _Commands(click.Group):
    """Finds commands of other parts as entry points, and imports only the one that is called."""

    def _others(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group="refact_edge.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._others()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in (others := self._others()):
            return own
        command: click.Command = others[cmd_name].load()
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="refact-edge")
def cli() -> None:
    """Code completion and chat from an ONNX bundle of Refact-1.6B, on machines with no big GPU."""


@dataclass(frozen=True)
class Asked:
    """What both complete and chat let their user choose."""

    bundle: Path | None
    variant: str | None
    device: str
    threads: int | None
    engine: str
    prefill: str
    caches: Path | None
    max_tokens: int | None
    stop: tuple[str, ...]
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    seed: int | None
    as_json: bool

    def load(self) -> Model:
        """Open the bundle that was named, or the demo's, and say so."""
        bundle = self.bundle
        if bundle is None:
            bundle = demo_bundle()
            click.echo("using the demo bundle, a toy model; name another with --bundle", err=True)
        return load(
            bundle,
            variant=self.variant,
            device=self.device,
            threads=self.threads,
            engine=self.engine,
            prefill=self.prefill,
            caches=self.caches,
        )

    def sampling(self, model: Model) -> Sampling:
        """Return the model's default sampling with what was asked for in its place."""
        return model.sampling_with(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
        )


engine_option = click.option(
    "--engine", default=ENGINES[0], help="What computes int4 on a CPU: native, onnxruntime or auto."
)
_OPTIONS = (
    click.option("--bundle", type=_PATH, help="The bundle's folder; the demo's by default."),
    click.option(
        "--variant",
        help="int4, int8, fp32, fp16 or hybrid (int8 reads, int4 writes); the best for the device.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option("--threads", type=int, help="CPU threads; one a physical core by default."),
    engine_option,
    click.option(
        "--prefill", default=PREFILL[0], help="What reads prompts: the same or openvino (int4)."
    ),
    click.option(
        "--caches", type=_PATH, help="A folder that keeps what was read (your text) for next time."
    ),
    click.option("--max-tokens", type=int, help="The most new tokens."),
    click.option("--stop", multiple=True, help="End before this text; may be repeated."),
    click.option("--temperature", type=float, help="0 is greedy."),
    click.option("--top-k", type=int, help="Keep the k likeliest tokens; 0 keeps all."),
    click.option("--top-p", type=float, help="Keep the likeliest tokens up to this share."),
    click.option("--min-p", type=float, help="Drop tokens below this share of the likeliest."),
    click.option("--repetition-penalty", type=float, help="Over 1 avoids repeating."),
    click.option("--seed", type=int, help="The same seed gives the same text."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end."),
)


def _generation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `Asked` holds, and hand them to the command as one."""

    @functools.wraps(command)
    def collected(**given: Any) -> None:
        asked = Asked(**{field.name: given.pop(field.name) for field in fields(Asked)})
        command(asked=asked, **given)

    decorated: Callable[..., None] = collected
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@cli.command()
@click.argument("file", type=_PATH, required=False)
@click.option("--line", type=int, help="Line of the cursor in FILE, from 1.")
@click.option("--column", type=int, help="Column of the cursor, from 1, in characters.")
@click.option("--prefix", help="Text before the cursor, in place of FILE.")
@click.option("--suffix", help="Text after the cursor, in place of FILE.")
@click.option("--marker", default="<CURSOR>", show_default=True, help="The cursor, in stdin.")
@click.option("--extra", type=_PATH, multiple=True, help="Another open file; may be repeated.")
@click.option("--order", help="spm (suffix first, the default) or psm.")
@click.option("--no-empty", is_flag=True, help="Do not let the completion be empty.")
@click.option("--heal/--no-heal", default=None, help="Write the word before the cursor anew.")
@click.option("--block/--no-block", default=False, help="End with the indented block.")
@click.option("--prompt-ms", type=float, help="Most milliseconds for reading the text.")
@click.option("--total-ms", type=float, help="Most milliseconds for all.")
@click.option("--single-line", is_flag=True, help="Complete the cursor's line only.")
@_generation_options
def complete(
    file: Path | None,
    line: int | None,
    column: int | None,
    prefix: str | None,
    suffix: str | None,
    marker: str,
    extra: tuple[Path, ...],
    order: str | None,
    single_line: bool,
    no_empty: bool,
    heal: bool | None,
    block: bool,
    prompt_ms: float | None,
    total_ms: float | None,
    asked: Asked,
) -> None:
    """Write what belongs at the cursor.

    The cursor is a place in FILE, a marker in the text on standard input, or lies between
    --prefix and --suffix.

    \b
    Examples:
      refact-edge complete hello.py --line 2 --column 12
      printf 'def add(a, b):\\n    return <CURSOR>\\n' | refact-edge complete
      refact-edge complete --prefix 'def add(a, b):' --suffix '' --temperature 0
    """
    before, after = _cursor(file, line, column, prefix, suffix, marker)
    files = [(path.name, _read(path)) for path in extra]
    model = asked.load()
    stream = model.complete(
        before,
        after,
        extra=files,
        filename=file.name if file else "",
        order=order,
        multiline=not single_line,
        max_tokens=asked.max_tokens,
        stop=asked.stop or None,
        allow_empty=not no_empty,
        heal=heal,
        endings=Endings(block=block),
        prompt_ms=prompt_ms,
        total_ms=total_ms,
        sampling=asked.sampling(model),
    )
    try:
        _show(model, stream, asked.as_json)
    finally:
        model.save_caches()


@cli.command()
@click.argument("question", required=False)
@click.option("--system", help="The system message.")
@_generation_options
def chat(question: str | None, system: str | None, asked: Asked) -> None:
    """Answer QUESTION, or talk when there is none and a terminal.

    Ctrl-C ends an answer, Ctrl-D the conversation.

    \b
    Examples:
      refact-edge chat 'Write a function that reverses a string.'
      git diff | refact-edge chat
      refact-edge chat --temperature 0 --system 'You answer in one line'
    """
    history = [{"role": "system", "content": system}] if system else []
    talking = question is None and sys.stdin is not None and sys.stdin.isatty()
    if question is None and not talking:
        question = _standard_input()
    model = asked.load()
    sampling = asked.sampling(model)

    # Line editing and a history of what was asked, where the system has them.
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401

    def answer(text: str) -> None:
        turns = [*history, {"role": "user", "content": text}]
        stream = model.chat(turns, max_tokens=asked.max_tokens, stop=asked.stop, sampling=sampling)
        _show(model, stream, asked.as_json)
        # Only now: a question that was refused or cut off is not part of the conversation.
        history[:] = [*turns, {"role": "assistant", "content": stream.text}]

    try:
        if talking:
            _talk(answer)
        else:
            answer(question or "")
    finally:
        model.save_caches()


def _talk(answer: Callable[[str], None]) -> None:
    """Answer line by line, until Ctrl-D."""
    click.echo("Ctrl-C ends an answer, Ctrl-D the conversation.", err=True)
    while True:
        try:
            if (line := input("you> ")).strip():
                answer(line)
        except EOFError:
            click.echo()
            return
        except RefactEdgeError as error:
            click.echo(f"error: {error}", err=True)
        except KeyboardInterrupt:
            click.echo("\n(Ctrl-D ends the conversation)", err=True)


@cli.command()
@click.argument("bundle", type=_PATH, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def info(bundle: Path | None, as_json: bool) -> None:
    """Show what a bundle holds.

    \b
    Examples:
      refact-edge info bundle
      refact-edge info --json
    """
    path = bundle or demo_bundle()
    opened = read_bundle(path)
    if as_json:
        click.echo(json.dumps({**asdict(opened), "path": str(path)}, indent=2))
        return
    for line in describe(opened):
        click.echo(line)


@cli.command()
@click.argument("bundle", type=_PATH, required=False)
@click.option("--variant", help="The best for a CPU by default; hybrid for int8 and int4.")
@engine_option
@click.option("--clear", is_flag=True, help="Remove all that it left, of whatever bundle.")
def warm(bundle: Path | None, variant: str | None, engine: str, clear: bool) -> None:
    """Have BUNDLE open at once from now on, by what is kept in your cache folder.

    For the native kernels that is a note that its files were hashed. For onnxruntime it is a copy
    that is laid out for this CPU and this onnxruntime, and takes twice the space of the weights.
    Either is found by itself. REFACT_EDGE_CACHE names another folder.

    \b
    Examples:
      refact-edge warm bundle
      refact-edge warm bundle --variant int8
      refact-edge warm --clear
    """
    if clear:
        freed = prepack.clear()
        click.echo(f"{prepack.cache_folder()}: {freed / 1e6:.0f} MB freed")
        return
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}; expected one of {', '.join(ENGINES)}")
    opened = read_bundle(bundle or demo_bundle())
    for name in required_variants(opened, variant or best_variant(opened, "cpu")):
        reason = "" if name == NATIVE_VARIANT else f"they compute {NATIVE_VARIANT}, not {name}"
        if not reason and engine != "onnxruntime":
            verify_variant(opened, name, hash_weights=False)
            reason = why_not_this(opened)
            if not reason:
                click.echo(f"{name}: hashed, as is noted in {checked.note(opened, name).parent}")
                continue
        if engine == "native":
            raise OptionError(f"engine native cannot be had: {reason}")
        folder = prepack.make(opened, name)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        click.echo(f"{name}: {size:.0f} MB in {folder}")


@cli.command()
@click.argument("bundle", type=_PATH, required=False)
def doctor(bundle: Path | None) -> None:
    """Look at the installation, the machine and a bundle.

    Exits with 1 when something is wrong.

    \b
    Examples:
      refact-edge doctor
      refact-edge doctor bundle
    """
    if bundle is None and default_bundle().exists():
        bundle = default_bundle()
    findings = examine(bundle)
    for finding in findings:
        mark = "!!" if finding.problem else "ok"
        click.echo(f"{mark} {finding.subject:22} {finding.state}")
        if finding.problem:
            click.echo(f"   {'':22} {finding.problem}")
    if any(finding.problem for finding in findings):
        raise click.exceptions.Exit(1)


def _cursor(
    file: Path | None,
    line: int | None,
    column: int | None,
    prefix: str | None,
    suffix: str | None,
    marker: str,
) -> tuple[str, str]:
    """Return the text around the cursor from whichever of the three ways was used."""
    if prefix is not None or suffix is not None:
        if file is not None or line is not None or column is not None:
            raise OptionError("give FILE with --line and --column, or --prefix and --suffix")
        return prefix or "", suffix or ""
    if file is not None:
        if line is None or column is None:
            raise OptionError(f"{file} needs --line and --column, the place of the cursor in it")
        return split_at(_read(file), line, column, str(file))
    if line is not None or column is not None:
        raise OptionError("--line and --column need a FILE")
    if sys.stdin is not None and sys.stdin.isatty():
        click.echo(f"reading the text with {marker} in it; end with Ctrl-D", err=True)
    return split_marker(_standard_input(), marker, "standard input")


def _standard_input() -> str:
    if sys.stdin is None:
        raise PromptError("standard input is closed; expected the text there")
    return decode_text(sys.stdin.buffer.read(), "standard input")


def _read(path: Path) -> str:
    try:
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise PromptError(f"{path} cannot be read: {error.strerror}") from error


def demo_bundle() -> Path:
    """Return the bundle that is used when none is named.

    Raises:
        BundleError: when it is not there.

    """
    if not default_bundle().exists():
        raise BundleError("no bundle was named and there is no demo bundle; make it: make demo")
    return default_bundle()


def _show(model: Model, stream: Stream, as_json: bool) -> None:
    """Print pieces as they come, or one JSON object at the end, also when interrupted."""
    try:
        for piece in stream:
            if not as_json:
                click.echo(_visible(piece), nl=False)
                sys.stdout.flush()
    finally:
        stream.close()
        if as_json:
            told = {
                "text": stream.text,
                "finish": stream.finish,
                "usage": asdict(stream.usage),
                "variant": model.variant,
                "device": model.device,
            }
            click.echo(json.dumps(told))
    if not as_json:
        click.echo()


def _visible(text: str) -> str:
    """Keep control characters that a model may write from steering the user's terminal."""
    if not sys.stdout.isatty():
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with a time estimate on standard error; nothing when not a terminal."""
    hidden = not sys.stderr.isatty()
    if hidden:
        click.echo(f"{label} ...", err=True)
    with click.progressbar(
        length=total, label=f"{label:24}", file=sys.stderr, show_eta=True, hidden=hidden
    ) as bar:
        yield bar.update
