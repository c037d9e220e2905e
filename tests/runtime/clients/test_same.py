"""The same requests give the same text, whichever way they are made."""

import asyncio
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from editor import editing
from lsprotocol import types as lsp
from program import program_in
from served import serving
from sidecar_host import hosting

import refact_edge
from refact_edge import Sampling

REQUESTS = int(os.environ.get("SAME_REQUESTS", "20"))  # of make test-clients, 200
MAX_TOKENS = 12
Cursor = tuple[str, str]


@pytest.fixture(scope="module")
def cursors(root: Path) -> list[Cursor]:
    """Return texts before and after a cursor at the end of a line, or before what follows on it."""
    source = (root / "runtime" / "text" / "cursor.py").read_text("utf-8")
    generator = random.Random(27)
    cuts = [generator.randrange(20, len(source) - 20) for _ in range(REQUESTS)]
    return [(source[max(0, at - 400) : at], source[at : at + 120]) for at in cuts]


@pytest.fixture(scope="module")
def texts(cursors: list[Cursor], demo_bundle: Path) -> list[str]:
    """Return what Python's face writes."""
    greedy = Sampling(temperature=0)
    with refact_edge.load(demo_bundle, variant="int4") as model:
        return [
            "".join(model.complete(before, after, max_tokens=MAX_TOKENS, sampling=greedy))
            for before, after in cursors
        ]


def _params(cursor: Cursor) -> dict[str, object]:
    return {
        "prefix": cursor[0], "suffix": cursor[1], "maxTokens": MAX_TOKENS, "temperature": 0,
    }  # fmt: skip


def test_some_texts_are_there(texts: list[str]) -> None:
    assert len({*filter(str.strip, texts)}) > REQUESTS // 3


def test_an_event_loop_gets_the_same(
    cursors: list[Cursor], texts: list[str], demo_bundle: Path
) -> None:
    greedy = Sampling(temperature=0)

    async def whole(model: refact_edge.Model) -> list[str]:
        return await asyncio.gather(
            *(_awaited(model, before, after, greedy) for before, after in cursors)
        )

    with refact_edge.load(demo_bundle, variant="int4") as model:
        assert asyncio.run(whole(model)) == texts


async def _awaited(
    model: refact_edge.Model, before: str, after: str, greedy: refact_edge.Sampling
) -> str:
    return await model.complete(before, after, max_tokens=MAX_TOKENS, sampling=greedy)


def test_the_sidecar_writes_the_same(
    cursors: list[Cursor], texts: list[str], demo_bundle: Path
) -> None:
    with hosting(demo_bundle, "--variant", "int4") as host:
        assert [host.call("complete", **_params(one))["text"] for one in cursors] == texts


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js here")
def test_node_gets_the_same(
    cursors: list[Cursor], texts: list[str], demo_bundle: Path, root: Path, tmp_path: Path
) -> None:
    environment = os.environ | {
        "CLIENT": str(root / "runtime" / "clients" / "node"),
        "WRAPPER": str(program_in(tmp_path)),
        "BUNDLE": str(demo_bundle),
    }
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("same.js"))],
        input=json.dumps([_params(one) for one in cursors]),
        capture_output=True, text=True, check=True, env=environment, timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout) == texts


def test_http_gets_the_same(cursors: list[Cursor], texts: list[str], demo_bundle: Path) -> None:
    with serving(demo_bundle, variant="int4") as served:
        for (before, after), text in zip(cursors, texts, strict=True):
            answer = served.post(
                "/v1/completions", prompt=before, suffix=after, max_tokens=MAX_TOKENS,
                temperature=0, stop=["\n\n"],
            )  # fmt: skip
            assert answer.json()["choices"][0]["text"] == text


def test_an_editor_gets_the_same(
    cursors: list[Cursor], texts: list[str], demo_bundle: Path
) -> None:
    settings = {"maxTokens": MAX_TOKENS, "lines": "many", "readAhead": False}

    async def whole() -> list[str]:
        written = []
        async with editing(demo_bundle, settings, variant="int4") as (editor, _):
            for number, (before, after) in enumerate(cursors):
                uri = f"file:///project/file{number}.py"
                editor.open(before + after, uri)
                column = len(before) - before.rfind("\n") - 1
                place = lsp.Position(line=before.count("\n"), character=column)
                items = await editor.complete(place, uri)
                written.append(str(items[0].insert_text) if items else "")
        return written

    shown = [text if text.strip() else "" for text in texts]  # blanks are no suggestion
    assert asyncio.run(whole()) == shown
