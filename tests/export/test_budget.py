"""Forms chosen for so many bytes, or so little loss."""

from dataclasses import replace
from pathlib import Path

import pytest

from refact_edge.export.budget import Limit, check_size
from refact_edge.export.ranking import Ranking
from refact_edge.quant.mix import Choice
from refact_edge.quant.schemes import SCHEMES, Blocks, Scheme
from refact_edge.runtime.bundle.contract import weights_file
from refact_edge.runtime.errors import ExportError, OptionError

COARSE, FINE = Blocks(4, 128), Blocks(8, 128)
# Weight number i loses i times as much as the first, in either form.
CHOICES = {
    f"w{i}": [Choice(COARSE, 1000, 1.0 * i), Choice(FINE, 2000, 0.01 * i)] for i in range(1, 41)
}
RANKED = Ranking(SCHEMES["int4"], CHOICES, float_bytes=100)


def _size(scheme: Scheme) -> int:
    return sum(1000 if form == COARSE else 2000 for form in scheme.forms.values())


def _lost(scheme: Scheme) -> float:
    """Lose what was estimated, but not in proportion."""
    losses = {name: {choice.form: choice.loss for choice in row} for name, row in CHOICES.items()}
    total = sum(losses[name][form] for name, form in scheme.forms.items())
    return float(1e-4 * total**1.2)


def test_bytes_of_norms_and_padding_count() -> None:
    assert _size(RANKED.within(50_100)) == 50_000

    def padded(scheme: Scheme) -> int:
        return 100 + _size(scheme) + 4000

    assert _size(RANKED.within(50_100, padded)) == 46_000


@pytest.mark.parametrize("limit", [0.25, 0.1, 0.01, 2e-3])
def test_the_smallest_mix_below_a_loss_is_found_in_a_few_looks(limit: float) -> None:
    looks: list[float] = []

    def measure(scheme: Scheme) -> float:
        looks.append(_lost(scheme))
        return looks[-1]

    found = RANKED.below(limit, measure)
    assert _lost(found) <= limit
    assert len(looks) <= 7
    smaller = RANKED.within(int(0.97 * _size(found)))
    assert _lost(smaller) > limit


def test_a_loss_that_no_mix_keeps_below_names_the_best() -> None:
    with pytest.raises(OptionError, match=r"no mix loses at most 1e-06; the best loses .* in 80,1"):
        RANKED.below(1e-6, _lost)


def test_a_data_file_that_came_out_too_large_is_refused_with_the_limit_to_ask_for(
    tmp_path: Path,
) -> None:
    file = tmp_path / weights_file("int4")
    file.parent.mkdir()
    file.write_bytes(bytes(1100))
    mixed = replace(SCHEMES["int4"], forms={"w1": FINE})
    check_size(tmp_path, [mixed], Limit(bytes=1100))
    check_size(tmp_path, [SCHEMES["int4"]], Limit(bytes=1000))  # not what the limit chose
    with pytest.raises(ExportError, match=r"int4 takes 1,100 bytes and not 1,000.*ask for 900 b"):
        check_size(tmp_path, [mixed], Limit(bytes=1000))
