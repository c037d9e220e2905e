"""Ollama's interface."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import pytest
from served import Serve, Served

from refact_edge import __version__
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.serve.dialects.ollama.endpoints import seconds
from refact_edge.runtime.serve.web.errors import HttpError

PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
OPTIONS = {"temperature": 0, "num_predict": 8}


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_suffix_makes_a_hole(server: Served) -> None:
    body = {"prompt": PREFIX, "suffix": SUFFIX, "options": OPTIONS}
    content = server.post("/api/generate", **body, stream=False).json()
    text = "".join(server.model.complete(PREFIX, SUFFIX, max_tokens=8, stop=[], sampling=GREEDY))
    assert content["response"] == text
    assert content["done"] is True
    assert content["done_reason"] in ("stop", "length")
    assert content["total_duration"] >= content["eval_duration"] > 0


def test_answers_come_in_lines_unless_one_is_asked_for(server: Served) -> None:
    body = {"model": "mine", "prompt": PREFIX, "options": OPTIONS}
    reply = server.post("/api/generate", **body)
    assert reply.headers["content-type"] == "application/x-ndjson"
    *parts, last = _lines(reply.text)
    assert all(part["done"] is False and part["model"] == "mine" for part in parts)
    assert last["done"] is True
    assert last["eval_count"] == 8
    whole = server.post("/api/generate", **body, stream=False).json()
    assert "".join(part["response"] for part in parts) == whole["response"]


def test_a_ready_made_prompt_is_read_with_its_special_tokens(server: Served) -> None:
    """As twinny sends it, raw or not."""
    raw = "<fim_prefix>a<fim_suffix>b<fim_middle>"
    for more in ({}, {"raw": True}):
        content = server.post(
            "/api/generate", prompt=raw, stream=False, options=OPTIONS, **more
        ).json()
        assert content["prompt_eval_count"] == 5


def test_a_chat_is_answered(server: Served) -> None:
    messages = [{"role": "user", "content": "hi"}]
    *parts, last = _lines(server.post("/api/chat", messages=messages, options=OPTIONS).text)
    text = "".join(part["message"]["content"] for part in parts)
    assert text == "".join(server.model.chat(messages, max_tokens=8, sampling=GREEDY))
    assert last["message"] == {"role": "assistant", "content": ""}


def test_continue_finds_out_that_it_fills_holes(server: Served) -> None:
    content = server.post("/api/show", name="whatever").json()
    hole = "<fim_suffix>{{ .Suffix }}<fim_prefix>{{ .Prompt }}<fim_middle>"
    assert content["template"].startswith("{{- if .Suffix }}" + hole)
    assert f"num_ctx {server.model.context_tokens}" in content["parameters"]
    assert "insert" in content["capabilities"]


def test_the_model_is_listed(server: Served) -> None:
    server.post("/api/generate", prompt="a", stream=False, options={"num_predict": 1})
    (model,) = server.http.get("/api/tags").json()["models"]
    assert model["name"] == "tiny"
    assert len(model["digest"]) == 64
    assert server.http.get("/api/ps").json()["models"][0]["name"] == "tiny"
    assert server.http.get("/").text == "Ollama is running"


def test_an_empty_prompt_loads_the_model_or_lets_it_go(serve: Serve) -> None:
    with serve() as served:
        gone = served.post("/api/generate", model="m", keep_alive=0).json()
        assert gone["done_reason"] == "unload"
        assert not served.service.loaded
        assert served.http.get("/api/ps").json() == {"models": []}
        there = served.post("/api/chat", model="m").json()
        assert there["done_reason"] == "load"
        assert served.service.loaded


def test_a_model_is_kept_as_long_as_a_client_says(serve: Serve) -> None:
    with serve() as served:
        served.post(
            "/api/generate",
            prompt="a",
            stream=False,
            keep_alive="200ms",
            options={"num_predict": 1},
        )
        deadline = time.monotonic() + 10
        while served.service.loaded and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not served.service.loaded


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1800, 1800),
        ("5m", 300),
        ("1.5h", 5400),
        ("30s", 30),
        ("10", 10),
        (-1, None),
        ("-1m", None),
        ("1h30m", 5400),
        (1e30, None),
    ],
)
def test_times_are_read_as_ollama_writes_them(value: str | float, expected: float | None) -> None:
    assert seconds(value) == expected


def test_what_is_no_time_is_told() -> None:
    with pytest.raises(HttpError, match="soon"):
        seconds("soon")


@pytest.mark.parametrize("body", [{"format": "json"}, {"prompt": 3}, {"keep_alive": "soon"}])
def test_mistakes_are_told_in_ollamas_form(server: Served, body: dict[str, object]) -> None:
    reply = server.post("/api/generate", **{"prompt": "a", **body})
    assert reply.status_code == 400
    assert isinstance(reply.json()["error"], str)


def test_how_long_one_client_keeps_it_binds_no_other(serve: Serve) -> None:
    with serve() as served:
        body = {"prompt": "a", "stream": False, "options": {"num_predict": 1}}
        served.post("/api/generate", **body, keep_alive=0.2)
        served.post("/v1/completions", prompt="a", max_tokens=1)
        time.sleep(0.8)
        assert served.service.loaded


def test_any_time_that_is_said_can_be_listed(serve: Serve) -> None:
    with serve() as served:
        for value in (1e15, "9" * 15 + "h", "1h30m", -1, 60):
            served.post("/api/generate", keep_alive=value)
            assert served.http.get("/api/ps").status_code == 200


def test_nulls_are_not_given(server: Served) -> None:
    body = {"model": None, "prompt": "a", "suffix": None, "system": None, "options": None}
    assert server.post("/api/generate", **body, stream=False).status_code == 200
    assert server.post("/v1/completions", model=None, prompt="a", n=None).status_code == 200


def test_an_empty_suffix_is_a_hole_at_the_end_of_a_file(server: Served) -> None:
    """User text stays text there, long files are cut, and the end comes at a blank line."""
    text = "a <fim_middle> b <fim_prefix> c ="
    result = _generated(server, prompt=text, suffix="")
    stream = server.model.complete(text, "", max_tokens=8, stop=[], sampling=GREEDY)
    assert result["response"] == "".join(stream)
    assert result["prompt_eval_count"] == stream.usage.prompt
    assert _generated(server, prompt="word = 1\n" * 3000, suffix="")["done"]


def test_an_empty_suffix_beside_raw_or_a_system_says_nothing(server: Served) -> None:
    """As older clients send it with everything."""
    raw = "<fim_prefix>a<fim_suffix>b<fim_middle>"
    assert _generated(server, prompt=raw, suffix="", raw=True)["prompt_eval_count"] == 5
    chat = {"prompt": "hi", "system": "Be short"}
    assert _generated(server, **chat, suffix="") == _generated(server, **chat)
    assert server.post("/api/generate", suffix="").json()["done_reason"] == "load"


def _generated(server: Served, **body: object) -> dict[str, Any]:
    reply = server.post("/api/generate", **body, stream=False, options=OPTIONS)
    assert reply.status_code == 200, reply.text
    result: dict[str, Any] = reply.json()
    names = ("response", "done", "prompt_eval_count", "eval_count")
    return {name: result[name] for name in names}


def test_the_version_is_one_of_the_dialect_that_clients_accept(server: Served) -> None:
    """VS Code and Raycast want 0.6.4 at least."""
    content = server.http.get("/api/version").json()
    assert tuple(map(int, content["version"].split("."))) >= (0, 6, 4)
    assert content["refact_edge"] == __version__


def test_the_model_has_a_name_in_what_is_shown_of_it(server: Served) -> None:
    for body, name in (({"model": "mine"}, "mine"), ({"name": "old"}, "old"), ({}, "tiny")):
        assert server.post("/api/show", **body).json()["model_info"]["general.basename"] == name


def test_the_time_that_the_model_goes_at_moves_with_its_use_alone(serve: Serve) -> None:
    def goes() -> str:
        (model,) = served.http.get("/api/ps").json()["models"]
        result: str = model["expires_at"]
        return result

    with serve() as served:
        served.post("/api/generate", keep_alive=600)
        first = goes()
        left_s = datetime.fromisoformat(first).timestamp() - time.time()
        assert 590 < left_s < 601
        time.sleep(0.05)
        assert goes() == first
        served.post("/api/generate", prompt="a", stream=False, keep_alive=600, options=OPTIONS)
        assert goes() > first


def test_every_error_is_a_text(server: Served) -> None:
    """Also where embeddings are asked for, and where nobody answers."""
    for path in ("/api/embed", "/api/embeddings", "/api/nothing", "/api/generate", "/api/chat"):
        error = server.http.post(path, content="{").json()["error"]
        assert isinstance(error, str), path
    assert isinstance(server.http.get("/api/chat").json()["error"], str)
    reply = server.http.get("/api/tags", headers={"origin": "http://elsewhere"})
    assert isinstance(reply.json()["error"], str)


@pytest.mark.parametrize("most", [-1, -2, 2**53 - 1])
def test_no_limit_is_written_in_several_ways(server: Served, most: int) -> None:
    def text(value: int) -> object:
        options = {"temperature": 0, "num_predict": value, "stop": ["!", "a", "e"], "num_ctx": "8k"}
        body = {"prompt": PREFIX, "stream": False, "options": options}
        return server.post("/api/generate", **body).json()["response"]

    assert text(most) == text(10**9)


def test_a_prompt_beyond_the_context_is_told_as_a_text(server: Served) -> None:
    reply = server.post("/api/generate", prompt="word " * 2000)
    assert reply.status_code == 400
    assert "exceeds the context length" in reply.json()["error"]
