"""Running a coroutine from a command that may be interrupted at any moment."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_async(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the coroutine that `begin` makes comes to; as asyncio.run, but no signal meets a loop that is half made.

    Such a loop would complain, on standard error, when it is dropped.
    """
    with asyncio.Runner() as runner:
        with _signals_held():
            runner.get_loop()
        return runner.run(begin())


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals that come meanwhile are handled afterwards. Python handles them in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in INTERRUPTING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for waiting in came:
            signal.raise_signal(waiting)
