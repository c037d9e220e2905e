"""The model in Ollama's interface: its name, how large it is, until when in memory."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from starlette.responses import JSONResponse, Response

from ..... import __version__
from ....bundle.decoder import in_billions, parameter_count
from ....text.abilities import PREFIX, SUFFIX, Abilities
from ...service.service import About
from ...web.exchange import Call
from ...web.files import written_s
from . import shapes as shapes

_SLOTS = {PREFIX: "{{ .Prompt }}", SUFFIX: "{{ .Suffix }}"}
# Where llama.cpp, and so Ollama, calls an architecture otherwise than its config.json.
_FAMILIES = {"gpt_refact": "refact"}
_CLOCK_BEGAN_S = time.time() - time.perf_counter()
# Of the dialect: clients ask for features by it, and the pickiest want this one at least.
_VERSION = "0.6.4"


def _family(about: About) -> str:
    return _FAMILIES.get(about.bundle.architecture, about.bundle.architecture)


def _template(abilities: Abilities) -> str:
    """Return the template of a hole; Continue fills holes natively where one names .Suffix."""
    if not abilities.fills:
        return "{{ .Prompt }}"
    hole = "".join(_SLOTS.get(part, part) for part in abilities.hole)
    return f"{{{{- if .Suffix }}}}{hole}{{{{- else }}}}{{{{ .Prompt }}}}{{{{- end }}}}"


def _details(about: About) -> dict[str, Any]:
    family = _family(about)
    return {
        "parent_model": "",
        "format": "onnx",
        "family": family,
        "families": [family],
        "parameter_size": in_billions(parameter_count(about.bundle.decoder)),
        "quantization_level": about.variant,
    }


def _listed(call: Call, about: About) -> dict[str, Any]:
    name = call.settings.name
    identity = json.dumps(
        [name, about.variant, about.bundle.provenance], sort_keys=True, default=str
    )
    return {
        "name": name,
        "model": name,
        "modified_at": _modified(about),
        "size": about.bytes,
        "digest": sha256(identity.encode()).hexdigest(),
        "details": _details(about),
    }


def _modified(about: About) -> str:
    written = written_s(about.bundle.path / "config.json")
    return datetime.fromtimestamp(written, UTC).isoformat().replace("+00:00", "Z")


async def tags(call: Call, _: None) -> Response:
    """List the one model."""
    return JSONResponse({"models": [_listed(call, await call.service.about())]})


async def running(call: Call, _: None) -> Response:
    """List the model if it is in memory."""
    if not call.service.loaded:
        return JSONResponse({"models": []})
    listed = _listed(call, await call.service.about())
    listed |= {"expires_at": _expiry(call.service.goes_s), "size_vram": 0}
    return JSONResponse({"models": [listed]})


def _expiry(goes_s: float | None) -> str:
    """Return the date of a reading of the clock, the same one each time."""
    if goes_s is None:
        return "9999-12-31T23:59:59Z"
    return datetime.fromtimestamp(_CLOCK_BEGAN_S + goes_s, UTC).isoformat().replace("+00:00", "Z")


async def show(call: Call, body: shapes.ShowRequest) -> Response:
    """Tell what the model is; its template names .Suffix, which tells that it fills holes."""
    about = await call.service.about()
    sizes, sampling, family = about.bundle.sizes, about.sampling, _family(about)
    return JSONResponse(
        {
            "modelfile": "",
            "parameters": f"num_ctx {sizes.context}\ntemperature {sampling.temperature}",
            "template": _template(about.abilities),
            "details": _details(about),
            "model_info": {
                "general.architecture": family,
                "general.basename": body.model or body.name or call.settings.name,
                "general.parameter_count": parameter_count(about.bundle.decoder),
                f"{family}.context_length": sizes.context,
                f"{family}.embedding_length": sizes.width,
                f"{family}.block_count": sizes.layers,
                f"{family}.attention.head_count": sizes.heads,
                f"{family}.attention.head_count_kv": sizes.kv_heads,
            },
            "capabilities": ["completion", *(["insert"] if about.abilities.fills else [])],
            "modified_at": _modified(about),
        }
    )


async def version(_: Call, __: None) -> Response:
    """Tell the dialect's version, and the server's own."""
    return JSONResponse({"version": _VERSION, "refact_edge": __version__})
