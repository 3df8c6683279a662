"""Working ahead: the next batch is made in a thread while the one before is being used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields `items` in order, always having begun the next one; at most two are held at a time.

    An error in making an item is raised where that item would have come.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as pool:
        waiting = pool.submit(_next, iterator)
        while made := waiting.result():
            waiting = pool.submit(_next, iterator)
            yield made[0]


def _next(iterator: Iterator[Item]) -> tuple[Item] | None:
    return next(((item,) for item in iterator), None)
