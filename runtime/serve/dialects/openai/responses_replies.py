"""How OpenAI's responses interface puts an answer: whole, or as numbered events."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ...service.run import Piece, Run
from ...web.framing import Json, ServerSentEvents
from ...web.shapes import finish_reason
from . import responses_shapes as shapes
from .replies import new_id, usage_of


@dataclass
class ResponsesReply(ServerSentEvents):
    """One message of one text. `begun` is the response before it has any text."""

    begun: shapes.ResponsesResponse
    item_id: str = field(default_factory=lambda: new_id("msg_"))
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _added: bool = False

    def frame(self, content: Json) -> bytes:
        """Return one event, by its name."""
        return f"event: {content['type']}\n".encode() + super().frame(content)

    def begin(self, run: Run) -> Iterator[Json]:
        """Say that the request has come."""
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=self.begun.as_json())

    def piece(self, run: Run, piece: Piece) -> Iterator[Json]:
        """Return what is new, behind what announces the first of it."""
        if not self._added:
            self._added = True
            item = self._message("in_progress", []).model_dump()
            yield self._event("response.output_item.added", output_index=0, item=item)
            part = shapes.OutputText(text="").model_dump()
            yield self._in_text("response.content_part.added", part=part)
        if piece.text:
            yield self._in_text("response.output_text.delta", delta=piece.text, logprobs=[])

    def end(self, run: Run) -> Iterator[Json]:
        """Return the text, its part, its item and the response once more, now whole."""
        response = self._done(run)
        (item,) = response.output
        (part,) = item.content
        yield self._in_text("response.output_text.done", text=part.text, logprobs=[])
        yield self._in_text("response.content_part.done", part=part.model_dump())
        yield self._event("response.output_item.done", output_index=0, item=item.model_dump())
        yield self._event(f"response.{response.status}", response=response.as_json())

    def failed(self, content: Json) -> Iterator[Json]:
        """Return what tells that a stream is cut short; some clients read the inner error."""
        error = content["error"]
        code = str(error["code"])
        yield self._event(
            "error", code=code, message=error["message"], param=None, error={**error, "code": code}
        )

    def whole(self, run: Run) -> Json:
        """Return the response."""
        return self._done(run).as_json()

    def _done(self, run: Run) -> shapes.ResponsesResponse:
        cut = finish_reason(run, 0) == "length"
        status = "incomplete" if cut else "completed"
        message = self._message(status, [shapes.OutputText(text=run.streams[0].text)])
        why = shapes.Incomplete(reason="max_output_tokens") if cut else None
        return self.begun.model_copy(
            update={
                "status": status,
                "completed_at": None if cut else int(time.time()),
                "incomplete_details": why,
                "output": [message],
                "usage": _usage(run),
            }
        )

    def _message(self, status: str, content: list[shapes.OutputText]) -> shapes.OutputMessage:
        return shapes.OutputMessage(id=self.item_id, status=status, content=content)

    def _in_text(self, kind: str, **fields: Json) -> Json:
        return self._event(kind, item_id=self.item_id, output_index=0, content_index=0, **fields)

    def _event(self, kind: str, **fields: Json) -> Json:
        return {"type": kind, "sequence_number": next(self._numbers), **fields}


def _usage(run: Run) -> shapes.ResponsesUsage:
    counted = usage_of(run)
    cached = counted.prompt_tokens_details.cached_tokens
    return shapes.ResponsesUsage(
        input_tokens=counted.prompt_tokens,
        input_tokens_details=shapes.InputDetails(cached_tokens=cached),
        output_tokens=counted.completion_tokens,
        output_tokens_details=shapes.OutputDetails(),
        total_tokens=counted.total_tokens,
    )
