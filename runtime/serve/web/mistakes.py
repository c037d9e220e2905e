"""What is wrong with a request's fields: the value, and what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from ...errors import one_line

_MOST_FIELDS = 3  # that an error names
_LOOKED_AT = 100
_VALUE_CHARACTERS = 40
_UNSUPPORTED = "unsupported"

# By the beginning of the validator's name for a mistake.
_EXPECTED = {
    "int_parsing_size": "a smaller number",
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a number",
    "string_": "text",
    "bool_": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_": "an object",
    "literal_error": "{expected}",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
}

Path = tuple[str | int, ...]


def unsupported(what: str) -> PydanticCustomError:
    """Return the error of a request for what the model cannot do."""
    return PydanticCustomError(_UNSUPPORTED, "no {what}", {"what": what})


def what_is_wrong(error: ValidationError, content: bytes | bytearray, name: str) -> str:
    """Return one line on a request to the model of that name, which may call it by another."""
    details = error.errors(include_url=False)[:_LOOKED_AT]
    if details[0]["type"] == "json_invalid":
        return f"the body is not JSON: {details[0]['ctx']['error']}; expected an object"
    body = from_json(content)
    wrong: dict[Path, list[ErrorDetails]] = {}
    for detail in details:
        wrong.setdefault(_path(detail, body), []).append(detail)
    lines = [
        _mistake(path, wrong[path], _model(body) or name)
        for path in wrong
        if not any(_got_further(other, path) for other in wrong)
    ]
    more = len(lines) - _MOST_FIELDS
    text = "; ".join(lines[:_MOST_FIELDS])
    return f"{text}; and {more} more" if more > 0 else text


def _path(detail: ErrorDetails, value: Any) -> Path:
    """Return where in the request a mistake is, without the alternatives that were tried there."""
    path: list[str | int] = []
    for part in detail["loc"]:
        try:
            value = value[part]
        except (LookupError, TypeError):  # an alternative's name
            continue
        path.append(part)
    return (*path, detail["loc"][-1]) if detail["type"] == "missing" else tuple(path)


def _got_further(other: Path, path: Path) -> bool:
    """Whether, of two readings of a value, the other got deeper or to a later entry of a list."""
    for here, there in zip(path, other, strict=False):
        if here != there:
            return isinstance(here, int) and isinstance(there, int) and there > here
    return len(other) > len(path)


def _model(body: Any) -> str:
    model = body.get("model") if isinstance(body, dict) else None
    return one_line(model, _VALUE_CHARACTERS) if isinstance(model, str) else ""


def _mistake(path: Path, details: Sequence[ErrorDetails], model: str) -> str:
    where = ".".join(map(str, path)) or "the body"
    kinds = {detail["type"]: detail for detail in details}
    if "missing" in kinds:
        return f"{where}: missing; give one"
    if "extra_forbidden" in kinds:
        return f"{where}: there is no field of that name; leave it out"
    if (refusal := kinds.get(_UNSUPPORTED)) is not None:
        what = one_line(refusal["ctx"]["what"], _VALUE_CHARACTERS)
        return f"{model} does not support {what}; leave {where} out"
    written = json.dumps(details[0]["input"], default=str)[: 4 * _VALUE_CHARACTERS]
    value = one_line(written, _VALUE_CHARACTERS)
    expected = dict.fromkeys(_expected(detail["type"], detail.get("ctx", {})) for detail in details)
    return f"{where}: found {value}, expected {' or '.join(expected)}"


def _expected(kind: str, context: Mapping[str, Any]) -> str:
    words = next(
        (_EXPECTED[start] for start in _EXPECTED if kind.startswith(start)), "another value"
    )
    return words.format_map(context)
