"""A stream read by an event loop, by a callback, and by a future."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import refact_edge
from refact_edge import Model, OptionError, Sampling

GREEDY = Sampling(temperature=0)
PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n"


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Model:
    return refact_edge.load(tiny_bundle)


@pytest.fixture(scope="module")
def text(model: Model) -> str:
    return "".join(_stream(model))


def _stream(model: Model, max_tokens: int = 24) -> refact_edge.Stream:
    ids = model.tokens.encode(PREFIX)
    return model.generate(ids, sampling=GREEDY, max_tokens=max_tokens, allow_empty=False)


async def _read(stream: refact_edge.Stream) -> list[str]:
    return [piece async for piece in stream]


def test_async_for_yields_the_same_pieces(model: Model) -> None:
    assert asyncio.run(_read(_stream(model))) == list(_stream(model))


def test_awaiting_a_stream_gives_its_text(model: Model, text: str) -> None:
    async def whole() -> tuple[str, int]:
        stream = _stream(model)
        return await stream, stream.usage.new

    assert asyncio.run(whole()) == (text, 24)


def test_many_are_awaited_at_once_by_a_thread_each(model: Model, text: str) -> None:
    async def several() -> list[str]:
        return await asyncio.gather(*(_stream(model) for _ in range(8)))

    before = threading.active_count()
    assert asyncio.run(several()) == [text] * 8
    time.sleep(0.05)
    assert threading.active_count() <= before


def test_the_event_loop_goes_on_meanwhile(model: Model) -> None:
    async def beats() -> int:
        done = asyncio.ensure_future(_stream(model, 200).__aiter__().__anext__())
        count = 0
        while not done.done():
            count += 1
            await asyncio.sleep(0)
        return count

    assert asyncio.run(beats()) > 1


def test_leaving_an_async_loop_ends_the_generation(model: Model) -> None:
    async def first() -> refact_edge.Stream:
        stream = _stream(model, 400)
        reading = stream.__aiter__()
        await reading.__anext__()
        await reading.aclose()  # type: ignore[attr-defined]
        return stream

    stream = asyncio.run(first())
    assert stream.finish == "cancelled"
    assert stream.usage.new < 400


def test_a_cancelled_task_ends_the_generation(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = model.session.step

    def slow(*arguments: Any) -> Any:
        time.sleep(0.01)
        return step(*arguments)

    monkeypatch.setattr(model.session, "step", slow)

    async def cancelled() -> refact_edge.Stream:
        stream = _stream(model, 400)
        task = asyncio.create_task(_read(stream))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return stream

    assert asyncio.run(cancelled()).finish == "cancelled"


def test_errors_arrive_where_the_stream_is_awaited(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("no memory for a step")

    stream = _stream(model)
    monkeypatch.setattr(model.session, "step", broken)
    with pytest.raises(MemoryError, match="no memory for a step"):
        asyncio.run(_read(stream))


def test_a_callback_gets_each_piece_and_the_future_the_text(model: Model, text: str) -> None:
    pieces: list[str] = []
    assert _stream(model).start(pieces.append).result(10) == text
    assert "".join(pieces) == text
    assert len(pieces) > 1


def test_what_a_callback_raises_is_in_the_future(model: Model) -> None:
    def broken(piece: str) -> None:
        raise LookupError(piece)

    stream = _stream(model)
    with pytest.raises(LookupError):
        stream.start(broken).result(10)
    assert stream.finish == "cancelled"


def test_a_future_ends_with_the_text_so_far_when_the_stream_is_closed(model: Model) -> None:
    stream, begun = _stream(model, 400), threading.Event()
    future = stream.start(lambda _: begun.set())
    assert begun.wait(10)
    stream.close()
    assert future.result(10) == stream.text
    assert stream.finish in ("cancelled", "stop")


def test_what_is_no_callback_is_refused_before_a_thread_begins(model: Model) -> None:
    with pytest.raises(OptionError, match=r"start: on_text 'print'; expected a Callable or None"):
        _stream(model).start("print")  # type: ignore[arg-type]
