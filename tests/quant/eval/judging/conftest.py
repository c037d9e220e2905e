"""Fixtures of the sandbox's tests."""

import pytest
from verdicts import MARK, TIMEOUT_S

from refact_edge.quant.eval.judging import sandbox
from refact_edge.quant.eval.judging.sandbox import Sandbox
from refact_edge.runtime.errors import SandboxError


@pytest.fixture(scope="module")
def bwrap() -> Sandbox:
    try:
        return Sandbox(TIMEOUT_S)
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def unsafe() -> Sandbox:
    return Sandbox(TIMEOUT_S, unsafe=True)


@pytest.fixture(params=["bwrap", "unsafe"])
def either(request: pytest.FixtureRequest) -> Sandbox:
    """Return each sandbox in turn, for programs that do no harm to the machine even unsafely."""
    chosen: Sandbox = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(autouse=True)
def _marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process of these sandboxes, and what it forks, bear a mark on its command line."""
    monkeypatch.setattr(sandbox, "_START", f"{sandbox._START}  # {MARK}")
