"""Values as clients send them, which are taken as the servers they were written for do."""

from __future__ import annotations

import pytest
from served import Served

from refact_edge.runtime.engine.sampling import GREEDY

PREFIX = "def add(a, b):\n    return "


@pytest.mark.parametrize("most", [-1, -2, 2**53 - 1, float(2**53 - 1), 10**30])
@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/v1/completions", {"prompt": PREFIX}, "max_tokens"),
        ("/v1/completions", {"prompt": PREFIX, "suffix": ""}, "max_tokens"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, "max_tokens"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "hi"}]},
            "max_completion_tokens",
        ),
        ("/v1/fim/completions", {"prompt": PREFIX}, "max_tokens"),
        ("/completion", {"prompt": PREFIX}, "n_predict"),
        ("/infill", {"input_prefix": PREFIX, "input_suffix": ""}, "n_predict"),
    ],
)
def test_no_limit_is_written_in_several_ways(
    server: Served, path: str, body: dict[str, object], name: str, most: float
) -> None:
    """Cut, as a number just beyond what there is room for is."""

    def text(value: float) -> object:
        reply = server.post(path, **body, **{name: value}, temperature=0, stop=["!", "a", "e"])
        assert reply.status_code == 200, reply.text
        content = reply.json()
        return content["choices"] if "choices" in content else content["content"]

    assert text(most) == text(10**9)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize(
    "more",
    [
        {"user": 123},
        {"user": {"id": 1}},
        {"user": None},
        {"stop": None},
        {"stop": []},
        {"stop": ""},
        {"stop": [""]},
        {"n": None},
        {"n": 1.0},
        {"temperature": 1},
        {"seed": 7.0},
        {"seed": None},
        {"top_k": 40.0},
        {"stream": None},
        {"stream_options": None},
        {"stream_options": {"include_usage": None}},
        {"logprobs": None},
        {"logprobs": False},
        {"max_completion_tokens": 2.0},
        {"max_tokens": None},
        {"presence_penalty": 0},
        {"model": None},
        {"metadata": {"a": "b"}, "store": True, "service_tier": "auto", "unknown": [1]},
    ],
    ids=str,
)
def test_values_that_clients_send_are_taken(
    server: Served, path: str, more: dict[str, object]
) -> None:
    request = (
        {"messages": [{"role": "user", "content": "hi"}]} if "chat" in path else {"prompt": "a"}
    )
    reply = server.post(path, **{**request, "max_tokens": 2, **more})
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["logprobs"] is None


def test_logprobs_in_chats_form_are_a_number(server: Served) -> None:
    body = {"prompt": PREFIX, "max_tokens": 2, "temperature": 0}

    def known(value: object) -> object:
        reply = server.post("/v1/completions", **body, logprobs=value)
        return reply.json()["choices"][0]["logprobs"]

    assert known(True) == known(1)
    assert known(False) is known(None) is None


def test_an_answer_that_has_begun_goes_on(server: Served) -> None:
    """With what follows on it, blanks included; the model's own next text is what is expected."""
    question = {"role": "user", "content": "Add two numbers."}
    body = {"max_tokens": 8, "temperature": 0}
    begun = "def add(a, b):\n    return"
    for message in ({"content": begun}, {"content": [{"type": "text", "text": begun}]}):
        talk = [question, {"role": "assistant", **message}]
        content = server.post("/v1/chat/completions", messages=talk, **body).json()
        prompt = server.post("/apply-template", messages=talk).json()["prompt"]
        assert prompt.endswith(f"ASSISTANT {begun}")
        stream = server.model.generate(prompt, special=True, max_tokens=8, sampling=GREEDY)
        text = "".join(stream)
        assert text
        assert content["choices"][0]["message"]["content"] == text.rstrip("\n")
    options = {"temperature": 0, "num_predict": 8}
    talk = [question, {"role": "assistant", "content": begun}]
    lines = server.post("/api/chat", messages=talk, stream=False, options=options).json()
    assert lines["message"]["content"] == text.rstrip("\n")
    empty = [question, {"role": "assistant", "content": None}]
    replies = [server.post("/v1/chat/completions", messages=m, **body) for m in ([question], empty)]
    assert replies[0].json()["choices"] == replies[1].json()["choices"]


def test_a_system_message_alone_is_answered(server: Served) -> None:
    messages = [{"role": "system", "content": "Write hi"}]
    reply = server.post("/v1/chat/completions", messages=messages, max_tokens=2)
    assert reply.status_code == 200
    reply = server.post("/api/chat", messages=messages, stream=False, options={"num_predict": 2})
    assert reply.status_code == 200


def test_a_chat_that_asks_nothing_is_told_so(server: Served) -> None:
    for messages in ([], [{"role": "user", "content": ""}], [{"role": "user", "content": []}]):
        reply = server.post("/v1/chat/completions", messages=messages)
        assert reply.status_code == 400
        assert "the last message is empty" in reply.json()["error"]["message"]
