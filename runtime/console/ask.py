"""The commands that ask the model: complete and chat."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import click

from ..engine.sampling import Sampling
from ..errors import OptionError, PromptError, RefactEdgeError
from ..model import Model
from ..opening.demo import demo_bundle
from ..opening.load import load
from ..opening.plan import PREFILL
from ..stream import Stream
from ..text.cursor import decode_text, split_at, split_marker
from ..text.endings import Endings
from .cli import PATH, engine_option
from .terminal import echo


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
            echo("using the demo bundle, a toy model; name another with --bundle", err=True)
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


_OPTIONS = (
    click.option("--bundle", type=PATH, help="The bundle's folder; the demo's by default."),
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
        "--caches", type=PATH, help="A folder that keeps what was read (your text) for next time."
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


@click.command()
@click.argument("file", type=PATH, required=False)
@click.option("--line", type=int, help="Line of the cursor in FILE, from 1.")
@click.option("--column", type=int, help="Column of the cursor, from 1, in characters.")
@click.option("--prefix", help="Text before the cursor, in place of FILE.")
@click.option("--suffix", help="Text after the cursor, in place of FILE.")
@click.option("--marker", default="<CURSOR>", show_default=True, help="The cursor, in stdin.")
@click.option("--extra", type=PATH, multiple=True, help="Another open file; may be repeated.")
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


@click.command()
@click.argument("question", required=False)
@click.option("--system", help="The system message.")
@_generation_options
def chat(question: str | None, system: str | None, asked: Asked) -> None:
    """Answer QUESTION, or talk when there is none and a terminal.

    Ctrl-C ends an answer, Ctrl-D (on Windows Ctrl-Z, Enter) the conversation.

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
    """Answer line by line, until the input ends."""
    echo(f"Ctrl-C ends an answer, {_end_key()} the conversation.", err=True)
    while True:
        try:
            if (line := input("you> ")).strip():
                answer(line)
        except EOFError:
            echo()
            return
        except RefactEdgeError as error:
            echo(f"error: {error}", err=True)
        except KeyboardInterrupt:
            echo(f"\n({_end_key()} ends the conversation)", err=True)


def _end_key() -> str:
    """Return what a user types to end the input."""
    return "Ctrl-Z, Enter" if sys.platform == "win32" else "Ctrl-D"


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
        echo(f"reading the text with {marker} in it; end with {_end_key()}", err=True)
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
            echo(json.dumps(told))
    if not as_json:
        echo()


def _visible(text: str) -> str:
    """Keep control characters that a model may write from steering the user's terminal."""
    if not sys.stdout.isatty():
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)
