"""Queue, slots, cancelling and replacing."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import httpx
import pytest
from served import Serve, Served, wait_for

import refact_edge
from refact_edge.runtime.engine.cancel import CancelToken
from refact_edge.runtime.errors import ReplacedError
from refact_edge.runtime.model import Model
from refact_edge.runtime.serve.service.requests import GenerationOptions, go_on
from refact_edge.runtime.serve.service.service import Ask, Service
from refact_edge.runtime.serve.service.settings import Settings
from refact_edge.runtime.stream import Stream

LONG = {"prompt": "def add(a, b):\n" * 20, "max_tokens": 500, "temperature": 0}


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
        wait_for(lambda: served.service.running == 1)
        threads.append(_post(served, answers, "second"))
        wait_for(lambda: served.service.waiting == 1)
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
            wait_for(lambda: served.service.running == 1)
        threads.append(_post(served, answers, "older", client="me"))
        wait_for(lambda: len(served.service._runs) == len(threads))
        threads.append(_post(served, answers, "newer", client="me"))
        if waiting:
            wait_for(lambda: answers.get("older") == 409)
        else:
            wait_for(lambda: len(served.service._runs) == 2)
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
        wait_for(lambda: served.service.waiting == 2)
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
        wait_for(lambda: served.service.running == 0, 5)
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
        wait_for(lambda: served.service.running == 1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.url}/v1/completions", json=LONG, timeout=0.3)
        wait_for(lambda: served.service.waiting == 0, 5)
        second = _post(served, answers, "second")
        wait_for(lambda: served.service.waiting == 1)
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


def test_the_one_that_came_later_wins_also_when_it_begins_sooner(tiny_bundle: Path) -> None:
    settings = Settings()

    def open_model() -> Model:
        return refact_edge.load(tiny_bundle, variant="fp32", hashes=False)

    def slow(model: Model, cancel: CancelToken) -> Stream:
        time.sleep(0.3)
        return model.generate("a", max_tokens=1, cancel=cancel)

    async def work() -> None:
        service = Service(open_model, settings)
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
