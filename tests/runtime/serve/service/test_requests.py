"""Options of a request: each dialect has its own names for the same ones."""

from types import SimpleNamespace
from typing import Any

import pytest

from refact_edge.runtime.serve.dialects.llamacpp import endpoints as llamacpp
from refact_edge.runtime.serve.dialects.llamacpp import shapes as llamacpp_shapes
from refact_edge.runtime.serve.dialects.ollama import endpoints as ollama
from refact_edge.runtime.serve.dialects.ollama import shapes as ollama_shapes
from refact_edge.runtime.serve.dialects.openai import shapes as openai_shapes
from refact_edge.runtime.serve.service.requests import GenerationOptions

SHARED: dict[str, Any] = {
    "temperature": 0.5,
    "top_k": 7,
    "top_p": 0.9,
    "min_p": 0.1,
    "seed": 3,
    "stop": ["x"],
}
PENALTIES: dict[str, Any] = {"presence_penalty": 0.2, "frequency_penalty": 0.3}
EXPECTED = GenerationOptions(
    max_tokens=5,
    repetition_penalty=1.1,
    **SHARED,
    **PENALTIES,
)


def test_llama_cpps_names_are_the_same_options() -> None:
    fields = {**SHARED, **PENALTIES, "n_predict": 5, "repeat_penalty": 1.1}
    body = llamacpp_shapes.CompletionRequest(prompt="a", **fields)
    assert llamacpp._options(body) == EXPECTED


def test_ollamas_names_are_the_same_options() -> None:
    fields = {**SHARED, **PENALTIES, "num_predict": 5, "repeat_penalty": 1.1}
    options = ollama_shapes.Options(**fields)
    assert ollama._options(ollama_shapes.GenerateRequest(options=options)) == EXPECTED


def test_openais_names_are_ours() -> None:
    fields = {**SHARED, **PENALTIES, "max_tokens": 5, "repetition_penalty": 1.1}
    body = openai_shapes.FimRequest(prompt="a", **fields)
    assert GenerationOptions.from_request(body) == EXPECTED


def test_an_alias_that_a_request_does_not_have_is_a_bug() -> None:
    assert GenerationOptions.from_request(SimpleNamespace()) == GenerationOptions()
    with pytest.raises(AttributeError):
        GenerationOptions.from_request(SimpleNamespace(), max_tokens="n_predict")


def test_filters_that_samplers_do_not_name_are_off() -> None:
    fields = {**SHARED, "n_predict": 5}
    body = llamacpp_shapes.CompletionRequest(prompt="a", samplers="kt", **fields)
    options = llamacpp._options(body)
    assert (options.top_k, options.temperature) == (7, 0.5)
    assert (options.top_p, options.min_p) == (1.0, 0.0)
