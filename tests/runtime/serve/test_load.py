"""Many clients at once, some of which leave: nothing is lost, mixed up or leaked."""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from served import events, ready, serving, wait_for

CLIENTS, REQUESTS, WARM_UP, LEAVE = 8, 1000, 400, 0.15
STREAMS = int(os.environ.get("REFACT_EDGE_TEST_STREAMS", "300"))  # 4000 takes a minute
FILES = [f"def step_{i}(value):\n    total = {i}\n" * (1 + i % 5) for i in range(12)]


def _body(seed: int) -> dict[str, object]:
    random_state = random.Random(seed)
    text = random_state.choice(FILES)
    cut = random_state.randrange(len(text) // 2, len(text))
    body: dict[str, object] = {
        "prompt": text[:cut],
        "suffix": text[cut:] + "\n",
        "max_tokens": random_state.choice([1, 4, 9]),
        "stream": random_state.random() < 0.5,
    }
    drawn = {"temperature": 0.9, "seed": random_state.randrange(5)}
    return body | (drawn if random_state.random() < 0.3 else {"temperature": 0})


# So few that all have been asked, and are kept, when memory is looked at.
BODIES = [_body(seed) for seed in range(100)]


def _text(reply: httpx.Response, stream: bool) -> str:
    assert reply.status_code == 200, reply.text
    if not stream:
        return str(reply.json()["choices"][0]["text"])
    *parts, last = events(reply.text)
    assert last == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["text"] for event in parts)


def _leave(http: httpx.Client, body: dict[str, object]) -> None:
    """Ask, and close the connection before all is there."""
    with http.stream("POST", "/v1/completions", json={**body, "stream": True}) as reply:
        for _ in reply.iter_raw():
            return


def _client(
    url: str,
    requests: int,
    number: int,
    answers: list[tuple[dict[str, object], str]],
    failed: list[str],
) -> None:
    random_state = random.Random(number + requests)
    with httpx.Client(base_url=url, timeout=120) as http:
        for _ in range(requests):
            body = random_state.choice(BODIES)
            try:
                if random_state.random() < LEAVE:
                    _leave(http, body)
                else:
                    reply = http.post("/v1/completions", json=body)
                    answers.append((body, _text(reply, bool(body["stream"]))))
            except Exception as error:  # a thread's errors would else be lost
                failed.append(f"{type(error).__name__}: {error}")


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def _round(url: str, requests: int) -> list[tuple[dict[str, object], str]]:
    answers: list[tuple[dict[str, object], str]] = []
    failed: list[str] = []
    threads = [
        threading.Thread(target=_client, args=(url, requests // CLIENTS, number, answers, failed))
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [], failed[:3]
    return answers


def _expect_idle(http: httpx.Client) -> None:
    """A request that its client has left ends some moments later."""
    end_s = time.perf_counter() + 10
    while True:
        health = http.get("/health").json()
        if (health["running"], health["waiting"]) == (0, 0):
            return
        assert time.perf_counter() < end_s, health
        time.sleep(0.05)


def test_a_thousand_requests_of_eight_clients_are_answered_as_alone(tiny_bundle: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("a process's memory is read from /proc, which this system lacks")
    with (
        ready(tiny_bundle, "--variant", "fp32", "--quiet") as (process, first),
        httpx.Client(base_url=f"http://127.0.0.1:{first['port']}", timeout=60) as http,
    ):
        url, pid = str(http.base_url), process.pid
        _round(url, WARM_UP)  # until caches and pools are as large as they get
        before = _resident_kb(pid)
        answers = _round(url, REQUESTS)
        grown = _resident_kb(pid) / before - 1
        _expect_idle(http)
        alone: dict[str, str] = {}
        for body, text in answers:
            request = json.dumps({**body, "stream": False}, sort_keys=True)
            if request not in alone:
                reply = http.post("/v1/completions", json=json.loads(request))
                alone[request] = _text(reply, stream=False)
            assert text == alone[request]
    assert len(answers) > REQUESTS * (1 - LEAVE) * 0.9
    assert grown < 0.02, f"memory grew by {grown:.1%}"


def _leave_streams(url: str, number: int) -> None:
    """Ask for streams that are left at their first bytes."""
    body: dict[str, object] = {"prompt": FILES[0], "max_tokens": 40, "temperature": 0}
    with httpx.Client(base_url=url, timeout=60) as http:
        for _ in range(number):
            _leave(http, body)


def test_streams_that_clients_leave_cost_no_memory(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "asyncio")  # pytest keeps its lines about clients that are gone
    if not Path("/proc/self/status").exists():
        pytest.skip("a process's memory is read from /proc, which this system lacks")
    with serving(tiny_bundle) as served:
        model = served.service._model
        assert model is not None
        # One cache stays. Without this they fill up to a bound of their own, which is far away.
        monkeypatch.setattr(model._caches, "_limit_bytes", 0)
        _leave_streams(served.url, 200)  # until pools are as large as they get
        before = _resident_kb(os.getpid())
        _leave_streams(served.url, STREAMS)
        grown = _resident_kb(os.getpid()) - before
    assert grown < 6 * 1024, f"memory grew by {grown} KiB in {STREAMS} streams"


def _objects() -> Counter[str]:
    """Return how many objects there are of each class of the server's, and of what it stands on."""
    gc.collect()
    names = (f"{type(one).__module__}.{type(one).__name__}" for one in gc.get_objects())
    packages = ("refact_edge.runtime.serve.", "uvicorn.", "starlette.", "h11.", "_asyncio.")
    return Counter(name for name in names if name.startswith(packages))


def test_streams_that_clients_leave_leave_no_object_behind(demo_bundle: Path) -> None:
    with serving(demo_bundle, "int8") as served:

        def rest() -> Counter[str]:
            wait_for(lambda: not served.server.server_state.connections)
            wait_for(lambda: not served.server.server_state.tasks)
            return _objects()

        _leave_streams(served.url, 20)
        before = rest()
        _leave_streams(served.url, 60)
        more = rest() - before
    assert max(more.values(), default=0) < 10, more
