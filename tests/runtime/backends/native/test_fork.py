"""A forked process computes with threads of its own; nothing of its parent's is waited for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refact_edge.runtime.backends.native.library import opened
from refact_edge.runtime.errors import OptionError

if not hasattr(os, "fork"):
    pytest.skip("this system does not fork", allow_module_level=True)

_BEGIN = """
import multiprocessing, os, sys, threading
import refact_edge

model = refact_edge.load(sys.argv[1], variant="int4", engine="native", threads=2)
GREEDY = refact_edge.Sampling(temperature=0)

def text(prompt="def add(a, b):\\n    return "):
    return "".join(model.complete(prompt, "\\n", max_tokens=6, sampling=GREEDY))

def reused():
    stream = model.complete("def add(a, b):\\n    return ", "\\n", max_tokens=6, sampling=GREEDY)
    return "".join(stream), stream.usage.cached > 5

def threads():
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 2

def forked(work):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, repr(work()).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return eval(text)
"""

_GENERATIONS = """
alone = forked(text)  # before the parent has computed anything
here = text()
assert alone == here
assert forked(reused) == (here, True)  # what the parent has read is there, too
assert forked(lambda: (forked(text), text())) == (here, here)
results = forked(lambda: (text(), text(), threads()))
assert results == (here, here, 2), results  # as many as were asked for, and none left over
assert forked(model.session.close) is None
for _ in range(20):
    assert forked(lambda: (text(), threads())) == (here, 2)
assert text() == here and threads() == 2
print("done")
"""

_LOCKED = """
here = text()
holding, over = threading.Event(), threading.Event()

def hold():
    with model.session._lock, model._caches._lock, model._turns._lock:
        holding.set()
        over.wait()

thread = threading.Thread(target=hold)
thread.start()
holding.wait()
assert forked(text) == here  # though another thread held all locks
over.set()
thread.join()
print("done")
"""

_POOL = """
if __name__ == "__main__":
    here = [text("def a("), text("def b(")]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(text, ["def a(", "def b("]).get(60) == here
    print("done")
"""


@pytest.mark.parametrize("script", [_GENERATIONS, _LOCKED, _POOL])
def test_a_forked_child_answers_as_its_parent(script: str, demo_bundle: Path) -> None:
    try:
        opened()
    except OptionError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _BEGIN + script, str(demo_bundle)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
