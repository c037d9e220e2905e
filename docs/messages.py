"""Writes the sidecar's schema, and what clients in other languages have of it.

    python -m docs.messages

after a change to runtime/serve/sidecar/shapes.py or schema.py. A test compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refact_edge.runtime.serve.sidecar.schema import document

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "docs" / "sidecar.openrpc.json"
NODE = ROOT / "runtime" / "clients" / "node" / "messages.d.ts"
CSHARP = ROOT / "runtime" / "clients" / "csharp" / "Messages.cs"
_CHANGE_NOTHING = "Written by docs/messages.py from docs/sidecar.openrpc.json: change nothing here."
_CSHARP = {"string": "string", "integer": "long", "number": "double", "boolean": "bool"}
_KINDS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}
Schema = Mapping[str, Any]


def written() -> dict[Path, str]:
    """Return what each file is to hold."""
    whole = document()
    schemas = whole["components"]["schemas"]
    return {
        SCHEMA: f"{json.dumps(whole, indent=2)}\n",
        NODE: "\n".join(_typescript(schemas)),
        CSHARP: "\n".join(_csharp(schemas)),
    }


def _typescript(schemas: Mapping[str, Schema]) -> Iterator[str]:
    yield f"// {_CHANGE_NOTHING}"
    for name, schema in schemas.items():
        yield ""
        yield f"/** {schema['description']} */"
        yield f"export interface {name} {{"
        required = schema.get("required", ())
        for field, value in schema.get("properties", {}).items():
            if "description" in value:
                yield f"  /** {value['description']} */"
            yield f"  {field}{'' if field in required else '?'}: {_type(value)};"
        yield "}"
    yield ""


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(f"'{value}'" for value in schema["enum"])
    if schema["type"] == "array":
        return f"{_type(schema['items'])}[]"
    return _KINDS.get(schema["type"], "null")


def _csharp(schemas: Mapping[str, Schema]) -> Iterator[str]:
    yield f"// {_CHANGE_NOTHING}"
    yield "using System.Collections.Generic;"
    yield "using System.Runtime.Serialization;"
    yield ""
    yield "namespace RefactEdge"
    yield "{"
    for name, schema in schemas.items():
        yield f"    /// <summary>{schema['description']}</summary>"
        yield "    [DataContract]"
        yield f"    public sealed class {name}"
        yield "    {"
        for field, value in schema.get("properties", {}).items():
            if "description" in value:
                yield f"        /// <summary>{value['description']}</summary>"
            required = field in schema.get("required", ())
            kind = _csharp_type(value, optional=not required)
            always = str(required).lower()
            yield f'        [DataMember(Name = "{field}", EmitDefaultValue = {always})]'
            yield f"        public {kind} {field[0].upper()}{field[1:]} {{ get; set; }}"
        yield "    }"
        yield ""
    yield "}"
    yield ""


def _csharp_type(schema: Schema, *, optional: bool) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return _csharp_type(kinds[0], optional=optional)  # of ids, the number
    if schema.get("type") == "array":
        return f"List<{_csharp_type(schema['items'], optional=False)}>"
    kind = _CSHARP[schema.get("type", "string")]
    return f"{kind}?" if optional and kind != "string" else kind


def main() -> None:
    """Write all files."""
    for file, text in written().items():
        file.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
