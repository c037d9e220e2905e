"""The texts that weights are rounded for, and where long work on them lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .. import __version__
from ..quant.texts.calibration import TEXT_TOKENS, TEXTS, Ids, calibration_texts, fingerprint
from ..quant.texts.conversations import default_exchanges
from ..quant.texts.sources import Source
from ..runtime.text.prompts import Layouts
from .effort import Effort
from .inspect import Inspected
from .scratch import Scratch, scratch


@dataclass(frozen=True)
class Calibration:
    """What weights are rounded for.

    Args:
        texts: what each is rounded for by itself; without any, all are rounded to nearest.
        longer: what blocks are rounded for one after the other, if they are.
        scratch: the folder for that, while there is one.

    """

    texts: Sequence[Ids] = ()
    longer: Sequence[Ids] = ()
    scratch: Scratch | None = None


def calibrated_texts(
    checked: Inspected, calibration: Sequence[Source], texts: int = TEXTS
) -> list[Ids]:
    """Return the texts that a checkpoint is calibrated on, cut from source files."""
    tokens = checked.tokens()
    layouts = Layouts.from_manifest(checked.prompts)
    return calibration_texts(
        calibration,
        tokens,
        layouts,
        texts=texts,
        text_tokens=min(TEXT_TOKENS, checked.sizes.context),
        exchanges=default_exchanges() if layouts.chat else (),
    )


def calibration_for(
    checked: Inspected, sources: Sequence[Source], how: Effort, *, blocks: bool
) -> Calibration:
    """Cut the texts for an effort; with `blocks`, also those for rounding in sequence.

    Rows are of 8 bits and lose little by rounding: three times the text, or rounding in sequence,
    brought them a tenth at most on the demo checkpoint and nothing on SmolLM2.
    """
    texts = calibrated_texts(checked, sources)
    if not (blocks and how.in_sequence):
        return Calibration(texts)
    return Calibration(texts, calibrated_texts(checked, sources, how.times * TEXTS))


@contextmanager
def with_scratch(
    target: Path, checked: Inspected, calibration: Calibration
) -> Iterator[Calibration]:
    """Yield it with a folder beside `target`, if it has texts for rounding in sequence.

    Raises:
        ExportError: when another process is at work there.

    """
    if not calibration.longer:
        yield calibration
        return
    tools = {"refact-edge": __version__, "numpy": version("numpy")}
    texts = fingerprint(calibration.longer)
    with scratch(target, {"source": checked.source_files, "texts": texts, "tools": tools}) as own:
        yield Calibration(calibration.texts, calibration.longer, own)
