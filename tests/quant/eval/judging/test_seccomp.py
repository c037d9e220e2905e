"""The filter of system calls."""

import pytest

from refact_edge.quant.eval.judging.seccomp import build_filter
from refact_edge.runtime.machine.seccomp import ARCHITECTURES


def test_the_filter_is_whole_instructions_for_each_known_machine() -> None:
    for machine in ARCHITECTURES:
        assert len(build_filter(machine)) % 8 == 0
    with pytest.raises(KeyError):
        build_filter("abacus")
