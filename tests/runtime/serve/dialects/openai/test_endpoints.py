"""OpenAI's interface: against the library, whole and streamed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from served import Served, events

from refact_edge.runtime.engine.sampling import GREEDY, Sampling
from refact_edge.runtime.serve.web.logprobs import spelled

PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"


def test_a_suffix_makes_a_hole_which_is_filled_as_the_library_does(server: Served) -> None:
    content = server.post(
        "/v1/completions", prompt=PREFIX, suffix=SUFFIX, max_tokens=12, temperature=0
    ).json()
    stream = server.model.complete(PREFIX, SUFFIX, max_tokens=12, stop=[], sampling=GREEDY)
    text = "".join(stream)
    choice = content["choices"][0]
    assert (choice["text"], choice["index"]) == (text, 0)
    assert choice["finish_reason"] == ("length" if stream.finish == "length" else "stop")
    assert content["usage"]["prompt_tokens"] == stream.usage.prompt
    assert content["usage"]["completion_tokens"] == stream.usage.new
    assert content["usage"]["total_tokens"] == stream.usage.prompt + stream.usage.new
    assert content["object"] == "text_completion"


def test_a_second_request_tells_how_much_was_reused(server: Served) -> None:
    body = {"prompt": PREFIX * 3, "suffix": SUFFIX, "max_tokens": 4, "temperature": 0}
    server.post("/v1/completions", **body)
    usage = server.post("/v1/completions", **body).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] - 1


def test_special_tokens_count_in_a_raw_prompt_and_not_beside_a_suffix(server: Served) -> None:
    raw = "<fim_prefix>a<fim_suffix>b<fim_middle>"
    tokens = server.model.tokens
    usage = server.post("/v1/completions", prompt=raw, max_tokens=1).json()["usage"]
    assert usage["prompt_tokens"] == len(tokens.encode_special(raw)) == 5
    usage = server.post("/v1/completions", prompt=raw, suffix="b", max_tokens=1).json()["usage"]
    assert usage["prompt_tokens"] > 5 + 3


def test_ids_and_lists_of_prompts_are_answered_in_order(server: Served) -> None:
    ids = server.model.tokens.encode(PREFIX)
    alone = [
        server.post("/v1/completions", prompt=p, max_tokens=5, temperature=0).json()["choices"][0]
        for p in (PREFIX, "import os\n", ids)
    ]
    assert alone[2]["text"] == alone[0]["text"]
    both = server.post(
        "/v1/completions", prompt=[PREFIX, "import os\n"], max_tokens=5, temperature=0, n=2
    ).json()["choices"]
    assert [choice["index"] for choice in both] == [0, 1, 2, 3]
    expected = [alone[0]["text"]] * 2 + [alone[1]["text"]] * 2
    assert [choice["text"] for choice in both] == expected
    unknown = server.post("/v1/completions", prompt=[10**6], max_tokens=5)
    assert unknown.status_code == 400
    assert "1000000" in unknown.json()["error"]["message"]


def test_a_seed_draws_the_same_and_alternatives_differ(server: Served) -> None:
    body = {"prompt": PREFIX, "max_tokens": 12, "temperature": 1.5, "seed": 7, "n": 3}
    first, again = (
        [c["text"] for c in server.post("/v1/completions", **body).json()["choices"]]
        for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == 3
    sampling = Sampling(temperature=1.5, seed=7)
    stream = server.model.generate(PREFIX, special=True, max_tokens=12, sampling=sampling)
    assert "".join(stream) == first[0]


def test_stop_strings_end_a_text_and_are_not_part_of_it(server: Served) -> None:
    body = {"prompt": PREFIX, "max_tokens": 40, "temperature": 0}
    text = server.post("/v1/completions", **body).json()["choices"][0]["text"]
    stop = text[8:10]
    content = server.post("/v1/completions", **body, stop=stop).json()["choices"][0]
    assert content["text"] == text[: text.index(stop)]
    assert content["finish_reason"] == "stop"


def test_a_stream_says_what_the_whole_answer_says(server: Served) -> None:
    body = {"prompt": PREFIX, "suffix": SUFFIX, "max_tokens": 9, "temperature": 0}
    whole = server.post("/v1/completions", **body).json()
    reply = server.post(
        "/v1/completions", **body, stream=True, stream_options={"include_usage": True}
    )
    assert reply.headers["content-type"] == "text/event-stream"
    *parts, last = events(reply.text)
    assert last == "[DONE]"
    *chunks, usage = map(json.loads, parts)
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_no_chunk_is_empty_without_a_reason(server: Served) -> None:
    """Refact's client panics on one."""
    bodies: list[tuple[str, dict[str, object]]] = [
        ("/v1/completions", {"prompt": PREFIX}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/fim/completions", {"prompt": PREFIX, "suffix": SUFFIX}),
    ]
    for path, body in bodies:
        reply = server.post(path, **body, stream=True, max_tokens=20)
        *parts, _ = events(reply.text)
        for choice in (json.loads(event)["choices"][0] for event in parts):
            text = choice["text"] if "text" in choice else choice["delta"].get("content")
            assert text or choice["finish_reason"], (path, choice)


def test_logprobs_are_those_of_the_model(server: Served) -> None:
    body = {"prompt": PREFIX, "max_tokens": 6, "temperature": 0, "logprobs": 3}
    content = server.post("/v1/completions", **body).json()["choices"][0]
    entries = content["logprobs"]
    stream = server.model.generate(PREFIX, special=True, max_tokens=6, sampling=GREEDY)
    assert "".join(stream) == content["text"]
    assert entries["tokens"] == [spelled(server.model.tokens, token) for token in stream.ids]
    assert entries["text_offset"] == sorted(entries["text_offset"])
    assert entries["text_offset"][0] == 0
    for token, logprob, top in zip(
        entries["tokens"], entries["token_logprobs"], entries["top_logprobs"], strict=True
    ):
        assert len(top) == 3
        assert top[token] == logprob == max(top.values())  # greedy
    ids = server.model.tokens.encode(PREFIX)
    session = server.model.session
    row = session.step(np.array(ids), session.new_cache())[0][: server.model.tokens.size]
    row = row.astype(np.float64)
    expected = row.max() - np.log(np.exp(row - row.max()).sum()) - row.max()
    assert math.isclose(entries["token_logprobs"][0], expected, abs_tol=1e-4)


def test_a_piece_of_a_character_is_spelled_in_bytes(server: Served) -> None:
    tokens = server.model.tokens
    pieces = [spelled(tokens, token) for token in range(tokens.size)]
    assert "bytes:\\xe2" in pieces
    assert spelled(tokens, tokens.encode("a")[0]) == "a"


def test_echo_repeats_the_prompt_and_scores_it(server: Served) -> None:
    body = {"prompt": PREFIX, "echo": True, "logprobs": 0, "max_tokens": 0}
    content = server.post("/v1/completions", **body).json()["choices"][0]
    assert content["text"] == PREFIX
    entries = content["logprobs"]
    assert "".join(entries["tokens"]) == PREFIX
    assert entries["token_logprobs"][0] is None
    assert all(logprob < 0 for logprob in entries["token_logprobs"][1:])
    longer = server.post("/v1/completions", **{**body, "max_tokens": 3, "temperature": 0}).json()
    assert longer["choices"][0]["text"].startswith(PREFIX)
    prompt = longer["choices"][0]["logprobs"]["token_logprobs"][1 : len(entries["tokens"])]
    assert np.allclose(prompt, entries["token_logprobs"][1:], atol=1e-4)
    streamed = server.post("/v1/completions", prompt=PREFIX, echo=True, max_tokens=2, stream=True)
    first = json.loads(events(streamed.text)[0])["choices"][0]["text"]
    assert first.startswith(PREFIX)


def test_a_chat_answers_as_the_library_does(server: Served) -> None:
    messages = [{"role": "user", "content": "What is a heap?"}]
    body = {"messages": messages, "max_completion_tokens": 9, "temperature": 0}
    content = server.post("/v1/chat/completions", **body).json()
    text = "".join(server.model.chat(messages, max_tokens=9, sampling=GREEDY))
    assert content["choices"][0]["message"] == {"role": "assistant", "content": text}
    *pieces, _ = events(server.post("/v1/chat/completions", **body, stream=True).text)
    deltas = [json.loads(event)["choices"][0]["delta"] for event in pieces]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == text
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is a heap?"}]}]
    again = server.post("/v1/chat/completions", **{**body, "messages": parts}).json()
    assert again["choices"][0]["message"]["content"] == text


def test_mistrals_form_of_a_hole_is_answered_like_a_chat(server: Served) -> None:
    body = {"prompt": PREFIX, "suffix": SUFFIX, "max_tokens": 8, "temperature": 0}
    content = server.post("/v1/fim/completions", **body).json()
    text = server.post("/v1/completions", **body).json()["choices"][0]["text"]
    assert content["choices"][0]["message"]["content"] == text
    *parts, _ = events(server.post("/v1/fim/completions", **body, stream=True).text)
    deltas = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in parts]
    assert "".join(deltas) == text


def test_any_model_is_accepted_and_echoed(server: Served) -> None:
    content = server.post("/v1/completions", model="gpt-9", prompt="a", max_tokens=1).json()
    assert content["model"] == "gpt-9"
    listed = server.http.get("/v1/models").json()["data"]
    assert [card["id"] for card in listed] == ["tiny"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "prompt: missing; give one"),
        ({"prompt": "a", "max_tokens": -5}, "max_tokens"),
        ({"prompt": "a", "temperature": -1}, "temperature -1"),
        ({"prompt": "a", "n": 99}, "n: "),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "word " * 2000}, "shorten the prompt"),
        ({"prompt": "a", "logprobs": "many"}, "logprobs"),
    ],
)
def test_a_mistake_is_told_in_openais_form(
    server: Served, body: dict[str, object], message: str
) -> None:
    reply = server.post("/v1/completions", **body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_mistake_in_a_streamed_request_is_a_status_too(server: Served) -> None:
    reply = server.post("/v1/completions", prompt="word " * 2000, stream=True)
    assert reply.status_code == 400


def test_the_newer_name_for_the_most_tokens_counts(server: Served) -> None:
    body = {"prompt": PREFIX, "temperature": 0, "max_tokens": 9, "max_completion_tokens": 2}
    assert server.post("/v1/completions", **body).json()["usage"]["completion_tokens"] == 2


def test_more_tokens_than_there_is_room_for_are_cut_to_what_fits(server: Served) -> None:
    messages = [{"role": "user", "content": "hi"}]
    reply = server.post("/v1/chat/completions", messages=messages, max_tokens=100_000)
    assert reply.status_code == 200


def test_an_empty_suffix_makes_a_hole_too(server: Served) -> None:
    """At the end of a file; user text must stay text there."""
    text = "a <fim_middle> b <fim_prefix>"
    replies = [
        server.post("/v1/completions", prompt=text, suffix=s, max_tokens=1) for s in ("", "b")
    ]
    without, with_one = (reply.json()["usage"]["prompt_tokens"] for reply in replies)
    assert without == with_one - 1
    ids = server.post("/v1/completions", prompt=[1, 2], suffix="")
    assert ids.status_code == 400


def test_lists_of_logprobs_are_as_long_as_each_other(server: Served) -> None:
    for more in ({"suffix": SUFFIX}, {"suffix": SUFFIX, "echo": True}, {"echo": True}, {}):
        body = {"prompt": PREFIX, "logprobs": 1, "max_tokens": 3, "temperature": 0}
        choice = server.post("/v1/completions", **body, **more).json()["choices"][0]
        entries = choice["logprobs"]
        assert len({len(values) for values in entries.values()}) == 1, more
        assert entries["text_offset"] == sorted(entries["text_offset"])
        assert entries["text_offset"][-1] <= len(choice["text"])


def test_nothing_to_write_only_reads_the_prompt(server: Served) -> None:
    prompt = "value = 1\n" * 20
    content = server.post("/v1/completions", prompt=prompt, max_tokens=0).json()
    assert content["choices"][0]["text"] == ""
    again = server.post("/completion", prompt=prompt, n_predict=1).json()
    assert again["timings"]["cache_n"] > 50


def test_a_model_has_a_card_by_any_name(server: Served) -> None:
    card = server.http.get("/v1/models/some/model").json()
    assert (card["id"], card["object"]) == ("some/model", "model")


def test_what_the_model_cannot_do_is_refused_and_not_left_aside(server: Served) -> None:
    messages = [{"role": "user", "content": "hi"}]
    tools = [{"type": "function", "function": {"name": "f"}}]
    reply = server.post("/v1/chat/completions", messages=messages, tools=tools)
    assert reply.status_code == 400
    assert "tools" in reply.json()["error"]["message"]
    harmless: tuple[dict[str, object], ...] = (
        {"tools": []},
        {"tools": None},
        {"tool_choice": "none"},
    )
    for more in harmless:
        request = {"messages": messages, "max_tokens": 1, **more}
        assert server.post("/v1/chat/completions", **request).status_code == 200
    image = {"type": "image_url", "image_url": {"url": "x"}}
    reply = server.post("/v1/chat/completions", messages=[{"role": "user", "content": [image]}])
    message = "tiny does not support image_url; leave messages.0.content.0 out"
    assert reply.json()["error"]["message"] == message
    reply = server.post("/v1/completions", prompt="a", logit_bias={"5": 1})
    assert "logit_bias" in reply.json()["error"]["message"]


def test_embeddings_are_refused_in_openais_form(server: Served) -> None:
    reply = server.post("/v1/embeddings", input="a")
    assert reply.status_code == 501
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


def test_no_name_of_a_model_lists_it(server: Served) -> None:
    assert server.http.get("/v1/models/").json() == server.http.get("/v1/models").json()


def test_a_prompt_beyond_the_context_is_told_in_openais_words(server: Served) -> None:
    context = server.model.context_tokens
    long = "word " * 2000
    for path, body in (
        ("/v1/completions", {"prompt": long}),
        ("/v1/completions", {"prompt": long, "stream": True}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": long}]}),
    ):
        reply = server.post(path, **body)
        assert reply.status_code == 400
        error = reply.json()["error"]
        assert error["code"] == "context_length_exceeded"
        assert error["type"] == "invalid_request_error"
        assert f"maximum context length is {context} tokens" in error["message"]
