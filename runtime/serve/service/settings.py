"""What the server's user decides once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import OptionError
from .origins import pattern_of

_OPTIONS = {"max_body_bytes": "max-body"}  # as they are typed, where that is not the same
_ABOVE_0 = (
    *("slots", "max_body_bytes", "max_connections", "receive_seconds"),
    *("max_tokens", "max_seconds", "idle_seconds"),
)
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:]+\]")

LOOPBACK = "127.0.0.1"
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True)
class Settings:
    """Which requests are answered, and how.

    Args:
        name: of the model, as it is listed; requests may say any.
        slots: requests that are computed at once, sharing the same cores.
        queue: requests that may wait; one more is answered 503.
        max_body_bytes: of a request; of all at once, four times as much.
        max_connections: open at once, or fewer where descriptors are few; one more is answered 503.
        receive_seconds: within which a request's head must come, and 1 KiB more of its body.
        max_tokens: the most new tokens, also of a request that asks for more.
        max_seconds: time limit for computing a request; its text by then is the answer.
        idle_seconds: after which an unused model leaves memory; None for never.
        honour_prompt_time: obey llama.cpp's `t_max_prompt_ms`. Plugins send 500, which leaves a
            slow machine almost no context.
        parse_special: parse special tokens in raw prompts, as clients that write them expect.
        log_text: put requests' and answers' text in the log.
        api_key: which requests must bring, if any.
        hosts: names besides loopback's by which the server may be called.
        origins: web pages of other origins that may call it, or patterns; see origins.py.

    Raises:
        OptionError: when a number is not above 0, or an origin or host is none.

    """

    name: str = "model"
    slots: int = 2
    queue: int = 64
    max_body_bytes: int = 8 * 2**20
    max_connections: int = 512
    receive_seconds: float = 20
    max_tokens: int = 2048
    max_seconds: float = 300
    idle_seconds: float | None = None
    honour_prompt_time: bool = False
    parse_special: bool = True
    log_text: bool = False
    api_key: str | None = None
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in _ABOVE_0}
        problems = [
            f"{_OPTIONS.get(name, name.replace('_', '-'))} {n}; expected a number above 0"
            for name, n in numbers.items()
            if n is not None and not n > 0
        ]
        if self.queue < 0:
            problems.append(f"queue {self.queue}; expected 0 or more")
        if problems:
            raise OptionError(", ".join(problems), problems=problems)
        pattern_of(self.origins)
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise OptionError(f"host {host!r}; expected a name without a port")
