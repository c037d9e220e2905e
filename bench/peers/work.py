"""The pieces of work, and the order in which engines do them.

Every engine does a piece once before any does it again, and another one begins each round, so that
what else the machine does meets all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .engines import Runner
from .process import WorkerError
from .prompts import ANSWER, Prompt

# Does a piece of work; `ask` reaches the runner's worker. Returns seconds by what they measure.
Ask = Callable[..., dict[str, Any]]
Run = Callable[[Runner, Ask], Mapping[str, float]]

LENGTHS = (512, 2048)  # tokens of a prompt that is read from its first token on
DEPTHS = (64, 2048)  # tokens in the cache before those that are written
STEPS = 24  # tokens written one by one
AT_ONCE = 4  # a token and a draft of three
EDITS, WRITTEN = "edits of ", "decode"
PAUSED, OWN_STEP = "after a pause", "one token there"


@dataclass(frozen=True)
class Piece:
    """Some work, how many rounds it is done, and about how many tokens it costs."""

    name: str
    run: Run
    rounds: int
    tokens: int


def schedule(pieces: Sequence[Piece], runners: Sequence[Runner]) -> Iterator[tuple[Piece, Runner]]:
    """Yield who does what, in order."""
    for number in range(max((piece.rounds for piece in pieces), default=0)):
        shift = number % len(runners) if runners else 0
        for piece in pieces:
            if number < piece.rounds:
                yield from ((piece, runner) for runner in (*runners[shift:], *runners[:shift]))


def _slot(runner: Runner, tokens: int) -> str:
    """Return the slot for so many tokens: two, so that nobody need read a long prompt again."""
    return f"{runner.slot} {'deep' if tokens >= max(LENGTHS) else 'short'}"


def reading(ids: Sequence[int], rounds: int) -> Piece:
    """Read a prompt."""
    name = f"prefill {len(ids)}"

    def run(runner: Runner, ask: Ask) -> Mapping[str, float]:
        return {name: ask("prefill", slot=_slot(runner, len(ids)), ids=ids)["seconds"]}

    return Piece(name, run, rounds, len(ids))


def writing(ids: Sequence[int], depth: int, rounds: int) -> Piece:
    """Write some tokens behind others, one by one and as many at once as with a draft."""
    name, ids_fed = f"decode at {depth}", ids[: depth + STEPS]

    def run(runner: Runner, ask: Ask) -> Mapping[str, float]:
        request = {"slot": _slot(runner, depth), "ids": ids_fed, "depth": depth}
        return {
            name: ask("decode", **request)["seconds"],
            f"{name}, {AT_ONCE} at once": ask("decode", **request, at_once=AT_ONCE)["seconds"],
        }

    return Piece(name, run, rounds, 5 * STEPS)


def answer(
    runner: Runner, ask: Ask, prompt: Prompt, order: str = "", *, ahead: bool = False
) -> dict[str, Any]:
    """Have a runner answer a prompt its own way; the peers go on from the longest prefix.

    Without an `order` it is the model's own. With `ahead` one of ours then warms its cache with
    the answer, as in a pause.
    """
    order = order or next(iter(prompt.ids))
    if runner.ours:
        request = {"prefix": prompt.prefix, "suffix": prompt.suffix, "text": prompt.text}
        reply = ask("complete", **request, ahead=ahead)
        if reply["prompt"] != len(prompt.ids[order]) or not reply["exact"]:
            raise WorkerError(
                f"{runner.name} has {reply['prompt']} tokens where others have "
                f"{len(prompt.ids[order])}, or wrote something else"
            )
        return reply
    slot = f"{runner.slot} {order}"
    return ask("ask", slot=slot, ids=prompt.ids[order], text=prompt.text)


def keystroke(before: Prompt, after: Prompt, rounds: int) -> Piece:
    """Answer, and once more after some more characters; the second answer counts.

    Ours also with a pause between the two, in which it warms its cache with its first answer.
    """

    def run(runner: Runner, ask: Ask) -> Mapping[str, float]:
        times: dict[str, float] = {}
        for order in tuple(before.ids)[: None if runner.every_order else 1]:
            answer(runner, ask, before, order)
            reply = answer(runner, ask, after, order)
            times[f"keystroke to first token, {order}"] = reply["first_s"]
            times[f"keystroke to {ANSWER} tokens, {order}"] = reply["all_s"]
            if reply.get("one_s"):
                times[OWN_STEP] = reply["one_s"]
        if runner.ours:
            answer(runner, ask, before, ahead=True)
            reply = answer(runner, ask, after)
            times[f"keystroke to first token, {PAUSED}"] = reply["first_s"]
            times[f"keystroke to {ANSWER} tokens, {PAUSED}"] = reply["all_s"]
        return times

    return Piece("keystroke", run, rounds, 2000)


def replay(name: str, prompts: Sequence[Prompt]) -> Piece:
    """Answer all requests of a trace; the first one, which finds nothing cached, aside."""

    def run(runner: Runner, ask: Ask) -> Mapping[str, float]:
        replies = [answer(runner, ask, prompt) for prompt in prompts][1:]
        first = sum(reply["first_s"] for reply in replies)
        rest = sum(reply["all_s"] for reply in replies) - first
        return {
            f"{EDITS}{name}: keystroke to first token": first / len(replies),
            f"{EDITS}{name}: {WRITTEN}": rest / max(1, sum(reply["new"] - 1 for reply in replies)),
        }

    # Once, as it is many requests.
    return Piece(f"{EDITS}{name}", run, 1, 2000 + 40 * len(prompts))
