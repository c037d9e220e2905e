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
_KINDS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}
Schema = Mapping[str, Any]


def written() -> dict[Path, str]:
    """Return what each file is to hold."""
    whole = document()
    schemas = whole["components"]["schemas"]
    return {SCHEMA: f"{json.dumps(whole, indent=2)}\n", NODE: "\n".join(_typescript(schemas))}


def _typescript(schemas: Mapping[str, Schema]) -> Iterator[str]:
    yield "// Written by docs/messages.py from docs/sidecar.openrpc.json: change nothing here."
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


def main() -> None:
    """Write all files."""
    for file, text in written().items():
        file.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
