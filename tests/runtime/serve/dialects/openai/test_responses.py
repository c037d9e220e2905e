"""OpenAI's responses interface, against openai's own client and its types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import (
    Response,
    ResponseErrorEvent,
    ResponseOutputMessage,
    ResponseStreamEvent,
)
from pydantic import TypeAdapter
from served import Served

from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.errors import EndingError
from refact_edge.runtime.serve.dialects.openai.responses_replies import ResponsesReply

MESSAGES = [{"role": "user", "content": "hi"}]
PARTS = [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
OPTIONS: dict[str, Any] = {"model": "tiny", "temperature": 0, "max_output_tokens": 8}
BEGIN = (
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
)
END = (
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
)


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as result:
        yield result


def _text(server: Served, messages: list[dict[str, str]]) -> str:
    return "".join(server.model.chat(messages, max_tokens=8, sampling=GREEDY))


@pytest.mark.parametrize("query", ["hi", MESSAGES, PARTS], ids=["text", "messages", "parts"])
def test_an_answer_is_a_chats(server: Served, client: openai.OpenAI, query: Any) -> None:
    reply = client.responses.create(input=query, **OPTIONS)
    Response.model_validate(reply.to_dict())
    assert reply.output_text == _text(server, MESSAGES)
    assert (reply.object, reply.model, reply.error) == ("response", "tiny", None)
    assert reply.id.startswith("resp_")
    usage = reply.usage
    assert usage is not None
    assert 0 < usage.output_tokens <= 8
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert 0 <= usage.input_tokens_details.cached_tokens < usage.input_tokens
    assert usage.output_tokens_details.reasoning_tokens == 0


def test_instructions_and_what_was_said_before_count(server: Served, client: openai.OpenAI) -> None:
    talk: Any = [
        {"role": "developer", "content": "Be exact."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b"}], "id": "msg_1"},
        {"type": "message", "role": "user", "content": "c"},
    ]
    reply = client.responses.create(input=talk, instructions="Be short.", **OPTIONS)
    said = [
        {"role": "system", "content": "Be short."},
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    assert reply.output_text == _text(server, said)
    assert reply.instructions == "Be short."


def test_a_limit_that_was_reached_makes_it_incomplete(client: openai.OpenAI) -> None:
    reply = client.responses.create(input="hi", model="tiny", temperature=0, max_output_tokens=2)
    assert reply.status == "incomplete"
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    (message,) = reply.output
    assert isinstance(message, ResponseOutputMessage)
    assert message.status == "incomplete"
    events = client.responses.create(
        input="hi", model="tiny", temperature=0, max_output_tokens=2, stream=True
    )
    *_, last = events
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details == reply.incomplete_details


def test_a_stream_says_what_the_whole_answer_says(server: Served, client: openai.OpenAI) -> None:
    whole = client.responses.create(input="hi", **OPTIONS)
    events = list(client.responses.create(input="hi", stream=True, **OPTIONS))
    kinds = tuple(event.type for event in events)
    deltas = len(kinds) - len(BEGIN) - len(END) - 1
    assert deltas > 0
    last = f"response.{whole.status}"
    assert kinds == (*BEGIN, *["response.output_text.delta"] * deltas, *END, last)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    adapter: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    for event in events:
        adapter.validate_python(event.to_dict())
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == whole.output_text
    assert events[0].response.status == "in_progress"
    assert events[0].response.output == []
    done = events[-1].response
    assert done.output_text == whole.output_text
    assert done.usage.output_tokens == whole.usage.output_tokens
    assert done.id == events[0].response.id
    with client.responses.stream(input="hi", **OPTIONS) as stream:
        assert stream.get_final_response().output_text == whole.output_text


def test_each_event_is_named_on_a_line_of_its_own(server: Served) -> None:
    reply = server.post("/v1/responses", input="hi", stream=True, max_output_tokens=2)
    assert reply.headers["content-type"] == "text/event-stream"
    for event in reply.text.removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"


def test_an_answer_that_ends_by_itself_is_complete(
    server: Served, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "refact_edge.runtime.serve.dialects.openai.responses_replies.finish_reason",
        lambda *_: "stop",
    )
    reply = client.responses.create(input="hi", **OPTIONS)
    assert (reply.status, reply.incomplete_details) == ("completed", None)
    *_, last = client.responses.create(input="hi", stream=True, **OPTIONS)
    assert last.type == "response.completed"


def test_what_is_told_of_a_request_is_told_again(client: openai.OpenAI) -> None:
    """But for `store`: none is ever kept."""
    reply = client.responses.create(
        input="hi",
        metadata={"a": "b"},
        user="me",
        store=True,
        top_p=0.5,
        truncation="auto",
        text={"format": {"type": "text"}},
        reasoning={"effort": "low"},
        include=["reasoning.encrypted_content"],
        tools=[],
        service_tier="auto",
        **OPTIONS,
    )
    assert (reply.metadata, reply.user, reply.top_p) == ({"a": "b"}, "me", 0.5)
    assert (reply.temperature, reply.max_output_tokens) == (0, 8)
    assert reply.truncation == "auto"
    assert reply.to_dict()["store"] is False


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"previous_response_id": "resp_1"}, "does not support previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "does not support tools"),
        ({"background": True}, "does not support background"),
        ({"conversation": "conv_1"}, "does not support conversation"),
        ({"prompt": {"id": "p"}}, "does not support prompt"),
        ({"text": {"format": {"type": "json_object"}}}, "does not support json_object"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "tiny does not support input_image; leave input.0.content.0 out",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]},
            "does not support input_file",
        ),
        (
            {"input": [*MESSAGES, {"type": "item_reference", "id": "msg_1"}]},
            "tiny does not support item_reference; leave input.1 out",
        ),
        ({"input": 3}, "input: found 3, expected text or a list"),
        ({"input": ""}, "the last message is empty"),
        ({"temperature": -1}, "temperature -1"),
        ({"truncation": "some"}, "truncation: found"),
    ],
    ids=str,
)
def test_what_is_not_there_is_refused_in_one_line(
    client: openai.OpenAI, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**{"input": "hi", "model": "tiny", **more})
    assert isinstance(refused.value.body, dict)
    assert message in str(refused.value.body["message"])
    assert refused.value.type == "invalid_request_error"


def test_no_response_can_be_looked_up(server: Served, client: openai.OpenAI) -> None:
    reply = client.responses.create(input="hi", **OPTIONS)
    for ask in (
        client.responses.retrieve,
        client.responses.delete,
        client.responses.cancel,
        client.responses.input_items.list,
    ):
        with pytest.raises(openai.NotFoundError, match="none is stored"):
            ask(reply.id)


def test_a_conversation_is_cut_unless_that_is_disabled(client: openai.OpenAI) -> None:
    talk: Any = [
        {"role": role, "content": "word " * 40} for _ in range(20) for role in ("user", "assistant")
    ]
    talk.append({"role": "user", "content": "hi"})
    assert client.responses.create(input=talk, **OPTIONS).truncation == "auto"
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(input=talk, truncation="disabled", **OPTIONS)
    assert refused.value.code == "context_length_exceeded"
    short = client.responses.create(input="hi", truncation="disabled", **OPTIONS)
    assert short.truncation == "disabled"
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(input="word " * 2000, stream=stream, **OPTIONS)
        assert refused.value.code == "context_length_exceeded"


def test_a_stream_that_is_cut_short_ends_with_an_error(
    server: Served, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object) -> None:
        raise EndingError("the server ends")

    monkeypatch.setattr(ResponsesReply, "end", end)
    with pytest.raises(openai.APIError, match="the server ends"):
        list(client.responses.create(input="hi", stream=True, **OPTIONS))
    reply = server.post("/v1/responses", input="hi", stream=True, max_output_tokens=2)
    *_, last = reply.text.removesuffix("\n\n").split("\n\n")
    name, data = last.split("\n")
    assert name == "event: error"
    message = json.loads(data.removeprefix("data: "))
    assert (message["message"], message["error"]["type"]) == (
        "the server ends",
        "unavailable_error",
    )
    TypeAdapter(ResponseErrorEvent).validate_python(message)
