"""The OpenAPI document: complete, and true of requests that are made up from it."""

from __future__ import annotations

import os
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from served import Served

from refact_edge.runtime.serve.app import all_endpoints
from refact_edge.runtime.serve.service.settings import Settings
from refact_edge.runtime.serve.web.openapi import document, written

# Of each operation with a body to make up, the same each time (100 take a minute), and of others.
EXAMPLES = int(os.environ.get("REFACT_EDGE_TEST_EXAMPLES", "10"))
WITHOUT_BODY = 3


def test_every_endpoint_is_in_it_with_its_shapes() -> None:
    rows = all_endpoints(Settings())
    result = document(rows, Settings())
    assert {
        (path, method.upper()) for path, item in result["paths"].items() for method in item
    } == {(written(row.path), row.method) for row in rows}
    for row in rows:
        operation = result["paths"][written(row.path)][row.method.lower()]
        assert ("requestBody" in operation) == (row.request is not None)
        assert operation["summary"]
    assert "components" in result


def test_a_key_is_announced_where_one_is_asked_for() -> None:
    chosen = Settings(api_key="k")
    paths = document(all_endpoints(chosen), chosen)["paths"]
    assert paths["/v1/completions"]["post"]["security"] == [{"key": []}]
    assert "security" not in paths["/health"]["get"]


def test_no_made_up_request_meets_a_bug(server: Served) -> None:
    """Each operation is called with data that fits its schema, and with some that does not."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    called = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        strategy = st.one_of(
            operation.as_strategy(),
            operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
        )
        bodies = "requestBody" in operation.definition.raw

        @settings(
            max_examples=EXAMPLES if bodies else WITHOUT_BODY,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def call(case: schemathesis.Case[Any]) -> None:
            nonlocal called
            called += 1
            reply = case.call(timeout=30)
            assert reply.status_code < 500 or reply.status_code in (501, 503), reply.text

        call()
    assert called > 10 * EXAMPLES
    assert server.http.get("/health").status_code == 200
