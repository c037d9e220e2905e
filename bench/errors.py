"""Standard errors of figures over texts, and of their ratios on the same texts.

Positions of one text are alike, so that texts, not positions, count as drawn: each error is that of
a ratio of sums over texts (Cochran 1977, "Sampling Techniques", 6.4).
"""

from __future__ import annotations

import math

from refact_edge.quant.report import Scores


def ratio(over: Scores, under: Scores) -> tuple[float, float]:
    """Return sum(over) / sum(under), a value each for every text, and its standard error."""
    share = float(over.sum() / under.sum())
    rest = over - share * under
    texts = len(rest)
    error = math.sqrt(texts / (texts - 1) * float(rest @ rest)) / float(under.sum())
    return share, error
