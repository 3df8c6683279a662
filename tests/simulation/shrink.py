"""From a world that fails to the fewest of its items that still do, by leaving out (delta debugging).

Halves are left out first, then quarters, and so on down to single items, until nothing more can be left out alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

Numbers = frozenset[int]


def shrunk(items: Iterable[int], fails: Callable[[Numbers], bool]) -> Numbers:
    """The items that are left; `fails` says whether a choice of them still does what all of them do."""
    kept = sorted(items)
    parts = 2
    while len(kept) > 1:
        smaller = next((rest for rest in _without_each_part(kept, parts) if fails(frozenset(rest))), None)
        if smaller is not None:
            kept, parts = smaller, max(parts - 1, 2)
        elif parts < len(kept):
            parts = min(parts * 2, len(kept))
        else:
            break
    return frozenset(kept)


def _without_each_part(items: list[int], parts: int) -> Iterator[list[int]]:
    """From the end: what comes last is most often not needed."""
    bounds = [len(items) * number // parts for number in range(parts + 1)]
    for start, end in reversed(list(pairwise(bounds))):
        yield items[:start] + items[end:]


def written(numbers: Iterable[int]) -> str:
    """Numbers as ranges: 1-4,7."""
    ordered = sorted(numbers)
    starts = [number for number in ordered if number - 1 not in ordered]
    ends = [number for number in ordered if number + 1 not in ordered]
    return ",".join(str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True))


def read(text: str) -> Numbers:
    """What `written` wrote; raises ValueError for anything else."""
    found: set[int] = set()
    for part in text.split(","):
        start, _, end = part.partition("-")
        found.update(range(int(start), int(end or start) + 1))
    return frozenset(found)
