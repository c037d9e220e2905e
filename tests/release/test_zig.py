"""Libraries that Zig compiles: as able as those of this system's own compiler."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from refact_edge.runtime.backends.native.library import Native, opened
from refact_edge.runtime.errors import OptionError
from release.targets import TARGETS
from release.zig import CompileError, compile_library

pytestmark = pytest.mark.skipif(find_spec("ziglang") is None, reason="no Zig: `make wheels`")


def test_zigs_library_names_the_same_kinds_as_the_one_of_this_systems_compiler(
    tmp_path: Path,
) -> None:
    """Zig's own question what a CPU can is answered with no: each was once `portable`."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("this test wants Linux on x86_64")
    try:
        able = opened().able
    except OptionError as error:
        pytest.skip(str(error))
    assert Native(compile_library(TARGETS[0], tmp_path)).able == able


def test_kernels_that_do_not_compile_are_an_error(tmp_path: Path) -> None:
    sources = tmp_path / "runtime" / "native"
    sources.mkdir(parents=True)
    (sources / "edge.c").write_text("int edge_cpu(void) { return missing; }\n")
    with pytest.raises(CompileError, match=r"_edge\.so does not compile for x86_64-linux-gnu"):
        compile_library(TARGETS[0], tmp_path / "out", tmp_path)
