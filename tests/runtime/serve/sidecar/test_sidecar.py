"""The sidecar, as a program in any language meets it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sidecar_host import COMMAND, Host, hosting

import refact_edge
from refact_edge import Sampling
from refact_edge.runtime.serve.sidecar.schema import METHODS, code_of, document

PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n"
GREEDY = {"temperature": 0.0, "maxTokens": 16}


@pytest.fixture(scope="module")
def host(tiny_bundle: Path) -> Iterator[Host]:
    with hosting(tiny_bundle) as one:
        yield one


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> refact_edge.Model:
    return refact_edge.load(tiny_bundle)


@pytest.fixture(scope="module")
def text(model: refact_edge.Model) -> str:
    greedy = Sampling(temperature=0)
    return "".join(model.complete(PREFIX, SUFFIX, sampling=greedy, max_tokens=16))


@pytest.mark.parametrize("lines", [False, True])
def test_it_is_ready_says_what_it_is_and_ends_with_its_host(
    lines: bool, tiny_bundle: Path, model: refact_edge.Model, text: str
) -> None:
    with hosting(tiny_bundle, lines=lines) as host:
        told = host.call("initialize", protocol="1.0", client="a test", processId=None)
        assert told["version"] == refact_edge.__version__
        assert told["model"]["variant"] == "int4"
        assert told["model"]["contextTokens"] == model.context_tokens
        done = host.call("complete", prefix=PREFIX, suffix=SUFFIX, **GREEDY)
        assert done["text"] == text
        assert host.process.stdin is not None
        host.process.stdin.close()
        assert host.process.wait(10) == 0
        assert host.process.stderr is not None
        assert host.process.stderr.read() == b""


def test_pieces_come_before_the_answer_and_are_all_of_it(host: Host) -> None:
    number = host.ask("complete", prefix=PREFIX, suffix="", stream=True, **GREEDY, stop=[])
    done = host.result(number)
    assert "".join(host.pieces(number)) == done["text"]
    assert done["finish"] in ("stop", "length")
    assert done["usage"]["new"] <= 16
    quiet = host.ask("complete", prefix=PREFIX, **GREEDY)
    host.result(quiet)
    assert host.pieces(quiet) == []


def test_it_chats_as_the_library_does(host: Host, model: refact_edge.Model) -> None:
    messages = [{"role": "user", "content": "What is é?"}]
    done = host.call("chat", messages=messages, **GREEDY)
    stream = model.chat(messages, max_tokens=16, sampling=Sampling(temperature=0))
    assert done["text"] == "".join(stream)
    assert done["usage"]["prompt"] == stream.usage.prompt


def test_what_is_warmed_is_found_cached(host: Host) -> None:
    prefix = "# warmed\n" * 20
    warmed = host.call("warm", prefix=prefix, suffix="\n", maxTokens=8)
    done = host.call("complete", prefix=prefix, suffix="\n", maxTokens=8, temperature=0)
    assert done["usage"]["cached"] >= warmed["prompt"] - 2


def test_a_cancelled_request_is_answered_with_its_text_so_far(host: Host) -> None:
    number = host.ask("complete", prefix="x", maxTokens=400, stop=[], temperature=3, stream=True)
    host.notify("cancel", id=number)
    done = host.result(number)
    assert done["finish"] in ("cancelled", "stop")
    host.notify("cancel", id=number)  # too late, and nothing happens
    host.notify("cancel", id="never")
    assert host.call("stats")["running"] == 0


def test_those_who_wait_for_their_turn_are_cancelled_too(tiny_bundle: Path) -> None:
    with hosting(tiny_bundle, "--slots", 1) as host:
        numbers = [host.ask("complete", prefix="x", maxTokens=200, stop=[]) for _ in range(6)]
        for number in numbers:
            host.notify("cancel", id=number)
        finishes = {host.result(number)["finish"] for number in numbers}
        assert finishes <= {"cancelled", "stop"}
        assert host.call("complete", prefix="x", maxTokens=2)["usage"]["new"] <= 2


def test_a_newer_request_of_a_window_ends_its_older_one_and_no_others(tiny_bundle: Path) -> None:
    with hosting(tiny_bundle, "--slots", 1) as host:
        long: dict[str, Any] = {"maxTokens": 200, "stop": [], "temperature": 3}
        other = host.ask("complete", prefix="x", window="b", maxTokens=60, stop=[])
        older = host.ask("complete", prefix="x", window="a", **long)
        newer = host.ask("complete", prefix="x", window="a", maxTokens=2)
        assert host.error(older)["data"]["kind"] == "ReplacedError"
        assert host.result(newer)["usage"]["new"] <= 2
        assert host.result(other)["usage"]["new"] > 0


def test_more_than_may_wait_are_refused(tiny_bundle: Path) -> None:
    with hosting(tiny_bundle, "--slots", 1, "--queue", 1) as host:
        numbers = [host.ask("complete", prefix="x", maxTokens=200, stop=[]) for _ in range(8)]
        answers = [host.answer(number) for number in numbers]
        busy = [a["error"] for a in answers if "error" in a]
        assert busy
        assert {error["code"] for error in busy} == {-32000}
        assert "try again in a moment" in busy[0]["message"]


def test_what_is_accepted_is_counted_and_the_next_prompt_prepared(host: Host) -> None:
    before = host.call("stats")
    number = host.ask("complete", prefix="# one\n" * 30, suffix="\n", **GREEDY)
    done = host.result(number)
    if not done["text"].strip():
        pytest.skip("the made-up model has written nothing here")
    assert host.call("accept", id=number) is None
    after = host.call("stats")
    assert after["accepted"] == before["accepted"] + 1
    assert after["suggestions"] > before["suggestions"]
    assert "is none of the last" in host.error(host.ask("accept", id=number))["message"]


WRONG = [
    (b"{", -32700, "not JSON: "),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "stats", "params": NaN}', -32700, "NaN"),
    (b"[]", -32600, "[]; expected one object"),
    (b'{"id": 1, "method": "stats"}', -32600, "jsonrpc None; expected '2.0'"),
    (b'{"jsonrpc": "2.0", "id": true, "method": "stats"}', -32600, "id True; expected a whole"),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "finish"}', -32601, "expected one of initialize, "),
    (b'{"jsonrpc": "2.0", "id": 1, "method": []}', -32601, "method []; expected one of initialize"),
    (b'{"jsonrpc": "2.0", "id": 1}', -32601, "method None; expected one of initialize"),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "complete"}', -32602, "prefix"),
]


@pytest.mark.parametrize(("content", "code", "words"), WRONG, ids=[w for _, _, w in WRONG])
def test_what_is_no_request_is_answered_by_one_line(
    content: bytes, code: int, words: str, host: Host
) -> None:
    host.send(content)
    while "error" not in (answer := host.next()):
        pass
    assert answer["error"]["code"] == code
    assert words in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"prefix": 1}, "prefix: found 1, expected text"),
        ({"prefix": "a", "maxTokens": "5"}, 'maxTokens: found "5", expected a whole number'),
        ({"prefix": "a", "max_tokens": 5, "topk": 1}, "topk: there is no field of that name"),
        ({"prefix": "a", "maxTokens": 0}, "max_tokens 0; expected 1 to 639"),
        ({"prefix": "a", "temperature": -1}, "temperature -1.0; expected 0 to 100"),
        ({"prefix": "a", "stop": "x"}, "stop"),
    ],
)
def test_wrong_params_are_told_and_nothing_breaks(
    params: dict[str, object], words: str, host: Host
) -> None:
    error = host.error(host.ask("complete", **params))
    assert error["code"] == -32602
    assert words in error["message"]


def test_a_client_of_another_protocol_is_told(host: Host) -> None:
    error = host.error(host.ask("initialize", protocol="2.0"))
    assert "this sidecar speaks 1.0" in error["message"]


def test_an_open_requests_id_is_not_taken_twice(host: Host) -> None:
    number = host.ask("complete", prefix="x", maxTokens=200, stop=[], temperature=3)
    message = {"jsonrpc": "2.0", "id": number, "method": "stats"}
    host.send(json.dumps(message).encode())
    answers = [host.answer(number), host.answer(number)]
    assert sum("error" in answer for answer in answers) == 1


def test_what_nobody_waits_for_is_not_computed(host: Host) -> None:
    before = host.call("stats")["requests"]
    host.notify("complete", prefix="x")
    host.notify("complete", prefix="x")
    assert host.call("stats")["requests"] == before


def test_a_request_that_fails_and_was_cancelled_leaves_its_id_to_others(host: Host) -> None:
    for params in ({"prefix": "x", "maxTokens": 0}, {"prefix": "x", "maxTokens": 2}):
        message = {"jsonrpc": "2.0", "id": "same", "method": "complete", "params": params}
        host.send(json.dumps(message).encode())
        if params["maxTokens"] == 0:
            host.notify("cancel", id="same")
        answer = host.answer("same")
    assert answer["result"]["finish"] != "cancelled"


def test_shutdown_ends_it_in_the_middle_of_an_answer(tiny_bundle: Path) -> None:
    with hosting(tiny_bundle) as host:
        number = host.ask("complete", prefix="x", maxTokens=400, stop=[], temperature=3)
        host.ask("shutdown")
        answer = host.answer(number)
        assert "result" in answer or answer["error"]["data"]["kind"] == "EndingError"
        assert host.process.wait(10) == 0


def test_it_ends_when_the_process_that_is_named_does(tiny_bundle: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other, hosting(tiny_bundle) as host:
        host.call("initialize", protocol="1.0", processId=other.pid)
        other.communicate(b"\n", timeout=10)
        assert host.process.wait(10) is not None


def test_it_ends_without_a_word_when_that_process_has_ended_already(tiny_bundle: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait(10)
    with hosting(tiny_bundle) as host:
        host.ask("initialize", processId=other.pid)
        assert host.process.wait(10) is not None
        assert host.process.stderr is not None
        assert host.process.stderr.read() == b""


@pytest.mark.parametrize(
    ("lines", "content", "words"),
    [
        (False, b'{"jsonrpc": "2.0", "id": 1, "method": "stats"}\n', b"or start it with --lines"),
        (True, b"Content-Length: 10\r\n\r\n", b"leave --lines out"),
    ],
)
def test_a_host_that_writes_the_other_frames_is_told_so(
    lines: bool, content: bytes, words: bytes, tiny_bundle: Path
) -> None:
    with hosting(tiny_bundle, lines=lines) as host:
        assert host.process.stdin is not None
        host.process.stdin.write(content)
        host.process.stdin.flush()
        assert host.process.wait(10) == 1
        assert host.process.stderr is not None
        assert words in host.process.stderr.read()


def test_what_is_no_message_ends_it_with_a_line(tiny_bundle: Path) -> None:
    with hosting(tiny_bundle) as host:
        assert host.process.stdin is not None
        host.process.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
        host.process.stdin.flush()
        assert host.process.wait(10) == 1
        assert host.process.stderr is not None
        assert host.process.stderr.read().startswith(b"error: an HTTP request: expected messages")


def test_a_bundle_that_is_none_is_told_before_anything_is_ready(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")


@pytest.mark.skipif(sys.platform == "win32", reason="its pipes always block")
def test_who_reads_no_answers_is_read_no_more_until_he_does(tiny_bundle: Path) -> None:
    command = [*COMMAND, str(tiny_bundle), "--lines"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["method"] == "ready"
        os.set_blocking(process.stdin.fileno(), False)
        request, sent, waited = {"jsonrpc": "2.0", "method": "stats"}, 0, 0.0
        while waited < 1 and sent < 100_000:
            try:
                line = json.dumps({**request, "id": sent}) + "\n"
                os.write(process.stdin.fileno(), f"{line:>512}".encode())  # whole, or not at all
            except BlockingIOError:
                time.sleep(0.05)
                waited += 0.05
            else:
                sent, waited = sent + 1, 0.0
        assert sent < 100_000
        answers = {json.loads(process.stdout.readline())["id"] for _ in range(sent)}
        assert answers == {*range(sent)}
        process.stdin.close()
        assert process.wait(10) == 0


def test_the_published_schema_is_the_one_in_use(root: Path, tiny_bundle: Path) -> None:
    published = json.loads((root / "docs" / "sidecar.openrpc.json").read_text("utf-8"))
    assert published == document()
    names = [method["name"] for method in published["methods"]]
    assert names == list(METHODS)
    printed = subprocess.run([*COMMAND, "--schema"], capture_output=True, text=True, check=True)
    assert json.loads(printed.stdout) == published


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    whole = document()

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from [value["$ref"]] if "$ref" in value else []
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in references(whole):
        place: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert isinstance(place, dict), reference


def test_errors_have_the_number_of_their_nearest_kind() -> None:
    assert code_of(refact_edge.OptionError("a")) == -32602
    assert code_of(refact_edge.BundleError("a")) == -32003
    assert code_of(refact_edge.BusyError("a")) == -32000
    assert code_of(ZeroDivisionError()) == -32603
