"""Requests as they are read: halves of characters, and mistakes in plain words."""

from __future__ import annotations

import itertools
import json

import pytest
from served import Served, events

from refact_edge.runtime.serve.app import all_endpoints
from refact_edge.runtime.serve.service.settings import Settings
from refact_edge.runtime.serve.web.errors import HttpError
from refact_edge.runtime.serve.web.exchange import Endpoint
from refact_edge.runtime.serve.web.reading import shaped, whole_characters

CUT = r'"\ude00\nprint("'  # an editor cut an emoji in two


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (r'"\ud83d\ude00"', "😀"),
        (r'"a\ude00b"', "a\ufffdb"),
        (r'"a\uD83Db"', "a\ufffdb"),
        (r'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'"\\ud83d"', "\\ud83d"),
        (r'"\\\ud83d\\ude00"', "\\\ufffd\\ude00"),
        (r'"\ud83d\n\ude00\u00e9"', "\ufffd\n\ufffdé"),
    ],
)
def test_half_a_character_is_read_as_the_sign_for_one(value: str, read: str) -> None:
    assert json.loads(whole_characters(value.encode())) == read


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", '{"prompt": CUT, "suffix": CUT, "max_tokens": 2}'),
        ("/v1/chat/completions", '{"messages": [{"role": "user", "content": CUT}]}'),
        ("/v1/responses", '{"input": CUT, "max_output_tokens": 2}'),
        ("/v1/fim/completions", '{"prompt": CUT, "max_tokens": 2}'),
        ("/infill", '{"input_prefix": CUT, "input_suffix": "", "n_predict": 2}'),
        ("/completion", '{"prompt": CUT, "n_predict": 2}'),
        ("/tokenize", '{"content": CUT}'),
        ("/apply-template", '{"messages": [{"role": "user", "content": CUT}]}'),
        ("/api/generate", '{"prompt": CUT, "suffix": CUT, "options": {"num_predict": 2}}'),
        ("/api/chat", '{"messages": [{"role": "user", "content": CUT}]}'),
        ("/api/show", '{"model": CUT, CUT: 1}'),
    ],
)
def test_every_dialect_takes_half_a_character(server: Served, path: str, body: str) -> None:
    for stream in ("false", "true"):
        content = body.replace("CUT", CUT)[:-1] + f', "max_tokens": 2, "stream": {stream}}}'
        reply = server.http.post(path, content=content)
        assert reply.status_code == 200, reply.text


def test_half_a_character_is_echoed_as_text(server: Served) -> None:
    body = r'{"model": "\ud83d", "prompt": "a\ude00", "echo": true, "max_tokens": 0'
    whole = server.http.post("/v1/completions", content=body + "}").json()
    assert (whole["model"], whole["choices"][0]["text"]) == ("\ufffd", "a\ufffd")
    reply = server.http.post("/v1/completions", content=body + ', "stream": true}')
    assert json.loads(events(reply.text)[0])["choices"][0]["text"] == "a\ufffd"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (
            "/v1/completions",
            {"prompt": "a", "max_tokens": "many"},
            'max_tokens: found "many", expected a whole number',
        ),
        (
            "/v1/completions",
            {"prompt": {"a": 1}},
            'prompt: found {"a": 1}, expected text or a list',
        ),
        ("/v1/completions", {"prompt": ["a", -1]}, "prompt.1: found -1, expected text or a list"),
        (
            "/v1/completions",
            {"prompt": "a", "n": 0, "stream": "perhaps", "temperature": []},
            "temperature: found [], expected a number; n: found 0, expected 1 or more; "
            'stream: found "perhaps", expected true or false',
        ),
        ("/v1/completions", {"prompt": "a", "stop": ["b", 3]}, "stop.1: found 3, expected text"),
        ("/v1/completions", [], "the body: found [], expected an object"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "robot"}]},
            "messages.0.role: found \"robot\", expected 'system', 'developer', 'user' or "
            "'assistant'",
        ),
        ("/infill", {"input_prefix": "a"}, "input_suffix: missing; give one"),
        ("/detokenize", {"tokens": 5}, "tokens: found 5, expected a list"),
    ],
    ids=str,
)
def test_a_mistake_is_one_plain_line(server: Served, path: str, body: object, message: str) -> None:
    reply = server.http.post(path, json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == message


def test_what_is_no_json_is_told(server: Served) -> None:
    message = server.http.post("/api/generate", content='{"prompt": ').json()["error"]
    assert message.startswith("the body is not JSON: ")
    assert message.endswith("; expected an object")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [], "tools": [{"type": "function"}]}),
        ("/api/chat", {"messages": [], "tools": [{"type": "function"}]}),
    ],
)
def test_tools_are_refused_in_the_words_that_clients_look_for(
    server: Served, path: str, body: dict[str, object]
) -> None:
    for more, name in (({"model": "m"}, "m"), ({}, "tiny")):
        reply = server.post(path, **body, **more)
        assert reply.status_code == 400
        assert f"{name} does not support tools; leave tools out" in reply.text


WRONG: tuple[object, ...] = (
    "many",
    -7,
    1.5,
    True,
    [],
    [[]],
    [1.5],
    {"a": 1},
    "1" * 50,
    10**40,
    ["a"] * 1000,
)
ROWS = [row for row in all_endpoints(Settings()) if row.request is not None]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_no_mistake_is_told_in_the_validators_words(row: Endpoint) -> None:
    """Nor at any length, whatever is in any field."""
    assert row.request is not None
    mistakes = 0
    for name, value in itertools.product(row.request.model_fields, WRONG):
        try:
            shaped(row.request, json.dumps({name: value}).encode(), "tiny")
        except HttpError as error:
            line = str(error)
            mistakes += 1
        else:
            continue
        assert len(line) < 400, line
        for word in (
            "Input",
            "valid",
            "unable to",
            "to parse",
            "->",
            "another value",
            "list[",
            "\n",
        ):
            assert word not in line, line
    assert mistakes
