"""Many clients at once, some of which leave: nothing is lost, mixed up or leaked."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from served import events

CLIENTS, REQUESTS, WARM_UP, LEAVE = 8, 1000, 1000, 0.15
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
    *told, last = events(reply.text)
    assert last == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["text"] for event in told)


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


@contextmanager
def _process(bundle: Path) -> Iterator[tuple[str, int]]:
    """Serve in a process of its own; yield its address and number."""
    command = [sys.executable, "-m", "refact_edge.runtime", "serve", str(bundle)]
    command += ["--variant", "fp32", "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        try:
            yield address, process.pid
        finally:
            process.send_signal(signal.SIGINT)


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


def test_a_thousand_requests_of_eight_clients_are_answered_as_alone(tiny_bundle: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("a process's memory is read from /proc, which this system lacks")
    with _process(tiny_bundle) as (url, pid), httpx.Client(base_url=url, timeout=60) as http:
        _round(url, WARM_UP)  # until caches and pools are as large as they get
        before = _resident_kb(pid)
        answers = _round(url, REQUESTS)
        grown = _resident_kb(pid) / before - 1
        health = http.get("/health").json()
        assert (health["running"], health["waiting"]) == (0, 0)
        alone: dict[str, str] = {}
        for body, text in answers:
            asked = json.dumps({**body, "stream": False}, sort_keys=True)
            if asked not in alone:
                reply = http.post("/v1/completions", json=json.loads(asked))
                alone[asked] = _text(reply, stream=False)
            assert text == alone[asked]
    assert len(answers) > REQUESTS * (1 - LEAVE) * 0.9
    assert grown < 0.02, f"memory grew by {grown:.1%}"
