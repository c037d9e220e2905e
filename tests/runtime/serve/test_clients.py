"""Clients as people use them: openai's and Ollama's packages, and curl."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import openai
import pytest
from served import Served, events

from refact_edge.runtime.engine.sampling import GREEDY

PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as result:
        yield result


@pytest.fixture
def ollama_client(server: Served) -> Iterator[ollama.Client]:
    with ollama.Client(host=server.url) as result:
        yield result


def test_openai_completes_and_fills(server: Served, client: openai.OpenAI) -> None:
    request: dict[str, Any] = {"model": "tiny", "max_tokens": 8, "temperature": 0}
    reply = client.completions.create(prompt=PREFIX, suffix=SUFFIX, **request)
    text = "".join(server.model.complete(PREFIX, SUFFIX, max_tokens=8, stop=[], sampling=GREEDY))
    assert reply.choices[0].text == text
    assert reply.usage.prompt_tokens_details.cached_tokens >= 0
    parts = client.completions.create(prompt=PREFIX, suffix=SUFFIX, stream=True, **request)
    assert "".join(part.choices[0].text for part in parts) == text


def test_openai_chats(server: Served, client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "hi"}]
    request: dict[str, Any] = {"model": "tiny", "max_tokens": 8, "temperature": 0}
    request["messages"] = messages
    reply = client.chat.completions.create(**request)
    text = "".join(server.model.chat(messages, max_tokens=8, sampling=GREEDY))
    assert reply.choices[0].message.content == text
    parts = list(
        client.chat.completions.create(
            **request, stream=True, stream_options={"include_usage": True}
        )
    )
    assert parts[0].choices[0].delta.role == "assistant"
    texts = [part.choices[0].delta.content or "" for part in parts if part.choices]
    assert "".join(texts) == text
    assert parts[-1].usage.completion_tokens == reply.usage.completion_tokens
    scored = client.chat.completions.create(**request, logprobs=True, top_logprobs=2)
    content = scored.choices[0].logprobs.content
    assert len(content) == reply.usage.completion_tokens
    assert len(content[0].top_logprobs) == 2


def test_openai_cancels_a_stream(server: Served, client: openai.OpenAI) -> None:
    parts = client.completions.create(model="tiny", prompt=PREFIX, max_tokens=500, stream=True)
    next(iter(parts))
    parts.close()
    assert client.models.list().data[0].id == "tiny"


def test_openai_understands_mistakes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model="tiny", prompt="a", temperature=-1)
    with pytest.raises(openai.BadRequestError) as beyond:
        client.completions.create(model="tiny", prompt="word " * 2000)
    assert beyond.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        client.files.list()


def test_ollama_generates_chats_and_looks_around(
    server: Served, ollama_client: ollama.Client
) -> None:
    client = ollama_client
    options = {"temperature": 0, "num_predict": 8}
    result = client.generate("tiny", PREFIX, suffix=SUFFIX, options=options)
    text = "".join(server.model.complete(PREFIX, SUFFIX, max_tokens=8, stop=[], sampling=GREEDY))
    assert result.response == text
    parts = list(client.generate("tiny", PREFIX, suffix=SUFFIX, options=options, stream=True))
    assert "".join(part.response or "" for part in parts) == text
    end = "a <fim_middle> b ="
    result = client.generate("tiny", end, suffix="", options=options)
    text = "".join(server.model.complete(end, max_tokens=8, stop=[], sampling=GREEDY))
    assert result.response == text
    messages = [{"role": "user", "content": "hi"}]
    answer = client.chat("tiny", messages, options=options)
    assert answer.message.content == "".join(
        server.model.chat(messages, max_tokens=8, sampling=GREEDY)
    )
    assert client.list().models[0].model == "tiny"
    facts = client.show("tiny").modelinfo
    assert facts is not None
    assert facts["refact.context_length"] == server.model.context_tokens
    assert client.ps().models[0].model == "tiny"
    with pytest.raises(ollama.ResponseError, match="format"):
        client.generate("tiny", "a", format="json")


def test_curl_reads_a_stream_as_it_comes(server: Served) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    body = {"prompt": PREFIX, "max_tokens": 6, "stream": True, "temperature": 0}
    # As in the README, without a content type: curl then says that it is a form.
    command = ["curl", "-sN", f"{server.url}/v1/completions", "-d", json.dumps(body)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    *parts, last = events(done.stdout)
    assert last == "[DONE]"
    assert len(parts) >= 2


def test_twinny_and_continue_are_answered_at_what_they_send(server: Served) -> None:
    """The bodies of both plugins' sources, and the fields that each reads."""
    fim = "<fim_prefix> def add(a, b):\n    return <fim_suffix>\n <fim_middle>"
    twinny = {
        "model": "refact",
        "prompt": fim,
        "stream": True,
        "keep_alive": "5m",
        "options": {"temperature": 0.2, "num_predict": 16},
    }
    lines = server.post("/api/generate", **twinny).text.splitlines()
    assert all("response" in json.loads(line) for line in lines)
    openai_like = {
        "model": "refact",
        "prompt": fim,
        "stream": True,
        "max_tokens": 16,
        "temperature": 0.2,
    }
    *parts, _ = events(server.post("/v1/completions", **openai_like).text)
    assert all("text" in json.loads(event)["choices"][0] for event in parts)
    continues = {
        "model": "refact",
        "prompt": PREFIX,
        "suffix": SUFFIX,
        "raw": False,
        "stream": True,
        "keep_alive": 1800,
        "options": {
            "temperature": 0.01,
            "num_predict": 16,
            "num_ctx": 4096,
            "stop": ["<|endoftext|>", "\n\n"],
            "mirostat": 0,
        },
    }
    *_, last = server.post("/api/generate", **continues).text.splitlines()
    assert json.loads(last)["done"] is True
    mistral = {
        "model": "refact",
        "prompt": PREFIX,
        "suffix": SUFFIX,
        "max_tokens": 16,
        "temperature": 0.01,
        "top_p": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "stop": ["\n\n"],
        "stream": True,
    }
    *parts, _ = events(server.post("/v1/fim/completions", **mistral).text)
    deltas = [json.loads(event)["choices"][0]["delta"] for event in parts]
    assert any(delta.get("content") for delta in deltas)


def test_a_connection_serves_one_request_after_another(server: Served) -> None:
    with httpx.Client(base_url=server.url) as http:
        replies = [
            http.post("/v1/completions", json={"prompt": "a", "max_tokens": 1, "stream": stream})
            for stream in (True, False, True)
        ]
    assert [reply.status_code for reply in replies] == [200, 200, 200]
