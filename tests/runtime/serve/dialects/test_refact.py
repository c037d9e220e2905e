"""What the Refact plugins' engine asks, in its own words."""

from __future__ import annotations

import json

from served import Serve, Served, events


def test_caps_lead_to_everything(server: Served) -> None:
    caps = server.http.get("/refact-caps").json()
    assert server.http.get("/coding_assistant_caps.json").json() == caps
    name = caps["completion"]["default_model"]
    scratchpads = caps["completion"]["models"][name]["supports_scratchpads"]
    assert list(scratchpads) == ["FIM-SPM"]
    words = [scratchpads["FIM-SPM"][name] for name in ("fim_prefix", "fim_suffix", "fim_middle")]
    assert words == ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]
    assert caps["completion"]["models"][name]["n_ctx"] == server.model.context_tokens
    tokenizer = server.http.get(caps["tokenizer_endpoints"][name])
    file = server.model.bundle.path / "tokenizer.json"
    assert tokenizer.json() == json.loads(file.read_text())
    telemetry = caps["telemetry_endpoints"]["telemetry_basic_endpoint"]
    assert server.post(telemetry, records=[1]).status_code == 200


def test_the_engines_completion_is_answered_as_it_reads_it(server: Served) -> None:
    body = {
        "model": "Refact/1.6B",
        "prompt": "<fim_suffix>\n    return a\n<fim_prefix>def f(a):\n    a = <fim_middle>",
        "stop": ["\n\n", "<|endoftext|>"],
        "temperature": 0.2,
        "max_completion_tokens": 10,
        "n": 1,
        "echo": False,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    *parts, last = events(server.post("/v1/completions", **body).text)
    assert last == "[DONE]"
    texts = [json.loads(event)["choices"] for event in parts]
    assert texts[-1] == []
    for (choice,) in texts[:-1]:
        assert choice["text"] or choice["finish_reason"] in ("stop", "length")


def test_only_the_tokenizer_and_the_health_need_no_key(serve: Serve) -> None:
    with serve(api_key="secret") as served:
        assert served.http.get("/refact-caps").status_code == 401
        assert served.http.get("/tokenizer/Refact--1.6B").status_code == 200
        assert served.http.get("/health").status_code == 200
        header = {"authorization": "Bearer secret"}
        assert served.http.get("/refact-caps", headers=header).status_code == 200
