"""The public way in: load a bundle, complete at a cursor, chat, continue a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from .annotated import checked
from .bundle.contract import HYBRID, HYBRID_READER, HYBRID_WRITER, Bundle
from .dispatch import Dispatcher
from .engine.cancel import CancelToken
from .engine.disk_cache import Saved
from .engine.pace import Paced
from .engine.prefix import PrefixCache
from .engine.sampling import Sampling, sampling_defaults
from .engine.session import Session
from .engine.timelimit import TimeLimit
from .engine.turns import Turns
from .errors import BundleError, OptionError
from .info import ModelInfo
from .stream import Stream, Usage
from .text.abilities import abilities_of
from .text.completion import CursorPrompts, window_at
from .text.conversation import conversation_ids
from .text.cursor import Cursor, OpenFile
from .text.endings import Endings
from .text.limits import Limits, check_stops
from .text.loops import LoopScanner
from .text.messages import Message, goes_on
from .text.prompts import Layouts
from .text.stops import AnswerTrimmer
from .text.tokens import Tokens

CHAT_MAX_TOKENS = 512
NO_LIMITS = Limits()


class Model:
    """A loaded model. Its methods may be called from several threads at once.

    `close` gives its memory back, as leaving a `with` block does.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: str,
        session: Session,
        *,
        lookup: bool = True,
        saved: Saved | None = None,
    ) -> None:
        self.bundle = bundle
        self.variant = variant
        self.layouts = Layouts.from_manifest(bundle.prompts)
        self.tokens = Tokens(bundle.path / "tokenizer.json")
        self.session = session
        self._paced = Paced(session)
        self._caches = PrefixCache(session.new_cache, saved=saved)
        self._turns = Turns()
        self._closed = CancelToken()
        self._dispatcher = Dispatcher(
            self._paced,
            self._caches,
            self._turns,
            self.tokens,
            self.layouts,
            closed=self._closed,
            lookup=lookup,
        )
        self._prompts = CursorPrompts(self.tokens, self.layouts)
        self.tokens.check_specials(self.layouts.special_ids)
        if self.tokens.size != bundle.sizes.tokens:
            raise BundleError(
                f"{bundle.path}: tokenizer.json has {self.tokens.size} tokens, the manifest says "
                f"{bundle.sizes.tokens}; export the model again"
            )
        self.sampling, self._max_tokens = sampling_defaults(bundle.sampling, bundle.path)

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled, with a reason in place of a list of types.

        Raises:
            OptionError: always.

        """
        raise OptionError(
            "a model holds memory and threads of its process, and cannot be copied or pickled; "
            "use one from several threads, or load the bundle again where it is needed"
        )

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back memory, threads and the bundle's files; may be called again.

        What another thread generates ends, cancelled, at its next token.
        """
        self._closed.cancel()
        self.session.close()
        self._caches.drop()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.cancelled

    def info(self) -> ModelInfo:
        """Return what the model is, and what computes it; of a closed one, too."""
        abilities = abilities_of(self.layouts, self.tokens)
        return ModelInfo(
            self.bundle.name or self.bundle.path.name,
            self.bundle.architecture,
            self.variant,
            self.device,
            self.engine,
            self.context_tokens,
            sum(self.bundle.variants[part].bytes for part in self.parts),
            abilities.fills,
            abilities.chats,
        )

    @property
    def device(self) -> str:
        """The device it truly runs on: cpu or cuda."""
        return self.session.device

    @property
    def engine(self) -> str:
        """What computes: native kernels or onnxruntime, and of which kind or version."""
        return self.session.engine

    @property
    def parts(self) -> tuple[str, ...]:
        """The bundle's variants that are open: hybrid's are two."""
        return (HYBRID_READER, HYBRID_WRITER) if self.variant == HYBRID else (self.variant,)

    @property
    def context_tokens(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.bundle.sizes.context

    @checked
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
        endings: Endings | None = None,
        allow_empty: bool = True,
        heal: bool | None = None,
        prompt_ms: float | None = None,
        total_ms: float | None = None,
        top_logprobs: int | None = None,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        """Fill the hole between `prefix` and `suffix`; see `Cursor`, `Limits` and `complete_at`.

        Raises:
            OptionError: when an option has no such value.
            PromptError: when `max_tokens` leaves no room for a prompt.

        """
        return self.complete_at(
            Cursor(prefix, suffix, extra, filename, order, multiline),
            Limits(max_tokens, prompt_ms, total_ms, stop, endings),
            allow_empty=allow_empty,
            heal=heal,
            top_logprobs=top_logprobs,
            sampling=sampling,
            cancel=cancel,
        )

    @checked
    def complete_at(
        self,
        cursor: Cursor,
        limits: Limits = NO_LIMITS,
        *,
        allow_empty: bool = True,
        heal: bool | None = None,
        top_logprobs: int | None = None,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        r"""Write what belongs at a cursor.

        Text far from the cursor is dropped when it does not fit the context, or cannot be evaluated
        in time; other open files get at most a quarter of the context. The model sees `\n` at line
        ends; the answer has `\r\n` where the file has.

        Args:
            cursor: what stands around the cursor.
            limits: where the text ends.
            allow_empty: False forbids the end of text as the first new token.
            heal: True generates the last token before the cursor again, starting with the same
                characters, so that the model need not go on from a broken word; None does so where
                the cursor stands behind a letter, a digit or an underscore.
            top_logprobs: record each new token's log-probability in `Stream.scores`, beside so many
                of the likeliest tokens.
            sampling: None takes the model's default.
            cancel: ends the generation from another thread.

        Raises:
            OptionError: when an option has no such value.
            PromptError: when `max_tokens` leaves no room for a prompt.

        """
        new = self._new_tokens(limits.max_tokens, self._max_tokens)
        window = window_at(cursor, self.context_tokens)
        time_limit = TimeLimit.starting_now(limits.prompt_ms, limits.total_ms)
        prompt = self._prompts.prompt(
            window,
            self.context_tokens - new,
            heal=heal,
            fits=self._dispatcher.fits(time_limit.prompt_ms),
        )
        endings = limits.endings or Endings()
        request = replace(
            self._dispatcher.request(
                prompt.ids, new, sampling or self.sampling, cancel, allow_empty=allow_empty
            ),
            texts=prompt.texts if self._dispatcher.lookup else None,
            allowed=self._dispatcher.healing(prompt.typed),
            least_probability=endings.least_probability,
            top_logprobs=top_logprobs,
            expired=time_limit.expired,
        )
        return self._dispatcher.stream(
            request,
            limits.stops(multiline=cursor.multiline),
            endings.scanners(window.prefix, window.suffix),
            skip=len(prompt.typed),
            line_end=window.line_end,
        )

    @checked
    def warm(
        self,
        prefix: str,
        suffix: str = "",
        *,
        extra: Sequence[OpenFile] = (),
        filename: str = "",
        order: str | None = None,
        multiline: bool = True,
        max_tokens: int | None = None,
        heal: bool | None = None,
        cancel: CancelToken | None = None,
    ) -> Usage:
        """Evaluate the prompt of a completion ahead: `warm_at`, in one call.

        Raises:
            OptionError: when an option has no such value.
            PromptError: when `max_tokens` leaves no room for a prompt.

        """
        cursor = Cursor(prefix, suffix, extra, filename, order, multiline)
        return self.warm_at(cursor, max_tokens, heal=heal, cancel=cancel)

    @checked
    def warm_at(
        self,
        cursor: Cursor,
        max_tokens: int | None = None,
        *,
        heal: bool | None = None,
        cancel: CancelToken | None = None,
    ) -> Usage:
        """Evaluate the prompt that `complete_at` would, so that a later call finds it cached.

        Call it when a file was opened, and in pauses. While a suggestion is on screen, call
        `warm(prefix + suggestion, suffix)`: if it is accepted, one or two tokens are left to
        prefill. It returns when the prompt is evaluated, or a few tokens after another thread has
        called the model; what was evaluated by then is cached. The usage says how many tokens the
        prompt has, and how many of them were cached before.

        Raises:
            OptionError: when an option has no such value.
            PromptError: when `max_tokens` leaves no room for a prompt.

        """
        new = self._new_tokens(max_tokens, self._max_tokens)
        window = window_at(cursor, self.context_tokens)
        prompt = self._prompts.prompt(window, self.context_tokens - new, heal=heal)
        return self._dispatcher.warm(prompt.ids, cancel)

    def save_caches(self) -> None:
        """Write the KV caches to the folder of `load(caches=...)`, if one was named.

        Raises:
            OptionError: when the folder cannot be written.

        """
        self._caches.save()

    @checked
    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        loop: bool = True,
        top_logprobs: int | None = None,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        """Answer the last of `messages`, each with a role (system, user, assistant) and content.

        When that is the assistant's, it goes on: the text is what follows on it. The oldest
        exchanges are dropped when the conversation outgrows the context. With `loop`, an answer
        ends where it goes round in circles.

        Raises:
            OptionError: when a role is unknown, or the last message is empty.
            PromptError: when the last question alone does not fit.

        """
        new = self._new_tokens(max_tokens, min(CHAT_MAX_TOKENS, self.context_tokens // 2))
        room = self.context_tokens - new
        ids = conversation_ids(messages, self.layouts, self.tokens.encode, room)
        request = self._dispatcher.request(ids, new, sampling or self.sampling, cancel)
        request = replace(request, top_logprobs=top_logprobs)
        check_stops(stop)
        return self._dispatcher.stream(
            request,
            [*stop, *self.layouts.chat_stops],
            [LoopScanner()] if loop else [],
            trimmer=AnswerTrimmer(started=goes_on(messages)),
        )

    @checked
    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        special: bool = False,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        allow_empty: bool = True,
        top_logprobs: int | None = None,
        score_prompt: bool = False,
        sampling: Sampling | None = None,
        cancel: CancelToken | None = None,
    ) -> Stream:
        """Continue `prompt`, ids as they are, or a text behind what the model's prompts begin with.

        Args:
            prompt: a text or its ids.
            special: parse special tokens in a text.
            max_tokens: the most new tokens; 0 only evaluates the prompt, None is the model's
                default.
            stop: strings that end the text.
            allow_empty: False forbids the end of text as the first new token.
            top_logprobs: record each new token's log-probability in `Stream.scores`, beside so many
                of the likeliest tokens.
            score_prompt: Score the prompt's tokens too. Disables prefix reuse: the whole prompt is
                evaluated.
            sampling: None takes the model's default.
            cancel: ends the generation from another thread.

        Raises:
            OptionError: when an option has no such value, or an id is none of the model's.
            PromptError: when the prompt is empty or does not fit the context.

        """
        ids = self._ids(prompt, special=special)
        new = 0 if max_tokens == 0 else self._new_tokens(max_tokens, self._max_tokens)
        request = replace(
            self._dispatcher.request(
                ids, new, sampling or self.sampling, cancel, allow_empty=allow_empty
            ),
            top_logprobs=top_logprobs,
            score_prompt=score_prompt,
        )
        return self._dispatcher.stream(request, stop)

    def sampling_with(self, **changes: float | None) -> Sampling:
        """Return the model's default sampling with some values replaced; None leaves one."""
        values = {name: value for name, value in changes.items() if value is not None}
        return replace(self.sampling, **values)  # type: ignore[arg-type]

    def _ids(self, prompt: str | Sequence[int], *, special: bool) -> list[int]:
        if isinstance(prompt, str):
            return self.layouts.text_ids(
                prompt, self.tokens.encode_special if special else self.tokens.encode
            )
        self.tokens.check_ids(prompt)
        return list(prompt)

    def _new_tokens(self, max_tokens: int | None, default: int) -> int:
        if max_tokens is None:
            return min(default, self.context_tokens // 2)
        if not 0 < max_tokens < self.context_tokens:
            raise OptionError(
                f"max_tokens {max_tokens}; expected 1 to {self.context_tokens - 1}, as the context "
                f"holds {self.context_tokens} tokens"
            )
        return max_tokens
