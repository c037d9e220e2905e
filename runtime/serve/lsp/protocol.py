"""Checks each message before acting on it: every request gets an answer."""

from __future__ import annotations

import json
import logging
import re
from typing import Any, NoReturn, Protocol

import attrs
import cattrs
from cattrs.v import format_exception
from lsprotocol import types as lsp
from pygls.protocol import JsonRPCRequestMessage, JsonRPCResponseMessage, LanguageServerProtocol
from pygls.protocol.json_rpc import JsonRPCNotification

from ...errors import one_line

logger = logging.getLogger("refact_edge.lsp")

_MOST_FIELDS = 3  # that an answer names
_UNDERSCORE = re.compile("_([a-z])")
Message = dict[str, Any]


class Teller(Protocol):
    """What the protocol needs of its server: to show the editor's user what is wrong."""

    def tell(self, message: str) -> None:
        """Show a message."""
        ...


class EdgeProtocol(LanguageServerProtocol):
    """Takes messages whose fields are of the protocol's types, and says of others what is wrong.

    pygls raises at those, and then the editor waits for an answer that never comes.
    """

    def __init__(self, server: Any, converter: cattrs.Converter) -> None:
        """Accept a number for a number and a text for a text, and no conversions."""
        super().__init__(server, converter)
        self._teller: Teller = server
        converter.register_structure_hook(int, _integer)
        converter.register_structure_hook(str, _text)
        # Else the first would be called, as bool is a kind of int.
        converter.register_structure_hook(bool, lambda value, _: bool(value))

    def receive(self, content: bytes) -> None:
        """Do what a message asks for, or answer what is wrong with it."""
        try:
            message = json.loads(content.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            self._refuse(None, lsp.ErrorCodes.ParseError, f"not JSON: {one_line(error)}")
            return
        if wrong := _what_is_wrong(message):
            fields = message if isinstance(message, dict) else {}
            if "method" not in fields and {"result", "error"} & fields.keys():
                logger.warning("an answer without a request of ours: %s", wrong)
            else:  # whoever answers an answer may be answered for ever
                self._refuse(fields.get("id"), lsp.ErrorCodes.InvalidRequest, wrong)
        elif "method" not in message:
            self._take_answer(message)
        elif "id" in message:
            self._take_request(message)
        else:
            self._take_notification(message)

    def _take_request(self, message: Message) -> None:
        number, method = message["id"], message["method"]
        kind = self.get_message_type(method) or JsonRPCRequestMessage
        wrong, code = "", lsp.ErrorCodes.InvalidRequest
        if self._shutdown:
            wrong = f"{one_line(method, 80)} after shutdown; expected exit"
        elif self._workspace is None and method != lsp.INITIALIZE:
            wrong, code = "expected initialize first", lsp.ErrorCodes.ServerNotInitialized
        elif self._workspace is not None and method == lsp.INITIALIZE:
            wrong = "a second initialize; expected one"  # documents would be those of the first
        elif "id" not in attrs.fields_dict(kind):
            wrong = f"{method} is a notification; expected no id"
        if wrong:
            self._refuse(number, code, wrong)
            return
        try:
            request = self._read(message, kind)
        except Exception as error:
            self._refuse(number, lsp.ErrorCodes.InvalidParams, _in_words(method, error))
        else:
            self.handle_message(request)

    def _take_notification(self, message: Message) -> None:
        method = message["method"]
        if self._workspace is None and method != lsp.EXIT:
            return  # as the protocol wants of what comes before initialize
        try:
            notification = self._read(message, self.get_message_type(method) or JsonRPCNotification)
        except Exception as error:  # nobody waits for an answer, so the user reads it
            self._teller.tell(_in_words(method, error))
        else:
            self.handle_message(notification)

    def _take_answer(self, message: Message) -> None:
        """Hand an answer on to what waits for it, or that it is none."""
        number = message["id"]
        kind = self._result_types.pop(number, None) or JsonRPCResponseMessage
        try:
            if "error" in message:
                kind = lsp.ResponseErrorMessage
            answer = self._converter.structure({"result": None, **message}, kind)
        except Exception as error:
            wrong = _in_words("an answer", error)
            refused = lsp.ResponseError(lsp.ErrorCodes.InvalidParams, wrong)
            self._handle_response(number, error=refused)
        else:
            self._handle_response(
                number, getattr(answer, "result", None), getattr(answer, "error", None)
            )

    def _read(self, message: Message, kind: type[Any]) -> Any:
        """Return a message as the protocol's type; the params of our own methods stay JSON."""
        if message.get("params") == []:  # as some languages write an empty object
            message = {**message, "params": {}}
        if kind in (JsonRPCRequestMessage, JsonRPCNotification):
            names = attrs.fields_dict(kind)
            return kind(**{name: message.get(name) for name in names})
        read = self._converter.structure(message, kind)
        _check(read)
        return read

    def _refuse(self, number: object, code: lsp.ErrorCodes, wrong: str) -> None:
        valid = number if _is_id(number) else None
        error = {"code": code.value, "message": wrong}
        # As it stands: lsprotocol leaves an id of null out, which must be there.
        self._send_data({"jsonrpc": self.VERSION, "id": valid, "error": error})


def _what_is_wrong(message: Any) -> str:
    """Say why it is no message at all, or nothing."""
    if not isinstance(message, dict):
        return f"{one_line(repr(message), 40)}; expected one object"
    if message.get("jsonrpc") != LanguageServerProtocol.VERSION:
        return (
            f"jsonrpc {message.get('jsonrpc')!r:.40}; expected '{LanguageServerProtocol.VERSION}'"
        )
    if not isinstance(message.get("method", ""), str):
        return f"method {message['method']!r:.40}; expected a text"
    if ("id" in message or "method" not in message) and not _is_id(message.get("id")):
        return f"id {message.get('id')!r:.40}; expected a whole number or a text"
    return ""


def _check(read: object) -> None:
    """Raise ValueError for what lsprotocol takes as it is."""
    if isinstance(read, lsp.CancelNotification) and not _is_id(read.params.id):
        raise ValueError(f"id {read.params.id!r:.40}; expected a whole number or a text")
    process = read.params.process_id if isinstance(read, lsp.InitializeRequest) else None
    if process is not None and not 0 < process < 2**31:
        raise ValueError(f"processId {process}; expected a process's number or null")


def _is_id(value: object) -> bool:
    if isinstance(value, float):  # of languages that know no other numbers
        return value.is_integer()
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _in_words(method: str, error: Exception) -> str:
    """Return one line: which fields of a message are wrong, and what was expected."""
    problems = cattrs.transform_error(error, format_exception=_problem)
    text = "; ".join(problems[:_MOST_FIELDS])
    more = len(problems) - _MOST_FIELDS
    text = _UNDERSCORE.sub(lambda match: match[1].upper(), text)
    return one_line(f"{method}: {text}{f'; and {more} more' if more > 0 else ''}", 400)


def _problem(error: BaseException, kind: type | None) -> str:
    if isinstance(error, KeyError):
        return "missing"
    if isinstance(error, ValueError):
        return str(error).removesuffix(".")
    return format_exception(error, kind)


def _integer(value: Any, kind: type[int]) -> int:
    """Take a whole number or one of an enumeration, also as languages write it without such: 1.0.

    Raises:
        ValueError: when it is none.

    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise ValueError(f"{value!r:.40}; expected a whole number")
    return kind(value)


def _text(value: Any, kind: type[str]) -> str:
    """Take a text, or one of an enumeration.

    Raises:
        ValueError: when it is none.

    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40}; expected a text")
    return kind(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which JSON does not have")
