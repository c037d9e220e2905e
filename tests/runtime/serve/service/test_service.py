"""Queue, slots, cancelling, replacing, and letting the model go."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from served import Serve, Served, serving

import refact_edge
from refact_edge.runtime.engine.cancel import CancelToken
from refact_edge.runtime.errors import BundleError, OptionError, ReplacedError
from refact_edge.runtime.model import Model
from refact_edge.runtime.serve.service.requests import GenerationOptions, go_on
from refact_edge.runtime.serve.service.service import Ask, Service
from refact_edge.runtime.serve.service.settings import Settings
from refact_edge.runtime.stream import Stream, Usage

LONG = {"prompt": "def add(a, b):\n" * 20, "max_tokens": 500, "temperature": 0}


def _wait(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


class _Slow:
    """Makes every step of a served model wait until it is let go."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        served.before_steps(lambda: self.go_on.wait(20), monkeypatch)


def _post(served: Served, answers: dict[str, int], name: str, **more: object) -> threading.Thread:
    def send() -> None:
        with httpx.Client(base_url=served.url, timeout=60) as http:
            headers = {"x-client-id": str(more.pop("client", ""))}
            body = {**LONG, "max_tokens": 2, **more}
            answers[name] = http.post("/v1/completions", json=body, headers=headers).status_code

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_more_requests_than_may_wait_are_answered_503(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, int] = {}
    with serve(slots=1, queue=1) as served:
        slow = _Slow(served, monkeypatch)
        threads = [_post(served, answers, "first")]
        _wait(lambda: served.service.running == 1)
        threads.append(_post(served, answers, "second"))
        _wait(lambda: served.service.waiting == 1)
        reply = served.post("/v1/completions", **LONG)
        assert reply.status_code == 503
        assert int(reply.headers["retry-after"]) >= 1
        assert "2 requests are being answered or wait" in reply.json()["error"]["message"]
        slow.go_on.set()
        for thread in threads:
            thread.join()
    assert answers == {"first": 200, "second": 200}


@pytest.mark.parametrize("waiting", [False, True], ids=["computing", "in the queue"])
def test_a_newer_request_of_a_client_takes_the_place_of_its_older_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, waiting: bool
) -> None:
    answers: dict[str, int] = {}
    with serve(slots=1) as served:
        slow = _Slow(served, monkeypatch)
        threads = []
        if waiting:
            threads.append(_post(served, answers, "other"))
            _wait(lambda: served.service.running == 1)
        threads.append(_post(served, answers, "older", client="me"))
        _wait(lambda: len(served.service._runs) == len(threads))
        threads.append(_post(served, answers, "newer", client="me"))
        if waiting:
            _wait(lambda: answers.get("older") == 409)
        else:
            _wait(lambda: len(served.service._runs) == 2)
        slow.go_on.set()
        for thread in threads:
            thread.join()
    assert answers == {"older": 409, "newer": 200} | ({"other": 200} if waiting else {})


def test_unnamed_clients_do_not_replace_each_other(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, int] = {}
    with serve(slots=1) as served:
        slow = _Slow(served, monkeypatch)
        threads = [_post(served, answers, str(number)) for number in range(3)]
        _wait(lambda: served.service.waiting == 2)
        slow.go_on.set()
        for thread in threads:
            thread.join()
    assert answers == {"0": 200, "1": 200, "2": 200}


@pytest.mark.parametrize("stream", [False, True])
def test_a_closed_connection_ends_the_computing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    with serve(slots=1) as served:
        steps: list[int] = []

        def count() -> None:
            steps.append(1)
            time.sleep(0.01)

        served.before_steps(count, monkeypatch)
        if stream:
            body = {**LONG, "stream": True}
            with served.http.stream("POST", "/v1/completions", json=body) as part:
                next(part.iter_raw())
        else:
            with pytest.raises(httpx.ReadTimeout):
                served.http.post("/v1/completions", json=LONG, timeout=0.3)
        _wait(lambda: served.service.running == 0, 5)
        done = len(steps)
        time.sleep(0.2)
        assert len(steps) == done < 400
        # What was read is kept.
        content = served.post("/v1/completions", **{**LONG, "max_tokens": 1}).json()
        assert content["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_a_client_that_leaves_the_queue_leaves_its_place(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, int] = {}
    with serve(slots=1, queue=1) as served:
        slow = _Slow(served, monkeypatch)
        first = _post(served, answers, "first")
        _wait(lambda: served.service.running == 1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.url}/v1/completions", json=LONG, timeout=0.3)
        _wait(lambda: served.service.waiting == 0, 5)
        second = _post(served, answers, "second")
        _wait(lambda: served.service.waiting == 1)
        slow.go_on.set()
        first.join()
        second.join()
    assert answers == {"first": 200, "second": 200}


def test_a_request_ends_when_its_time_is_over(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(max_seconds=0.3) as served:
        served.before_steps(lambda: time.sleep(0.02), monkeypatch)
        content = served.post("/v1/completions", **LONG).json()
    assert content["choices"][0]["finish_reason"] == "length"
    assert 0 < content["usage"]["completion_tokens"] < 200


def test_no_request_gets_more_tokens_than_the_server_gives(serve: Serve) -> None:
    with serve(max_tokens=3) as served:
        content = served.post("/v1/completions", **LONG).json()
    assert content["usage"]["completion_tokens"] == 3


def test_an_idle_model_leaves_memory_and_comes_back(serve: Serve) -> None:
    with serve(idle_seconds=0.2) as served:
        _wait(lambda: not served.service.loaded)
        assert served.http.get("/health").json()["loaded"] is False
        reply = served.post("/v1/completions", **{**LONG, "max_tokens": 2})
        assert reply.status_code == 200


def test_what_was_read_is_kept_on_disk_across_a_release(tiny_bundle: Path, tmp_path: Path) -> None:
    opened = []

    def open_model() -> refact_edge.Model:
        opened.append(1)
        return refact_edge.load(tiny_bundle, variant="fp32", caches=tmp_path / "kept")

    async def used() -> int:
        settings, cached = Settings(), 0
        service = Service(open_model, settings)
        ask = go_on("value = 1\n" * 40, GenerationOptions(max_tokens=1), settings)
        for _ in range(2):
            async with service.run([ask]) as run:
                async for _ in run:
                    pass
                cached = run.streams[0].usage.cached
            assert await service.release()
        await service.close()
        return cached

    assert asyncio.run(used()) > 100
    assert len(opened) == 2


def test_the_figures_count_what_was_done(serve: Serve) -> None:
    with serve() as served:
        body = {**LONG, "max_tokens": 5}
        served.post("/v1/completions", **body)
        served.post("/v1/completions", **body)
        served.post("/v1/completions", prompt=3)
        text = served.http.get("/metrics").text
    assert 'refact_edge_requests_total{path="/v1/completions",status="200"} 2.0' in text
    assert 'refact_edge_requests_total{path="/v1/completions",status="400"} 1.0' in text
    assert 'refact_edge_tokens_total{kind="new"} 10.0' in text
    assert "refact_edge_first_token_seconds_count 2.0" in text
    assert "refact_edge_request_seconds_count 2.0" in text
    assert "refact_edge_waiting 0.0" in text


def test_each_bundle_is_served_by_its_own_variant(tiny_bundle: Path) -> None:
    with serving(tiny_bundle, "int8") as served:
        meta = served.http.get("/v1/models").json()["data"][0]["meta"]
    assert meta["variant"] == "int8"


def test_asking_about_a_model_that_was_let_go_does_not_open_it(serve: Serve) -> None:
    with serve() as served:
        served.post("/api/generate", keep_alive=0)
        for path in ("/v1/models", "/api/tags", "/props", "/refact-caps", "/api/ps", "/health"):
            assert served.http.get(path).status_code == 200
        assert served.post("/api/show", model="m").status_code == 200
        assert not served.service.loaded


def _slowly_opened(bundle: Path, opened: list[int], seconds: float) -> Callable[[], Model]:
    def open_model() -> Model:
        opened.append(1)
        time.sleep(seconds)
        return refact_edge.load(bundle, variant="fp32", hashes=False)

    return open_model


def test_clients_that_leave_while_the_model_opens_do_not_open_it_again(tiny_bundle: Path) -> None:
    opened: list[int] = []

    async def work() -> None:
        service = Service(_slowly_opened(tiny_bundle, opened, 0.5), Settings())
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(service.model(), 0.05)
        assert (await service.model()).variant == "fp32"
        await service.close()

    asyncio.run(work())
    assert opened == [1]


def test_who_waits_for_the_model_gets_it_however_shortly_it_is_kept(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's keep_alive may be next to nothing: the model was let go before anybody saw it."""
    monkeypatch.setattr(gc, "collect", lambda: time.sleep(0.05))  # of a large process
    opened: list[int] = []

    async def work() -> None:
        service = Service(_slowly_opened(tiny_bundle, opened, 0.01), Settings(idle_seconds=1e-9))
        watching = asyncio.create_task(service.watch_idle())
        for _ in range(5):
            await asyncio.wait_for(service.model(), 5)
            await asyncio.sleep(0.1)
        watching.cancel()

    asyncio.run(work())
    assert len(opened) <= 5


def test_a_model_that_cannot_be_opened_is_tried_again_and_is_no_ones_mistake(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(idle_seconds=0.1) as served:
        _wait(lambda: not served.service.loaded)
        right = served.service._open

        def wrong() -> Model:
            raise BundleError("/secret/place is gone")

        monkeypatch.setattr(served.service, "_open", wrong)
        reply = served.post("/v1/completions", prompt="a")
        assert reply.status_code == 503
        assert "secret" not in reply.text
        monkeypatch.setattr(served.service, "_open", right)
        assert served.post("/v1/completions", prompt="a", max_tokens=1).status_code == 200


def test_a_model_that_reads_ahead_is_not_let_go(tiny_bundle: Path) -> None:
    async def work() -> None:
        service = Service(_slowly_opened(tiny_bundle, [], 0), Settings())

        def warm(model: Model, cancel: CancelToken) -> Usage:
            time.sleep(0.3)
            return model.warm("a", "b", cancel=cancel)

        reading = asyncio.ensure_future(service.warm(warm))
        await asyncio.sleep(0.2)
        assert not await service.release()
        await reading
        assert await service.release()

    asyncio.run(work())


def test_caches_that_cannot_be_kept_do_not_end_the_server(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OptionError("no space left")

    monkeypatch.setattr(Model, "save_caches", full)
    with serve(idle_seconds=0.1) as served:
        for _ in range(2):
            _wait(lambda: not served.service.loaded)
            assert served.post("/v1/completions", prompt="a", max_tokens=1).status_code == 200


def test_the_one_that_came_later_wins_also_when_it_begins_sooner(tiny_bundle: Path) -> None:
    settings = Settings()

    def slow(model: Model, cancel: CancelToken) -> Stream:
        time.sleep(0.3)
        return model.generate("a", max_tokens=1, cancel=cancel)

    async def work() -> None:
        service = Service(_slowly_opened(tiny_bundle, [], 0), settings)
        await service.model()

        async def ask_and_read(ask: Ask) -> None:
            async with service.run([ask], "me") as run:
                async for _ in run:
                    pass

        older = asyncio.ensure_future(ask_and_read(slow))
        await asyncio.sleep(0.05)
        async with service.run(
            [go_on("a", GenerationOptions(max_tokens=1), settings)], "me"
        ) as newer:
            with pytest.raises(ReplacedError):
                await older
            assert [piece.ended async for piece in newer][-1]
        await service.close()

    asyncio.run(work())
