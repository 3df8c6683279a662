"""A signal that comes while the event loop is being made is handled once it is made."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from settlement.venues.okx.event_loop import run_async


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_it_gives_what_the_coroutine_comes_to_in_any_thread() -> None:
    assert run_async(answer) == 42
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(run_async(answer)))
    thread.start()
    thread.join()
    assert found == [42]


def test_an_interruption_meets_no_loop_that_is_half_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    get_loop = asyncio.Runner.get_loop

    def interrupted(runner: asyncio.Runner) -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGINT)
        loop = get_loop(runner)
        made.append(True)
        return loop

    monkeypatch.setattr(asyncio.Runner, "get_loop", interrupted)
    # Whoever started the tests may have left interruptions ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_async(answer)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert made == [True]
