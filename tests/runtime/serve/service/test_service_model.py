"""Opening the model for those who wait for it, and letting it go."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from served import Serve, serving, wait_for

import refact_edge
from refact_edge.runtime.engine.cancel import CancelToken
from refact_edge.runtime.errors import BundleError, OptionError
from refact_edge.runtime.model import Model
from refact_edge.runtime.serve.service.requests import GenerationOptions, go_on
from refact_edge.runtime.serve.service.service import Service
from refact_edge.runtime.serve.service.settings import Settings
from refact_edge.runtime.stream import Usage


def test_an_idle_model_leaves_memory_and_comes_back(serve: Serve) -> None:
    with serve(idle_seconds=0.2) as served:
        wait_for(lambda: not served.service.loaded)
        assert served.http.get("/health").json()["loaded"] is False
        reply = served.post(
            "/v1/completions", prompt="def add(a, b):\n" * 20, max_tokens=2, temperature=0
        )
        assert reply.status_code == 200


def test_what_was_read_is_kept_on_disk_across_a_release(tiny_bundle: Path, tmp_path: Path) -> None:
    opened = []

    def open_model() -> refact_edge.Model:
        opened.append(1)
        return refact_edge.load(tiny_bundle, variant="fp32", caches=tmp_path / "caches")

    async def used() -> int:
        settings, cached = Settings(), 0
        service = Service(open_model, settings)
        ask = go_on("value = 1\n" * 40, GenerationOptions(max_tokens=1), settings)
        for _ in range(2):
            async with service.run([ask]) as run:
                async for _ in run:
                    pass
                cached = run.streams[0].usage.cached
            assert await service.release()
        await service.close()
        return cached

    assert asyncio.run(used()) > 100
    assert len(opened) == 2


def test_each_bundle_is_served_by_its_own_variant(tiny_bundle: Path) -> None:
    with serving(tiny_bundle, "int8") as served:
        meta = served.http.get("/v1/models").json()["data"][0]["meta"]
    assert meta["variant"] == "int8"


def test_asking_about_a_model_that_was_let_go_does_not_open_it(serve: Serve) -> None:
    with serve() as served:
        served.post("/api/generate", keep_alive=0)
        for path in ("/v1/models", "/api/tags", "/props", "/refact-caps", "/api/ps", "/health"):
            assert served.http.get(path).status_code == 200
        assert served.post("/api/show", model="m").status_code == 200
        assert not served.service.loaded


def _slowly_opened(bundle: Path, opened: list[int], seconds: float) -> Callable[[], Model]:
    def open_model() -> Model:
        opened.append(1)
        time.sleep(seconds)
        return refact_edge.load(bundle, variant="fp32", hashes=False)

    return open_model


def test_clients_that_leave_while_the_model_opens_do_not_open_it_again(tiny_bundle: Path) -> None:
    opened: list[int] = []

    async def work() -> None:
        service = Service(_slowly_opened(tiny_bundle, opened, 0.5), Settings())
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(service.model(), 0.05)
        assert (await service.model()).variant == "fp32"
        await service.close()

    asyncio.run(work())
    assert opened == [1]


def test_who_waits_for_the_model_gets_it_however_shortly_it_is_kept(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's keep_alive may be next to nothing: the model was let go before anybody saw it."""
    monkeypatch.setattr(gc, "collect", lambda: time.sleep(0.05))  # of a large process
    opened: list[int] = []

    async def work() -> None:
        service = Service(_slowly_opened(tiny_bundle, opened, 0.01), Settings(idle_seconds=1e-9))
        watching = asyncio.create_task(service.watch_idle())
        for _ in range(5):
            await asyncio.wait_for(service.model(), 5)
            await asyncio.sleep(0.1)
        watching.cancel()

    asyncio.run(work())
    assert len(opened) <= 5


def test_a_model_that_cannot_be_opened_is_tried_again_and_is_no_ones_mistake(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(idle_seconds=0.1) as served:
        wait_for(lambda: not served.service.loaded)
        right = served.service._open

        def wrong() -> Model:
            raise BundleError("/secret/place is gone")

        monkeypatch.setattr(served.service, "_open", wrong)
        reply = served.post("/v1/completions", prompt="a")
        assert reply.status_code == 503
        assert "secret" not in reply.text
        monkeypatch.setattr(served.service, "_open", right)
        assert served.post("/v1/completions", prompt="a", max_tokens=1).status_code == 200


def test_a_model_that_reads_ahead_is_not_let_go(tiny_bundle: Path) -> None:
    async def work() -> None:
        service = Service(_slowly_opened(tiny_bundle, [], 0), Settings())

        def warm(model: Model, cancel: CancelToken) -> Usage:
            time.sleep(0.3)
            return model.warm("a", "b", cancel=cancel)

        reading = asyncio.ensure_future(service.warm(warm))
        await asyncio.sleep(0.2)
        assert not await service.release()
        await reading
        assert await service.release()

    asyncio.run(work())


def test_caches_that_cannot_be_kept_do_not_end_the_server(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OptionError("no space left")

    monkeypatch.setattr(Model, "save_caches", full)
    with serve(idle_seconds=0.1) as served:
        for _ in range(2):
            wait_for(lambda: not served.service.loaded)
            assert served.post("/v1/completions", prompt="a", max_tokens=1).status_code == 200
