"""A conversation ends when its process is told to, wherever it is at."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

import pytest

from refact_edge.runtime.serve.process.ending import run_until_sigterm

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def test_sigterm_cancels_it_and_the_handler_of_before_is_back() -> None:
    cleaned_up: list[bool] = []

    async def talk() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            cleaned_up.append(True)

    def of_this_test(*_: object) -> None:
        raise AssertionError("the handler of before is called")

    before = signal.signal(signal.SIGTERM, of_this_test)
    try:
        run_until_sigterm(talk())
        assert signal.getsignal(signal.SIGTERM) is of_this_test
    finally:
        signal.signal(signal.SIGTERM, before)
    assert cleaned_up == [True]


def test_what_it_raises_is_raised_and_other_threads_may_run_it() -> None:
    async def fail() -> None:
        raise ValueError("no message")

    with pytest.raises(ValueError, match="no message"):
        run_until_sigterm(fail())
    done: list[bool] = []

    async def talk() -> None:
        done.append(True)

    thread = threading.Thread(target=lambda: run_until_sigterm(talk()))
    thread.start()
    thread.join()
    assert done == [True]
