"""llama.cpp's interface, with what its editor plugins send, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from served import Served, events, serving

from refact_edge.runtime.engine.sampling import GREEDY

PREFIX = "import os\n\n\ndef names(path):\n"
PROMPT = "    return "
SUFFIX = "\n\n\nprint(names('.'))\n"

# As llama.vim writes them; what it reads of the answer are the response_fields.
LLAMA_VIM: dict[str, Any] = {
    "id_slot": 0,
    "input_prefix": PREFIX,
    "input_suffix": SUFFIX,
    "input_extra": [
        {"text": "def first():\n    return 1\n", "time": [1, 2], "filename": "/home/me/first.py"}
    ],
    "prompt": PROMPT,
    "n_predict": 24,
    "stop": [],
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.90,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
    "response_fields": [
        "content",
        "timings/prompt_n",
        "timings/prompt_ms",
        "timings/prompt_per_token_ms",
        "timings/prompt_per_second",
        "timings/predicted_n",
        "timings/predicted_ms",
        "timings/predicted_per_token_ms",
        "timings/predicted_per_second",
        "truncated",
        "tokens_cached",
    ],
}
LLAMA_VIM_WARM = LLAMA_VIM | {
    "n_predict": 0,
    "samplers": [],
    "t_max_prompt_ms": 1,
    "t_max_predict_ms": 1,
    "response_fields": [""],
}
LLAMA_VSCODE = {
    "input_prefix": PREFIX,
    "input_suffix": SUFFIX,
    "input_extra": [{"text": "x = 1\n", "filename": "x.py"}],
    "prompt": PROMPT,
    "n_predict": 24,
    "n_cmpl": 3,
    "top_k": 40,
    "top_p": 0.99,
    "stream": False,
    "n_indent": 4,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 500,
    "lora": [{"id": 0, "scale": 0.5}],
}


def test_llama_vim_gets_the_flat_fields_it_reads(server: Served) -> None:
    content = server.post("/infill", **LLAMA_VIM).json()
    assert set(content) == set(LLAMA_VIM["response_fields"])
    assert isinstance(content["content"], str)
    assert content["timings/predicted_n"] <= 24
    assert content["timings/prompt_n"] > 0
    assert content["truncated"] is False
    assert content["tokens_cached"] >= content["timings/prompt_n"]


def test_the_hole_is_what_the_fields_say(server: Served) -> None:
    """The prompt follows the prefix, files stand before it, n_indent ends lines."""
    content = server.post("/infill", **{**LLAMA_VSCODE, "n_cmpl": 1, "temperature": 0}).json()
    tokens = server.model.tokens
    assert "x = 1\n" in content["prompt"]
    assert (PREFIX + PROMPT).rstrip() in content["prompt"]
    assert content["generation_settings"]["n_ctx"] == server.model.context_tokens
    assert content["tokens_evaluated"] == len(tokens.encode_special(content["prompt"]))


def test_a_warm_up_answers_with_nothing_and_is_found_read(server: Served) -> None:
    prefix = "class Warm:\n" * 30
    warm = LLAMA_VIM_WARM | {"input_prefix": prefix}
    reply = server.post("/infill", **warm)
    assert (reply.status_code, reply.json()) == (200, {})
    body = LLAMA_VIM | {"input_prefix": prefix, "response_fields": ["timings/cache_n"]}
    content = server.post("/infill", **body).json()
    assert content["timings/cache_n"] > 100


def test_llama_vscode_gets_alternatives_that_differ(server: Served) -> None:
    drawn = LLAMA_VSCODE | {"samplers": ["top_k", "temperature"], "temperature": 1.5, "seed": 3}
    content = server.post("/infill", **drawn).json()
    texts = [one["content"] for one in content]
    assert len(texts) == len(set(texts)) == 3
    assert {"predicted_n", "prompt_ms", "cache_n"} <= set(content[0]["timings"])
    assert content[1]["timings"]["cache_n"] == content[1]["tokens_evaluated"] - 1
    greedy = LLAMA_VSCODE | {"samplers": ["temperature"], "temperature": 0}
    same = server.post("/infill", **greedy).json()
    assert isinstance(same, list)
    assert len(same) == 1


def test_the_prompts_time_is_obeyed_only_when_asked_for(tiny_bundle: Path) -> None:
    prefix = "".join(f"value_{i} = {i}\n" for i in range(400))
    body = LLAMA_VSCODE | {"input_prefix": prefix, "n_cmpl": 1, "t_max_prompt_ms": 0.5}
    with serving(tiny_bundle) as plain, serving(tiny_bundle, honour_prompt_time=True) as obeying:
        whole = plain.post("/infill", **body).json()["tokens_evaluated"]
        short = obeying.post("/infill", **body).json()["tokens_evaluated"]
    assert whole > 500
    assert short < 200


def test_writing_ends_at_a_line_end_when_its_time_is_over(demo_bundle: Path) -> None:
    body = {
        "input_prefix": "class A:\n    def f(self):\n        ",
        "input_suffix": "",
        "n_predict": 60,
        "temperature": 0,
    }
    with serving(demo_bundle) as served:
        long = served.post("/infill", **body).json()
        short = served.post("/infill", **body, t_max_predict_ms=0.001).json()
    assert long["content"].count("\n") > 1
    assert long["content"].startswith(short["content"])
    assert "\n" not in short["content"].strip("\n")
    assert short["stop_type"] == "word"


def test_a_stream_ends_with_all_that_is_known(server: Served) -> None:
    body = {"input_prefix": PREFIX, "input_suffix": SUFFIX, "n_predict": 8, "temperature": 0}
    reply = server.post("/infill", **body, stream=True)
    *parts, last = map(json.loads, events(reply.text))
    assert all(part["stop"] is False for part in parts)
    assert last["stop"] is True
    assert "timings" in last
    whole = server.post("/infill", **body).json()
    assert "".join(part["content"] for part in parts) == whole["content"]
    messages = [token for part in parts for token in part["tokens"]]
    assert messages == whole["tokens"][: len(messages)]


def test_a_completion_goes_on_from_text_or_ids(server: Served) -> None:
    body = {"n_predict": 6, "temperature": 0, "n_probs": 2}
    content = server.post("/completion", prompt=PREFIX, **body).json()
    text = "".join(server.model.generate(PREFIX, special=True, max_tokens=6, sampling=GREEDY))
    assert content["content"] == text
    assert len(content["completion_probabilities"]) == content["tokens_predicted"]
    assert len(content["completion_probabilities"][0]["top_logprobs"]) == 2
    ids = server.model.tokens.encode(PREFIX)
    assert server.post("/completion", prompt=ids, **body).json()["content"] == text
    mixed = [*ids[:2], server.model.tokens.decode(ids[2:])]
    assert server.post("/completion", prompt=mixed, **body).status_code == 200


@pytest.mark.parametrize(
    ("why", "body", "kind"),
    [
        ("limit", {"n_predict": 3}, "limit"),
        ("a word", {"n_predict": 40, "stop_after": 1}, "word"),
    ],
)
def test_an_answer_says_why_it_ended(
    server: Served, why: str, body: dict[str, Any], kind: str
) -> None:
    request: dict[str, Any] = {"prompt": PREFIX, "temperature": 0, "n_predict": 40}
    text = server.post("/completion", **request).json()["content"]
    if (after := body.pop("stop_after", None)) is not None:
        request["stop"] = [text[after : after + 2]]
    content = server.post("/completion", **{**request, **body}).json()
    assert content["stop_type"] == kind, why
    assert content["stopping_word"] == (request.get("stop", [""])[0])


def test_tokens_go_there_and_back(server: Served) -> None:
    text = "def f(): <fim_middle> # é\n"
    ids = server.post("/tokenize", content=text).json()["tokens"]
    assert ids == server.model.tokens.encode_special(text)
    assert server.post("/detokenize", tokens=ids).json() == {"content": text}
    plain = server.post("/tokenize", content=text, parse_special=False).json()["tokens"]
    assert plain == server.model.tokens.encode(text)
    pieces = server.post("/tokenize", content="a b", with_pieces=True).json()["tokens"]
    assert "".join(piece["piece"] for piece in pieces) == "a b"
    assert server.post("/detokenize", tokens=[10**7]).status_code == 400


def test_what_llama_vscode_looks_at_is_there(server: Served) -> None:
    assert server.http.get("/health").json()["status"] == "ok"
    props = server.http.get("/props").json()
    assert props["default_generation_settings"]["n_ctx"] == server.model.context_tokens
    messages = [{"role": "user", "content": "hi"}]
    assert "USER hi" in server.post("/apply-template", messages=messages).json()["prompt"]
    assert server.post("/v1/embeddings", input="a").status_code == 501


def test_mistakes_are_told_in_llamacpps_form(server: Served) -> None:
    reply = server.post("/infill", input_prefix="a")
    error = reply.json()["error"]
    assert reply.status_code == error["code"] == 400
    assert "input_suffix" in error["message"]
    grammar = server.post("/completion", prompt="a", grammar="root ::= x")
    assert grammar.status_code == 501


@pytest.mark.parametrize("new", [24, 128])
def test_what_a_warm_up_read_is_what_the_next_request_asks(server: Served, new: int) -> None:
    """Also of a file that does not fit, which is cut by how many tokens may be new."""
    prefix = "".join(f"line_{new}_{i} = {i}\n" for i in range(300))
    server.post("/infill", **LLAMA_VIM | {"n_predict": new})
    server.post("/infill", **LLAMA_VIM_WARM | {"input_prefix": prefix})
    fields = ["timings/cache_n", "timings/prompt_n"]
    body = LLAMA_VIM | {"input_prefix": prefix, "n_predict": new, "response_fields": fields}
    content = server.post("/infill", **body).json()
    assert content["timings/prompt_n"] <= 2 < content["timings/cache_n"]


def test_files_alone_are_not_read_ahead(server: Served) -> None:
    """They stand behind the suffix, which is not known yet."""
    body = LLAMA_VIM_WARM | {"input_prefix": "", "input_suffix": "", "prompt": ""}
    content = server.post("/infill", **body | {"response_fields": ["tokens_evaluated"]}).json()
    assert content == {"tokens_evaluated": 0}


def test_filters_may_be_named_by_letters(server: Served) -> None:
    content = server.post("/completion", prompt="a", n_predict=1, samplers="kt", top_p=0.5).json()
    assert content["generation_settings"]["top_p"] == 1


def test_what_changes_nothing_may_be_anything(server: Served) -> None:
    for name in ("cache_prompt", "id_slot", "lora", "return_tokens"):
        reply = server.post("/completion", prompt="a", n_predict=1, **{name: "auto"})
        assert reply.status_code == 200, name


def test_a_prompt_beyond_the_context_is_told_in_llamacpps_words(server: Served) -> None:
    prompt = "word " * 2000
    reply = server.post("/completion", prompt=prompt)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["type"] == "exceed_context_size_error"
    assert error["code"] == 400
    assert error["n_prompt_tokens"] == len(server.model.tokens.encode_special(prompt))
    assert error["n_ctx"] == server.model.context_tokens
    assert "exceeds the available context size" in error["message"]
