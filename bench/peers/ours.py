"""Our own worker: the session for throughput, the public way in for typing.

Usage: python -m bench.peers.ours BUNDLE VARIANT THREADS [kept] [onnxruntime|openvino|KIND]

With "kept" it uses what `refact-edge warm` left, without it the bundle alone. Variants are computed
by the native kernels for a KIND of CPU, with "onnxruntime" by that alone, and with "openvino" that
prefills for it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

import refact_edge
from refact_edge import Sampling
from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.engine.cache import KvCache
from refact_edge.runtime.engine.generation import CHUNK_TOKENS
from refact_edge.runtime.engine.session import Session
from refact_edge.runtime.model import Model
from refact_edge.runtime.opening.machine import this_machine
from refact_edge.runtime.opening.open import OpenOptions, open_plan
from refact_edge.runtime.opening.plan import Wishes, plan
from refact_edge.runtime.text.endings import NO_ENDINGS

from .kinds import KINDS
from .texts import with_context
from .worker import Reply, serve

DRAFTED = 16  # the most tokens of a step whose logits are all computed


class Ours:
    """One sequence, in chunks as the engine takes them."""

    def __init__(self, session: Session) -> None:
        self._session, self._cache = session, session.new_cache()

    def feed(self, ids: Sequence[int]) -> None:
        """Evaluate `ids`, a chunk at a time."""
        rows = np.asarray(ids, np.int64)
        for at in range(0, len(rows), CHUNK_TOKENS):
            chunk = rows[at : at + CHUNK_TOKENS]
            # Of a few tokens all logits, as drafts need them; the peers give the last ones only.
            self._session.step(chunk, self._cache, len(chunk) if len(chunk) <= DRAFTED else 1)

    def rewind(self, tokens: int) -> None:
        """Forget the ids of later rows."""
        self._cache.rewind(tokens)


class Scripted:
    """A session that writes a script: it computes all, then makes the script's id the likeliest.

    Random weights write nonsense that repeats itself; drafts of it say nothing about drafts of
    code. With a script every engine writes the same.
    """

    def __init__(self, session: Session) -> None:
        self.sizes, self._session = session.sizes, session
        self.text: list[int] = []
        self.prompt = 0  # tokens before the text
        self.first_s = 0.0  # when the text's first id was
        self.single_s: list[float] = []  # what steps over one token took

    @property
    def device(self) -> str:
        """What it runs on."""
        return self._session.device

    @property
    def engine(self) -> str:
        """What computes, in words."""
        return self._session.engine

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def new_cache(self) -> KvCache:
        """Return an empty cache."""
        return self._session.new_cache()

    def step(
        self, ids: npt.NDArray[np.int64], cache: KvCache, keep: int = 1
    ) -> npt.NDArray[np.float32]:
        """Run `ids` [T] and return the last `keep` logits, with the text's ids the likeliest."""
        start = time.perf_counter()
        logits = self._session.step(ids, cache, keep)
        if len(ids) == 1:
            self.single_s.append(time.perf_counter() - start)
        first = len(cache.ids) - keep + 1 - self.prompt  # place in the text, of the first row
        for row, place in enumerate(range(first, first + keep)):
            if 0 <= place < len(self.text):
                logits[row, self.text[place]] = logits[row].max() + 1
                if place == 0:
                    self.first_s = time.perf_counter()
        return logits


class Typing:
    """Asks through the public way in."""

    def __init__(self, model: Model) -> None:
        self._scripted = Scripted(model.session)
        self._model = with_context(Model(model.bundle, model.variant, self._scripted))

    def complete(self, prefix: str, suffix: str, text: list[int], ahead: bool = False) -> Reply:
        """Complete at a cursor, writing `text`; the times start with the call.

        With `ahead` what was written is then read behind the prefix, as in a pause.
        """
        self._scripted.single_s.clear()
        start = time.perf_counter()
        stream = self._model.complete(
            prefix,
            suffix,
            max_tokens=len(text),
            stop=(),
            endings=NO_ENDINGS,
            sampling=Sampling(temperature=0),
        )
        script = self._scripted
        script.text, script.prompt = text, stream.usage.prompt
        for _ in stream:
            pass
        end, single = time.perf_counter(), list(script.single_s)
        if ahead:
            self._model.warm(prefix + stream.text, suffix, max_tokens=len(text))
        return {
            "first_s": script.first_s - start,
            "all_s": end - start,
            "exact": stream.ids == text,
            "one_s": statistics.median(single) if single else None,
            **vars(stream.usage),
        }


def main() -> None:
    """Load the variant, and work."""
    bundle, variant, threads = read_bundle(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    how = sys.argv[4:]
    kind = next((word for word in how if word in KINDS), None)
    models: list[Model] = []

    @cache
    def typing() -> Typing:
        return Typing(models[0])

    def load() -> Callable[[str], Ours]:
        engine = "native" if kind else "onnxruntime"
        prefill = "openvino" if "openvino" in how else "same"
        chosen = plan(bundle, Wishes(variant, "cpu", engine, prefill), this_machine())
        # As `load` does, which has no say in the kind.
        options = OpenOptions(threads, prepacked="kept" in how, kind=kind)
        model = Model(bundle, variant, open_plan(bundle, chosen, options))
        models.append(model)
        return lambda _slot: Ours(model.session)

    def versions() -> dict[str, str]:
        name, _, version = models[0].engine.partition(" ")
        engine = {name: version} if name == "onnxruntime" and " " not in version else {}
        return {"refact-edge": refact_edge.__version__, **engine}

    serve(load, versions, {"complete": lambda **request: typing().complete(**request)})


if __name__ == "__main__":
    main()
