"""What is listed and refused of a base model without holes, and of one with another order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edited import edit_manifest
from served import Served, serving

from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.text.endings import NO_ENDINGS

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def base(bundle_copy: Path) -> Iterator[Served]:
    def edit(manifest: dict[str, Any]) -> None:
        order = {"default": "prefix", "orders": {"prefix": ["prefix"]}}
        manifest["prompts"] |= {"fim": order, "chat": None}

    edit_manifest(bundle_copy, edit)
    with serving(bundle_copy) as served:
        yield served


def test_a_hole_is_filled_from_the_prefix_alone(base: Served) -> None:
    prefix = "def f(a):\n    return "
    alone = base.model.complete(prefix, max_tokens=6, stop=(), endings=NO_ENDINGS, sampling=GREEDY)
    text = "".join(alone)
    asked = {"prompt": prefix, "suffix": "\n# far away\n", "max_tokens": 6, "temperature": 0}
    response = base.post("/v1/completions", **asked)
    assert response.status_code == 200
    assert text.startswith(response.json()["choices"][0]["text"])
    body = {"input_prefix": prefix, "input_suffix": "\n# far away\n", "n_predict": 6}
    response = base.post("/infill", **body, temperature=0)
    assert response.status_code == 200
    assert response.json()["tokens_evaluated"] == alone.usage.prompt


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES}, 400),
        ("/v1/responses", {"input": "hi"}, 400),
        ("/api/chat", {"messages": MESSAGES}, 400),
        ("/api/generate", {"prompt": "hi", "system": "be brief"}, 400),
        ("/apply-template", {"messages": MESSAGES}, 501),
    ],
)
def test_a_chat_is_refused_with_one_line(
    path: str, body: dict[str, Any], status: int, base: Served
) -> None:
    response = base.post(path, **body)
    assert response.status_code == status
    assert "tiny does not support chat: it is a base model" in response.text


def test_its_lists_offer_nothing_that_it_cannot_do(base: Served) -> None:
    shown = base.post("/api/show", name="tiny").json()
    assert shown["capabilities"] == ["completion"]
    assert ".Suffix" not in shown["template"]
    caps = base.http.get("/refact-caps").json()
    assert (caps["completion"]["models"], caps["chat"]["models"]) == ({}, {})
    (card,) = base.http.get("/v1/models").json()["data"]
    assert (card["meta"]["fills_holes"], card["meta"]["chats"]) == (False, False)


def test_a_model_of_the_other_order_is_listed_with_its_own(bundle_copy: Path) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["prompts"]["fim"]["default"] = "psm"

    edit_manifest(bundle_copy, edit)
    with serving(bundle_copy) as served:
        hole = "<fim_prefix>{{ .Prompt }}<fim_suffix>{{ .Suffix }}<fim_middle>"
        assert hole in served.post("/api/show", name="tiny").json()["template"]
        (model,) = served.http.get("/refact-caps").json()["completion"]["models"].values()
        assert list(model["supports_scratchpads"]) == ["FIM-PSM"]
