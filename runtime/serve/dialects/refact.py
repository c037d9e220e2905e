"""The paths that the Refact plugins' engine calls, besides OpenAI's completions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.responses import JSONResponse, Response

from ...bundle.contract import TOKENIZER
from ...bundle.identity import manifest_hash
from ...text.abilities import PREFIX, SUFFIX, Abilities
from ..web.exchange import Call, Dialect, Endpoint
from ..web.files import file_response
from ..web.framing import Shape


class Caps(Shape):
    """GET /refact-caps: where everything is."""

    cloud_name: str
    completion: dict[str, Any]
    chat: dict[str, Any]
    embedding: dict[str, Any]
    telemetry_endpoints: dict[str, str]
    tokenizer_endpoints: dict[str, str]
    caps_version: int


def _filling(context: int, abilities: Abilities) -> dict[str, Any]:
    """Return how the plugins' engine is to put a hole: by these tokens, in the trained order.

    The token between both sides is the last of the prompt, and none in a few models.
    """
    suffix_first = abilities.hole.index(SUFFIX) < abilities.hole.index(PREFIX)
    last = abilities.hole[-1]
    scratchpad = {
        "fim_prefix": abilities.token_before(PREFIX),
        "fim_suffix": abilities.token_before(SUFFIX),
        "fim_middle": "" if last in (PREFIX, SUFFIX) else last,
        "eot": abilities.ends[0],
        "extra_stop_tokens": list(abilities.ends[1:]),
        "context_format": "",
        "rag_ratio": 0.0,
    }
    order = "FIM-SPM" if suffix_first else "FIM-PSM"
    return {"n_ctx": context, "supports_scratchpads": {order: scratchpad}}


async def caps(call: Call, _: None) -> Response:
    """Return where everything is."""
    name, about = call.settings.name, await call.service.about()
    context, abilities = about.bundle.sizes.context, about.abilities
    passed = {name: {"n_ctx": context, "supports_scratchpads": {"PASSTHROUGH": {}}}}
    content = Caps(
        cloud_name="Refact Self-Hosted",
        completion={
            "endpoint": "/v1/completions",
            "default_model": name if abilities.fills else "",
            "models": {name: _filling(context, abilities)} if abilities.fills else {},
        },
        chat={
            "endpoint": "/v1/chat/completions",
            "default_model": name if abilities.chats else "",
            "models": passed if abilities.chats else {},
        },
        embedding={"endpoint": "/v1/embeddings", "default_model": "", "models": {}},
        telemetry_endpoints={
            "telemetry_basic_endpoint": "/stats/telemetry-basic",
            "telemetry_basic_retrieve_my_own_endpoint": "/stats/rh-stats",
        },
        tokenizer_endpoints={name: f"/tokenizer/{name.replace('/', '--')}"},
        caps_version=1,
    )
    return JSONResponse(content.as_json())


async def tokenizer(call: Call, _: None) -> Response:
    """Return tokenizer.json, whatever the model is called."""
    bundle = (await call.service.about()).bundle
    sha256 = manifest_hash(bundle, TOKENIZER)
    return await file_response(bundle.path / TOKENIZER, "application/json", sha256=sha256)


async def dropped(_: Call, __: None) -> Response:
    """Accept clients' statistics, and drop them."""
    return JSONResponse({"retcode": "OK"})


def endpoints(dialect: Dialect) -> Iterable[Endpoint]:
    """Return Refact's paths; `dialect` reports their errors."""
    for path in ("/refact-caps", "/coding_assistant_caps.json"):
        yield Endpoint("GET", path, dialect, caps, "Where everything is", None, Caps)
    # Its client sends no key there.
    yield Endpoint(
        "GET", "/tokenizer/{name}", dialect, tokenizer, "The tokenizer's file", public=True
    )
    yield Endpoint("POST", "/stats/telemetry-basic", dialect, dropped, "Statistics: dropped")
    yield Endpoint("GET", "/stats/rh-stats", dialect, dropped, "Statistics: none")
