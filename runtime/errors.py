"""Everything that refact-edge raises for a reason its user can act on.

RefactEdgeError
├── CheckpointError     a checkpoint folder is not what it should be
├── ExportError         a bundle could not be written
├── BundleError         a bundle is missing, incomplete, altered or of another version
├── DeviceError         a device cannot be used
├── EvalError           an evaluation's problems, sources or results are not what they should be
├── SandboxError        generated code cannot be run safely here
├── PromptError         a prompt does not fit, or a cursor is outside its file
│   └── ContextError    a prompt has more tokens than the context holds
├── OptionError         an option has a value that makes no sense (also a ValueError)
├── ClosedError         a model was closed (also a ValueError)
├── ProtocolError       an editor's bytes are no messages of the language server protocol
├── BusyError           a server has as many requests as it takes
├── ReplacedError       a newer request of the same client took this one's place
├── EndingError         a server ends while it answers
└── MissingExtraError   a package is not installed; names the extra that brings it

Each message says what was found, what was expected and what to do. Any other exception that
leaves the package is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: object) -> str:
    """Return what may hold names out of files as a terminal may show it, of whatever length.

    Escape sequences and signs that turn the direction of writing could make it say anything else.
    Line ends and tabs stay, other blanks become spaces.
    """
    written = str(text)
    return written if written.isprintable() else "".join(map(_harmless, written))


def _harmless(sign: str) -> str:
    if sign.isprintable() or sign in "\n\t":
        return sign
    return " " if sign.isspace() else "?"


def one_line(text: object, most: int = 200) -> str:
    """Return what somebody else wrote as it may stand in a message: one line, shown as it is.

    Control characters could otherwise move a terminal's cursor, and a long name hide all else.
    """
    line = " ".join(str(text).split())
    line = printable(line)
    return line if len(line) <= most else f"{line[: most - 3]}..."


class RefactEdgeError(Exception):
    """Base of all errors that a user can mend.

    `problems` are the things that are wrong, where the message lists several; else it is empty.
    """

    def __init__(self, message: str = "", *, problems: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class CheckpointError(RefactEdgeError):
    """A checkpoint folder is not what it should be."""


class ExportError(RefactEdgeError):
    """A bundle could not be written."""


class BundleError(RefactEdgeError):
    """A bundle is missing, incomplete, altered or of another version."""


class DeviceError(RefactEdgeError):
    """A device cannot be used."""


class EvalError(RefactEdgeError):
    """An evaluation's problems, sources or results are not what they should be."""


class SandboxError(RefactEdgeError):
    """Generated code cannot be run safely here."""


class PromptError(RefactEdgeError):
    """A prompt does not fit the context, or a cursor is outside its file."""


class ContextError(PromptError):
    """A prompt has more tokens than the context holds; tells how many both are."""

    def __init__(self, prompt_tokens: int, context_tokens: int) -> None:
        super().__init__(
            f"the prompt has {prompt_tokens} tokens and the context holds {context_tokens}, "
            "new tokens included; shorten the prompt"
        )
        self.prompt_tokens, self.context_tokens = prompt_tokens, context_tokens

    def __reduce__(self) -> tuple[type[ContextError], tuple[int, int]]:
        """Return how it is made again, in another process."""
        return type(self), (self.prompt_tokens, self.context_tokens)


class OptionError(RefactEdgeError, ValueError):
    """An option has a value that makes no sense."""


class ClosedError(RefactEdgeError, ValueError):
    """A model was closed, and computes no more."""

    def __init__(self) -> None:
        super().__init__("the model is closed; open it again by load")


class ProtocolError(RefactEdgeError):
    """An editor's bytes are no messages of the language server protocol."""


class BusyError(RefactEdgeError):
    """A server has as many requests as it takes."""


class ReplacedError(RefactEdgeError):
    """A newer request of the same client took this one's place."""


class EndingError(RefactEdgeError):
    """A server ends while it answers."""


class MissingExtraError(RefactEdgeError):
    """A package is not installed; `instead` says what to do where its extra cannot bring it."""

    def __init__(self, package: str, extra: str, instead: str = "") -> None:
        remedy = instead or f"install it with: pip install 'refact-edge[{extra}]'"
        super().__init__(f"{package} is not installed; {remedy}")


class RefactEdgeWarning(UserWarning):
    """Something works in another way than the options say: a fallback, a slow choice."""
