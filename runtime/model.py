"""The public way in: load a bundle, complete at a cursor, chat, continue a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .bundle import Bundle
from .engine import Generation, Request
from .errors import BundleError, OptionError, PromptError
from .healing import Healing, Spellings
from .hybrid import Hybrid
from .lookup import NO_ID
from .prefix import PrefixCache
from .prompts import Layouts, Message, clean_messages
from .sampling import Sampling
from .session import Session
from .stops import AnswerTrimmer, StopScanner
from .stream import CancelToken, Stream
from .tokens import Tokens, Utf8Stream
from .trim import trim

CHAT_MAX_TOKENS = 512
EXTRA_SHARE = 4  # other files get at most one part in four of the context

LINE_END, BLANK_LINE = "\n", "\n\n"

OpenFile = tuple[str, str]  # file name and text


class Model:
    """A loaded model. Its methods may be called from several threads at once."""

    def __init__(
        self, bundle: Bundle, variant: str, session: Session | Hybrid, *, lookup: bool = True
    ) -> None:
        self._lookup = lookup
        self.bundle = bundle
        self.variant = variant
        self.layouts = Layouts.from_manifest(bundle.prompts)
        self.tokens = Tokens(bundle.path / "tokenizer.json")
        self.session = session
        self._spellings = Spellings(self.tokens, self.layouts.special_ids)
        self._caches = PrefixCache(session.new_cache)
        self.tokens.check_specials(self.layouts.special_ids)
        if self.tokens.size != bundle.sizes.tokens:
            raise BundleError(
                f"{bundle.path}: tokenizer.json has {self.tokens.size} tokens, the manifest says "
                f"{bundle.sizes.tokens}; export the model again"
            )
        defaults = dict(bundle.sampling)
        try:
            self._max_tokens = int(defaults.pop("max_tokens"))
            self.sampling = Sampling(**defaults)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{bundle.path}: unusable sampling defaults ({error})") from error

    @property
    def device(self) -> str:
        """The device it truly runs on: cpu or cuda."""
        return self.session.device

    @property
    def context_tokens(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.bundle.sizes.context

    def complete(
        self,
        prefix: str,
        suffix: str = "",
        *,
        extra: Sequence[OpenFile] = (),
        filename: str = "",
        order: str | None = None,
        multiline: bool = True,
        max_tokens: int | None = None,
        stop: Sequence[str] | None = None,
        allow_empty: bool = True,
        heal: bool = False,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        r"""Fill the hole between `prefix` and `suffix`.

        Text far from the cursor is dropped when it does not fit the context. The model sees plain
        line ends; the answer has Windows ones where the file has.

        Args:
            prefix: the file up to the cursor.
            suffix: the file from the cursor on.
            extra: other open files as (name, text); cut to a quarter of the context.
            filename: name of the file itself, used only beside `extra`.
            order: spm (suffix first) or psm; None takes the model's default.
            multiline: False completes the line only: what follows the cursor on it is not
                shown to the model, and the text ends before the next line.
            max_tokens: the most new tokens; None takes the model's default.
            stop: strings that end the text; None means a blank line. When not `multiline`, a
                line end always ends it too.
            allow_empty: False forbids the end of text as the first new token.
            heal: take the last token before the cursor back and write it anew, so that the model
                need not go on from a broken word.
            sampling: None takes the model's default.
            cancel: ends the generation from another thread.

        Raises:
            OptionError: when an option has no such value.
            PromptError: when `max_tokens` leaves no room for a prompt.

        """
        _check_stops(stop)
        windows = "\r\n" in prefix or "\r\n" in suffix
        prefix, suffix = _plain(prefix), _plain(suffix)
        stop = None if stop is None else tuple(map(_plain, stop))
        order = order or self.layouts.fim_default
        new = self._new_tokens(max_tokens, self._max_tokens)
        if not multiline:
            suffix = suffix[suffix.find(LINE_END) :] if LINE_END in suffix else ""
            stop = (LINE_END, *(stop or ()))
        elif stop is None:
            stop = (BLANK_LINE,)
        room = self.context_tokens - new - self.layouts.fim_overhead(order)
        if room < 1:
            raise PromptError(
                f"max_tokens {new} leaves no room for a prompt in a context of "
                f"{self.context_tokens} tokens; ask for fewer"
            )
        shown = self._extra_ids(extra, filename, room // EXTRA_SHARE) if extra else []
        above, below = trim(prefix, suffix, room - len(shown), self.tokens.encode)
        healing = None
        if heal and above:
            healing = Healing(self.tokens.to_bytes(above.pop()), self.tokens, self._spellings)
        ids = self.layouts.fim_ids(order, [*shown, *above], below)
        texts = [*shown, NO_ID, *below, NO_ID, *above]
        forbidden = () if allow_empty else (self.layouts.end_id,)
        return self._stream(
            ids,
            new,
            sampling,
            stop,
            cancel,
            forbidden_first=forbidden,
            texts=texts,
            healing=healing,
            line_end="\r\n" if windows else "\n",
        )

    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        """Answer the last of `messages`, each with a role (system, user, assistant) and content.

        The oldest exchanges are dropped when the conversation outgrows the context.

        Raises:
            OptionError: when a role is unknown, or the last message is not the user's.
            PromptError: when the last question alone does not fit.

        """
        if isinstance(messages, str):  # type: ignore[unreachable] # an easy mistake
            raise OptionError("messages is a string; expected a list with a role and content each")
        new = self._new_tokens(max_tokens, min(CHAT_MAX_TOKENS, self.context_tokens // 2))
        turns = [{"role": role, "content": content} for role, content in clean_messages(messages)]
        ids = self.layouts.chat_ids(turns, self.tokens.encode)
        while len(ids) + new > self.context_tokens and (shorter := _drop_oldest(turns)):
            turns = shorter
            ids = self.layouts.chat_ids(turns, self.tokens.encode)
        return self._stream(ids, new, sampling, stop, cancel, trimmer=AnswerTrimmer())

    def generate(
        self,
        prompt: str,
        *,
        special: bool = False,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        allow_empty: bool = True,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        """Continue `prompt` as it is; `special` parses special tokens in it.

        Without `allow_empty` the first new token is not the end of text.

        Raises:
            PromptError: when the prompt is empty or does not fit the context.

        """
        encode = self.tokens.encode_special if special else self.tokens.encode
        new = self._new_tokens(max_tokens, self._max_tokens)
        forbidden = () if allow_empty else (self.layouts.end_id,)
        return self._stream(encode(prompt), new, sampling, stop, cancel, forbidden_first=forbidden)

    def _new_tokens(self, asked: int | None, default: int) -> int:
        if asked is None:
            return min(default, self.context_tokens // 2)
        if not 0 < asked < self.context_tokens:
            raise OptionError(
                f"max_tokens {asked}; expected 1 to {self.context_tokens - 1}, as the context "
                f"holds {self.context_tokens} tokens"
            )
        return asked

    def _extra_ids(self, extra: Sequence[OpenFile], filename: str, budget: int) -> list[int]:
        """Return other files and the name of the file itself; the first files matter most."""
        encode = self.tokens.encode
        own = self.layouts.file_ids(filename, encode)
        if len(own) >= budget:
            return []
        files: list[int] = []
        for name, text in extra:
            head = self.layouts.file_ids(name, encode)
            room = budget - len(files) - len(head) - len(own)
            if room <= 0:
                break
            files += [*head, *encode(_plain(text).removesuffix("\n") + "\n")[:room]]
        return [*files, *own]

    def _stream(
        self,
        ids: list[int],
        max_new: int,
        sampling: Sampling | None,
        stop: Sequence[str],
        cancel: CancelToken | None,
        *,
        forbidden_first: tuple[int, ...] = (),
        texts: Sequence[int] = (),
        healing: Healing | None = None,
        trimmer: AnswerTrimmer | None = None,
        line_end: str = LINE_END,
    ) -> Stream:
        _check_stops(stop)
        token = cancel or CancelToken()
        request = Request(
            ids=ids,
            sampling=sampling or self.sampling,
            max_new=max_new,
            stop_ids=self.layouts.special_ids,
            forbidden_first=forbidden_first,
            texts=(texts or ids) if self._lookup else None,
            allowed=healing.allowed if healing else None,
            cancelled=lambda: token.cancelled,
        )
        generation = Generation(self.session, self._caches, request)
        decoder = Utf8Stream(self.tokens, skip=len(healing.typed) if healing else 0)
        return Stream(generation, decoder, StopScanner(stop), trimmer, line_end)

    def sampling_with(self, **changes: float | None) -> Sampling:
        """Return the model's default sampling with some values replaced; None leaves one."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self.sampling, **given)  # type: ignore[arg-type]


def _check_stops(stop: Sequence[str] | None) -> None:
    if isinstance(stop, str):
        raise OptionError(f"stop {stop!r} is a string; expected a list of strings")


def _plain(text: str) -> str:
    """Return text with the line ends that the model has read."""
    return text.replace("\r\n", LINE_END)


def _drop_oldest(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the turns without the oldest exchange; empty when only the question is left."""
    system = [turn for turn in turns if turn["role"] == "system"]
    rest = [turn for turn in turns if turn["role"] != "system"]
    later = next((i for i, turn in enumerate(rest) if i > 0 and turn["role"] == "user"), None)
    return [] if later is None else [*system, *rest[later:]]
