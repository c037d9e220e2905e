"""The commands that ask the model: complete and chat."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from ..errors import OptionError, PromptError, RefactEdgeError
from ..model import Model
from ..stream import Stream
from ..text.cursor import Cursor, OpenFile, decode_text, split_at, split_marker
from ..text.endings import Endings
from ..text.limits import Limits
from ..text.prompts import WITHOUT_HOLES
from .options import (
    ModelOptions,
    SamplingOptions,
    bundle_option,
    gathered,
    model_options,
    sampling_options,
)
from .params import PATH
from .terminal import Termination, echo


@dataclass(frozen=True)
class AnswerOptions:
    """How long an answer may be, and how it is printed."""

    max_tokens: int | None
    stop: tuple[str, ...]
    as_json: bool


answer_options = gathered(
    "answer",
    AnswerOptions,
    (
        click.option("--max-tokens", type=int, help="The most new tokens."),
        click.option("--stop", multiple=True, help="End before this text; may be repeated."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end."),
    ),
)


@dataclass(frozen=True)
class CursorOptions:
    """Where the cursor is, and what the model sees around it."""

    file: Path | None
    line: int | None
    column: int | None
    prefix: str | None
    suffix: str | None
    marker: str
    extra: tuple[Path, ...]
    order: str | None
    single_line: bool

    def cursor(self) -> Cursor:
        """Return the cursor, from whichever of the three ways was used.

        Raises:
            OptionError: when ways are mixed, or one lacks a part.
            PromptError: when a file cannot be read, or the cursor is outside of its text.

        """
        before, after = self._around()
        extra: list[OpenFile] = [(path.name, _read(path)) for path in self.extra]
        name = self.file.name if self.file else ""
        return Cursor(before, after, extra, name, self.order, multiline=not self.single_line)

    def _around(self) -> tuple[str, str]:
        """Return the text before and after the cursor."""
        file, line, column = self.file, self.line, self.column
        if self.prefix is not None or self.suffix is not None:
            if file is not None or line is not None or column is not None:
                raise OptionError("give FILE with --line and --column, or --prefix and --suffix")
            return self.prefix or "", self.suffix or ""
        if file is not None:
            if line is None or column is None:
                raise OptionError(f"{file} needs --line and --column: where the cursor is in it")
            return split_at(_read(file), line, column, str(file))
        if line is not None or column is not None:
            raise OptionError("--line and --column need a FILE")
        if sys.stdin is not None and sys.stdin.isatty():
            echo(f"reading the text with {self.marker} in it; end with {_end_key()}", err=True)
        return split_marker(_standard_input(), self.marker, "standard input")


cursor_options = gathered(
    "where",
    CursorOptions,
    (
        click.argument("file", type=PATH, required=False),
        click.option("--line", type=int, help="Line of the cursor in FILE, from 1."),
        click.option("--column", type=int, help="Column of the cursor, from 1, in characters."),
        click.option("--prefix", help="Text before the cursor, in place of FILE."),
        click.option("--suffix", help="Text after the cursor, in place of FILE."),
        click.option(
            "--marker",
            default="<CURSOR>",
            show_default=True,
            help="What stands for the cursor in the text on standard input.",
        ),
        click.option(
            "--extra", type=PATH, multiple=True, help="Another open file; may be repeated."
        ),
        click.option("--order", help="Of the prompt's parts, as psm; the model's own by default."),
        click.option("--single-line", is_flag=True, help="Complete the cursor's line only."),
    ),
)


@dataclass(frozen=True)
class CompletionOptions:
    """How a completion starts and ends."""

    no_empty: bool
    heal: bool | None
    block: bool
    prompt_ms: float | None
    total_ms: float | None

    def limits(self, answer: AnswerOptions) -> Limits:
        """Return where the completion ends."""
        return Limits(
            answer.max_tokens,
            self.prompt_ms,
            self.total_ms,
            answer.stop or None,
            Endings(block=self.block),
        )


completion_options = gathered(
    "completion",
    CompletionOptions,
    (
        click.option("--no-empty", is_flag=True, help="Do not let the completion be empty."),
        click.option(
            "--heal/--no-heal",
            default=None,
            help="Generate the token before the cursor again, as it may be a broken word. By "
            "default where a letter, a digit or _ is before the cursor.",
        ),
        click.option("--block/--no-block", default=False, help="End with the indented block."),
        click.option("--prompt-ms", type=float, help="Time limit for the prompt, in ms."),
        click.option("--total-ms", type=float, help="Time limit for the whole request, in ms."),
    ),
)


@click.command()
@cursor_options
@completion_options
@model_options(bundle_option)
@sampling_options
@answer_options
def complete(
    where: CursorOptions,
    completion: CompletionOptions,
    model: ModelOptions,
    sampling: SamplingOptions,
    answer: AnswerOptions,
) -> None:
    """Write what belongs at the cursor.

    The cursor is a line and a column in FILE, a marker in the text on standard input, or lies
    between --prefix and --suffix.

    \b
    Examples:
      refact-edge complete hello.py --line 2 --column 12
      printf 'def add(a, b):\\n    return <CURSOR>\\n' | refact-edge complete
      refact-edge complete --prefix 'def add(a, b):' --suffix '' --temperature 0
    """
    cursor = where.cursor()
    opened = _open(model)
    if cursor.suffix.strip() and not opened.layouts.shows_suffix(cursor.order):
        echo(f"note: {WITHOUT_HOLES}", err=True)
    stream = opened.complete_at(
        cursor,
        completion.limits(answer),
        allow_empty=not completion.no_empty,
        heal=completion.heal,
        sampling=sampling.sampling(opened),
    )
    try:
        _print(opened, stream, answer.as_json)
    finally:
        opened.save_caches()


@click.command()
@click.argument("question", required=False)
@click.option("--system", help="The system message.")
@model_options(bundle_option)
@sampling_options
@answer_options
def chat(
    question: str | None,
    system: str | None,
    model: ModelOptions,
    sampling: SamplingOptions,
    answer: AnswerOptions,
) -> None:
    """Answer a question, or hold a conversation.

    Without QUESTION the text on standard input is the question; at a terminal it is a conversation,
    in which Ctrl-C ends an answer, and Ctrl-D (on Windows Ctrl-Z, Enter) the conversation.

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
        if not question.strip():
            raise PromptError("standard input is empty; expected a question there, or as QUESTION")
    opened = _open(model)
    drawing = sampling.sampling(opened)

    # Line editing and a history of the questions, where the system has them.
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401

    def reply(text: str) -> None:
        turns = [*history, {"role": "user", "content": text}]
        stream = opened.chat(
            turns, max_tokens=answer.max_tokens, stop=answer.stop, sampling=drawing
        )
        _print(opened, stream, answer.as_json)
        # Only now: a question that was refused or cut off is not part of the conversation.
        history[:] = [*turns, {"role": "assistant", "content": stream.text}]

    try:
        if talking:
            _talk(reply)
        else:
            reply(question or "")
    finally:
        opened.save_caches()


def _open(model: ModelOptions) -> Model:
    """Open the bundle that was named, or the demo's."""
    return model.load(model.folder(lambda line: echo(f"{line} with --bundle", err=True)))


def _talk(reply: Callable[[str], None]) -> None:
    """Answer line by line, until the input ends."""
    echo(f"Ctrl-C ends an answer, {_end_key()} the conversation.", err=True)
    while True:
        try:
            if (line := input("you> ")).strip():
                reply(line)
        except EOFError:
            echo()
            return
        except RefactEdgeError as error:
            echo(f"error: {error}", err=True)
        except Termination:
            raise
        except KeyboardInterrupt:
            echo(f"\n({_end_key()} ends the conversation)", err=True)


def _end_key() -> str:
    """Return what a user types to end the input."""
    return "Ctrl-Z, Enter" if sys.platform == "win32" else "Ctrl-D"


def _standard_input() -> str:
    if sys.stdin is None:
        raise PromptError("standard input is closed; expected the text there")
    return decode_text(sys.stdin.buffer.read(), "standard input")


def _read(path: Path) -> str:
    try:
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise PromptError(f"{path} cannot be read: {error.strerror}") from error


def _print(model: Model, stream: Stream, as_json: bool) -> None:
    """Print pieces as they come, or one JSON object at the end, also when interrupted."""
    try:
        for piece in stream:
            if not as_json:
                click.echo(_visible(piece), nl=False)
                sys.stdout.flush()
    finally:
        stream.close()
        if as_json:
            summary = {
                "text": stream.text,
                "finish": stream.finish,
                "usage": asdict(stream.usage),
                "variant": model.variant,
                "device": model.device,
            }
            echo(json.dumps(summary))
    if not as_json:
        echo()


def _visible(text: str) -> str:
    """Keep control characters that a model may write from steering the user's terminal."""
    if not sys.stdout.isatty():
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)
