"""What a model itself writes at a cursor: the texts that all engines then write.

Of random weights that is nonsense; there the texts are what was typed next.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from refact_edge import Model, load
from refact_edge.runtime.engine.sampling import GREEDY
from refact_edge.runtime.text.cursor import Cursor
from refact_edge.runtime.text.endings import NO_ENDINGS
from refact_edge.runtime.text.limits import Limits

CONTEXT = 4096  # that every engine gets, of models that have more


def with_context(model: Model, tokens: int = CONTEXT) -> Model:
    """Return the same model with prompts of no more than that."""
    sizes = model.bundle.sizes
    bundle = replace(model.bundle, sizes=replace(sizes, context=min(tokens, sizes.context)))
    return Model(bundle, model.variant, model.session)


class Texts:
    """Writes greedily with int4, which is loaded when it is first asked."""

    def __init__(self, bundle: Path, threads: int) -> None:
        self._bundle, self._threads = bundle, threads

    @cached_property
    def _model(self) -> Model:
        return with_context(load(self._bundle, variant="int4", threads=self._threads))

    def at(self, cursor: Cursor, most: int) -> list[int]:
        """Return at most so many ids, up to where the model ends, and at least one."""
        limits = Limits(most, stop=(), endings=NO_ENDINGS)
        stream = self._model.complete_at(cursor, limits, allow_empty=False, sampling=GREEDY)
        for _ in stream:
            pass
        return list(stream.ids)

    def close(self) -> None:
        """Let the model go; another text loads it again."""
        self.__dict__.pop("_model", None)
