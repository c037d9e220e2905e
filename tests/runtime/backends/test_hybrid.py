"""int8 for prompts and int4 for what follows, over one cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import SIZES, CountingSession

import refact_edge
from refact_edge.runtime.backends.hybrid import PREFILL_TOKENS, HybridSession
from refact_edge.runtime.engine.sampling import Sampling
from refact_edge.runtime.errors import DeviceError, OptionError
from refact_edge.runtime.opening.machine import why_not_native

GREEDY = Sampling(temperature=0)


def test_long_steps_go_to_prefill_and_short_ones_to_decode() -> None:
    prefill, decode = CountingSession(), CountingSession()
    both = HybridSession(prefill, decode)
    assert both.sizes == SIZES
    cache = both.new_cache()
    for length in (PREFILL_TOKENS, PREFILL_TOKENS - 1, 1, PREFILL_TOKENS + 1):
        both.step(np.zeros(length, np.int64), cache)
    assert prefill.steps == [PREFILL_TOKENS, PREFILL_TOKENS + 1]
    assert decode.steps == [PREFILL_TOKENS - 1, 1]
    assert len(cache.ids) == 3 * PREFILL_TOKENS + 1


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
def test_what_follows_a_long_prompt_is_int4_over_the_rows_of_int8(
    engine: str, tiny_bundle: Path
) -> None:
    if engine == "native" and (reason := why_not_native()):
        pytest.skip(reason)
    both = refact_edge.load(tiny_bundle, variant="hybrid", engine=engine)
    int8 = refact_edge.load(tiny_bundle, variant="int8", engine=engine)
    int4 = refact_edge.load(tiny_bundle, variant="int4", engine=engine)
    assert (both.variant, both.device) == ("hybrid", "cpu")
    ids = np.arange(PREFILL_TOKENS, dtype=np.int64) % both.bundle.sizes.tokens
    mine, rows = both.session.new_cache(), int8.session.new_cache()
    read = both.session.step(ids, mine)
    assert np.array_equal(read, int8.session.step(ids, rows))
    then = np.array([5], np.int64)
    written = both.session.step(then, mine)
    # The very same rows, handed to an int4 session that knows nothing of hybrids.
    assert np.array_equal(written, int4.session.step(then, rows))
    alone = int4.session.new_cache()
    int4.session.step(ids, alone)
    assert not np.array_equal(written, int4.session.step(then, alone))


def test_rows_of_another_type_are_refused(tiny_bundle: Path) -> None:
    """Onnxruntime would write floats where there is room for halves."""
    int8 = refact_edge.load(tiny_bundle, variant="int8", engine="onnxruntime")
    halves = refact_edge.load(tiny_bundle, variant="int4", engine="native", kv_type="fp16")
    with pytest.raises(ValueError, match="the cache is another model's"):
        int8.session.step(np.arange(3), halves.session.new_cache())


def test_it_completes_and_chats(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle, variant="hybrid")
    text = "def f(x):\n    return x\n" * 4
    stream = model.complete(text, max_tokens=5, stop=(), allow_empty=False, sampling=GREEDY)
    assert "".join(stream) == stream.text
    assert stream.usage.prompt > PREFILL_TOKENS
    again = model.complete(text, max_tokens=5, stop=(), allow_empty=False, sampling=GREEDY)
    list(again)  # not always the same text: int4 reads the last token, which int8 had read before
    assert again.usage.cached == stream.usage.prompt - 1


def test_a_bundle_without_both_says_what_it_lacks(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from refact_edge.export.convert import export_bundle

    export_bundle(tiny_checkpoint, tmp_path / "one", ["int4"])
    with pytest.raises(OptionError, match=r"no variant 'int8', and hybrid is int8 and int4.*int4$"):
        refact_edge.load(tmp_path / "one", variant="hybrid")


def test_it_is_refused_on_a_gpu(tiny_bundle: Path) -> None:
    with pytest.raises(DeviceError, match="hybrid is for CPUs"):
        refact_edge.load(tiny_bundle, variant="hybrid", device="cuda")
