"""A model that is closed: what it gives back, and what it says then."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import refact_edge
from refact_edge import CancelToken, ClosedError, DeviceError, OptionError, Sampling

GREEDY = Sampling(temperature=0)


def _threads() -> int:
    """Return how many there are, once those that other tests began have ended."""
    while any(thread.name == "refact-edge stream" for thread in threading.enumerate()):
        time.sleep(0.01)
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
def test_a_closed_model_computes_no_more_and_says_so(engine: str, tiny_bundle: Path) -> None:
    with refact_edge.load(tiny_bundle, variant="int4", engine=engine) as model:
        list(model.generate("a", max_tokens=2))
    assert model.closed
    for call in (
        lambda: model.complete("a"),
        lambda: model.warm("a"),
        lambda: model.chat([{"role": "user", "content": "a"}]),
        lambda: model.generate("a"),
    ):
        with pytest.raises(ClosedError, match="the model is closed; open it again by load"):
            call()
    model.close()  # again
    assert model.info().variant == "int4"


def test_what_is_generated_meanwhile_ends_cancelled(tiny_bundle: Path) -> None:
    model = refact_edge.load(tiny_bundle)
    streams = [model.generate("a", max_tokens=400, allow_empty=False) for _ in range(3)]
    begun = threading.Barrier(4)

    def read(stream: refact_edge.Stream) -> None:
        next(stream, "")
        begun.wait(10)
        for _ in stream:
            pass

    threads = [threading.Thread(target=read, args=(stream,)) for stream in streams]
    for thread in threads:
        thread.start()
    begun.wait(10)
    model.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert {stream.finish for stream in streams} <= {"cancelled", "stop"}
    paused = refact_edge.load(tiny_bundle)
    stream = paused.generate("a", max_tokens=400, allow_empty=False)
    next(stream)
    paused.close()
    written = stream.usage.new
    list(stream)  # what was held back, and nothing new
    assert (stream.finish, stream.usage.new) == ("cancelled", written)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_closing_lets_go_of_the_file_and_the_threads(bundle_copy: Path) -> None:
    before = _threads()
    model = refact_edge.load(bundle_copy, threads=4)
    list(model.complete("a", max_tokens=2))
    assert str(bundle_copy) in Path("/proc/self/maps").read_text("utf-8")
    model.close()
    assert f"{bundle_copy}/onnx" not in Path("/proc/self/maps").read_text("utf-8")
    assert _threads() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_models_of_one_process_share_their_threads(tiny_bundle: Path) -> None:
    before = _threads()
    models = [refact_edge.load(tiny_bundle, threads=5, engine="native") for _ in range(3)]
    texts = {"".join(model.generate("a = ", max_tokens=8, sampling=GREEDY)) for model in models}
    assert _threads() == before + 4
    assert len(texts) == 1
    for model in models:
        model.close()
    assert _threads() == before


CYCLES = """
import sys
from pathlib import Path
import refact_edge

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])

def cycle() -> None:
    with refact_edge.load(sys.argv[1]) as model:
        list(model.complete("def add(a, b):", "", max_tokens=4, allow_empty=False))

for _ in range(int(sys.argv[2]) // 4): cycle()
before = resident()
for _ in range(int(sys.argv[2])): cycle()
print(before, resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_level_however_often_a_model_is_opened(tiny_bundle: Path) -> None:
    command = [sys.executable, "-c", CYCLES, str(tiny_bundle), "100"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after <= 1.02 * before


def test_models_stay_within_a_limit_together(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match="limit_bytes 0; expected a number above 0"):
        refact_edge.limit_memory(0)
    first = refact_edge.load(tiny_bundle)
    try:
        refact_edge.limit_memory(1)
        with pytest.raises(DeviceError, match=r"takes .* and 0\.0 MB are available"):
            refact_edge.load(tiny_bundle)
        first.close()
        refact_edge.limit_memory(10**9)
        models = [refact_edge.load(tiny_bundle) for _ in range(2)]
        assert all(list(model.generate("a", max_tokens=2)) is not None for model in models)
    finally:
        refact_edge.limit_memory(None)


def test_a_token_that_was_cancelled_before_ends_at_once(tiny_bundle: Path) -> None:
    token = CancelToken()
    token.cancel()
    stream = refact_edge.load(tiny_bundle).complete("a", cancel=token)
    assert (list(stream), stream.finish) == ([], "cancelled")


SPAWNED = """
import multiprocessing, sys
import refact_edge

def written(bundle: str) -> str:
    with refact_edge.load(bundle) as model:
        greedy = refact_edge.Sampling(temperature=0)
        return "".join(model.generate("a = ", max_tokens=4, sampling=greedy))

if __name__ == "__main__":
    here = written(sys.argv[1])
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(written, [sys.argv[1]] * 2) == [here] * 2)
"""


def test_a_spawned_process_opens_the_bundle_itself(tiny_bundle: Path, tmp_path: Path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED)
    command = [sys.executable, str(script), str(tiny_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
