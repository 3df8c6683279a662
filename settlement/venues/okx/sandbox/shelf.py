"""Where fills are looked up: the replayed rows, and the seeded market's hours, made when first asked and kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING, Final

import numpy as np

from settlement.venues.okx.sandbox.market import EPOCH_MS, HOUR_MS, time_of_id

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.blocks import Block
    from settlement.venues.okx.sandbox.lateness import Lateness
    from settlement.venues.okx.sandbox.market import SeededMarket

DAY_MS: Final = 86_400_000
HISTORY_DAYS: Final = 90
KEPT_BYTES: Final = 768 * 1024 * 1024
CHUNK_ROWS: Final = 1024
NEVER_MS: Final = 2**62

Found = tuple[int, memoryview]


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a page is asked for: rows older than `after`, newer than `before`, recorded in [begin, end], newest first.

    `needles` are pieces of JSON text that a row must hold, one for each further filter.
    """

    account: str
    inst_type: str = ""
    after: int | None = None
    before: int | None = None
    begin_ms: int = 0
    end_ms: int = NEVER_MS
    oldest_ms: int = 0
    limit: int = 100
    needles: tuple[bytes, ...] = ()


class Shelf:
    """All fills. `now_ms` is the exchange's clock: what is recorded later is not there yet."""

    def __init__(
        self, *, market: SeededMarket | None, replay: Block | None, lateness: Lateness, now_ms: Callable[[], int]
    ) -> None:
        self._market, self._replay, self._lateness, self._now_ms = market, replay, lateness, now_ms
        self._trading = set()
        if market is not None:
            self._trading = {market.population.accounts[number] for number in market.served.tolist()}
        self._hours: OrderedDict[int, Block] = OrderedDict()
        self._making = asyncio.Lock()

    async def page(self, query: Query) -> list[memoryview]:
        """The rows of one page."""
        replayed = self._found(self._replay, query, oldest_ms=0) if self._replay is not None else iter(())
        seeded = [found async for found in self._seeded(query)]
        both = merge(list(replayed), seeded, key=lambda found: found[0], reverse=True)
        return [text for _, text in both][: query.limit]

    async def order(self, account: str, order_id: int) -> tuple[list[memoryview], str]:
        """The rows of one order, oldest first, and the tag of the algo order that it is a child of ("" if of none)."""
        for block in [self._replay, await self._hour_of_id(account, order_id)]:
            if block is None:
                continue
            for kind in block.types_of(account):
                low, high = block.groups[account, kind]
                rows = low + np.flatnonzero(block.order_id[low:high] == order_id)
                rows = rows[block.recorded_ms[rows] <= self._now_ms()]
                if len(rows):
                    return [block.row(int(row)) for row in rows], block.algo_tags.get(order_id, "")
        return [], ""

    async def orders(
        self, account: str, kind: str, *, after: int | None, oldest_ms: int, limit: int
    ) -> list[tuple[int, list[memoryview], str]]:
        """The newest orders of one instrument type with an id below `after`: id, rows, and the tag of the algo order."""
        found: list[tuple[int, list[memoryview], str]] = []
        newest = self._newest_order_ms(account, kind, after=after)
        hours: list[int] = []
        if self._market is not None and account in self._trading:
            hours = list(range(newest // HOUR_MS * HOUR_MS, oldest_ms // HOUR_MS * HOUR_MS - 1, -HOUR_MS))
        if self._replay is not None:
            found += self._orders_of(self._replay, account, kind, after=after, limit=limit)
        for start in hours:
            if len(found) >= limit:
                break
            block = await self._hour(start)
            found += self._orders_of(block, account, kind, after=after, limit=limit - len(found))
        return sorted(found, key=lambda order: order[0], reverse=True)[:limit]

    def _newest_order_ms(self, account: str, kind: str, *, after: int | None) -> int:
        """When the newest order below `after` can have been recorded. A recorded id does not hold its time: it is looked up."""
        now = self._now_ms()
        if after is None or time_of_id(after) <= now or self._replay is None:
            return now if after is None else min(now, time_of_id(after))
        low, high = self._replay.groups.get((account, kind), (0, 0))
        recorded = self._replay.recorded_ms[low:high][self._replay.order_id[low:high] < after]
        return min(now, int(recorded.max(initial=0))) if len(recorded) else now

    def _orders_of(
        self, block: Block, account: str, kind: str, *, after: int | None, limit: int
    ) -> Iterator[tuple[int, list[memoryview], str]]:
        low, high = block.groups.get((account, kind), (0, 0))
        ids = np.where(block.recorded_ms[low:high] <= self._now_ms(), block.order_id[low:high], 0)
        older = np.unique(ids[(ids > 0) & (ids < (after or NEVER_MS))])
        for order_id in older[::-1][:limit].tolist():
            rows = low + np.flatnonzero(ids == order_id)
            yield order_id, [block.row(int(row)) for row in rows], block.algo_tags.get(order_id, "")

    async def everything(
        self, account: str, *, begin_ms: int, end_ms: int, seen_only: bool
    ) -> AsyncIterator[memoryview]:
        """All rows of an account recorded in [begin, end), oldest hour first, replayed ones whatever their age.

        `seen_only` leaves out what a hold keeps back; hidden rows are never left out here.
        """
        if (block := self._replay) is not None:
            for row in self._rows(block, account, begin_ms=0, end_ms=NEVER_MS, seen_only=seen_only):
                yield block.row(row)
        if self._market is None or account not in self._trading:
            return
        for start in range(begin_ms // HOUR_MS * HOUR_MS, end_ms, HOUR_MS):
            block = await self._hour(start)
            for row in self._rows(block, account, begin_ms=begin_ms, end_ms=end_ms, seen_only=seen_only):
                yield block.row(row)

    def _rows(self, block: Block, account: str, *, begin_ms: int, end_ms: int, seen_only: bool) -> Iterator[int]:
        for kind in block.types_of(account):
            low, high = block.groups[account, kind]
            recorded = block.recorded_ms[low:high]
            fits = (recorded >= begin_ms) & (recorded < end_ms)
            held = self._lateness.held(account, block.bill_id[low:high], now_ms=self._now_ms()) if seen_only else None
            if held is not None:
                fits &= ~held
            yield from (low + np.flatnonzero(fits)).tolist()

    async def _seeded(self, query: Query) -> AsyncIterator[Found]:
        if self._market is None or query.account not in self._trading:
            return
        now = self._now_ms()
        oldest = max(query.begin_ms, query.oldest_ms, now - HISTORY_DAYS * DAY_MS)
        newest = min(query.end_ms, now)
        if query.after is not None:
            newest = min(newest, time_of_id(query.after))
        if query.before is not None:
            oldest = max(oldest, time_of_id(query.before))
        left = query.limit
        for start in range(newest // HOUR_MS * HOUR_MS, oldest // HOUR_MS * HOUR_MS - 1, -HOUR_MS):
            block = await self._hour(start)
            for found in self._found(block, query, oldest_ms=oldest, limit=left):
                yield found
                left -= 1
            if left <= 0:
                return

    def _found(self, block: Block, query: Query, *, oldest_ms: int, limit: int | None = None) -> Iterator[Found]:
        """Rows of `block` that the query asks for and that may be seen, newest first."""
        kinds = [query.inst_type] if query.inst_type else block.types_of(query.account)
        parts = [
            self._found_in_group(block, query, group, oldest_ms=oldest_ms)
            for kind in kinds
            if (group := block.groups.get((query.account, kind)))
        ]
        left = query.limit if limit is None else limit
        for bill_id, text, hidden in merge(*parts, key=lambda found: found[0], reverse=True):
            if left == 0:
                return
            if not hidden or not self._lateness.first_reading(query.account, bill_id):
                left -= 1
                yield bill_id, text

    def _found_in_group(
        self, block: Block, query: Query, group: tuple[int, int], *, oldest_ms: int
    ) -> Iterator[tuple[int, memoryview, bool]]:
        """Rows of one group, newest first, each with whether it is hidden from a first reading."""
        low, high = group
        bills = block.bill_id[low:high]
        top = len(bills) if query.after is None else int(np.searchsorted(bills, query.after, side="left"))
        bottom = 0 if query.before is None else int(np.searchsorted(bills, query.before, side="right"))
        begin, end = max(query.begin_ms, oldest_ms), min(query.end_ms, self._now_ms())
        for upper in range(top, bottom, -CHUNK_ROWS):
            lower = max(upper - CHUNK_ROWS, bottom)
            recorded = block.recorded_ms[low + lower : low + upper]
            fits = (recorded >= begin) & (recorded <= end)
            held = self._lateness.held(query.account, bills[lower:upper], now_ms=self._now_ms())
            if held is not None:
                fits &= ~held
            hidden = self._lateness.hidden(bills[lower:upper])
            for at in np.flatnonzero(fits)[::-1].tolist():
                bill_id = int(bills[lower + at])
                text = block.row(low + lower + at)
                if query.needles and not all(needle in bytes(text) for needle in query.needles):
                    continue
                yield bill_id, text, hidden is not None and bool(hidden[at])

    async def _hour_of_id(self, account: str, identifier: int) -> Block | None:
        if self._market is None or account not in self._trading:
            return None
        instant, now = time_of_id(identifier), self._now_ms()
        if not max(EPOCH_MS, now - HISTORY_DAYS * DAY_MS) <= instant <= now:
            return None
        return await self._hour(instant // HOUR_MS * HOUR_MS)

    async def _hour(self, start_ms: int) -> Block:
        block = self._hours.get(start_ms)
        if block is None:
            async with self._making:
                block = self._hours.get(start_ms) or await self._make(start_ms)
        self._hours.move_to_end(start_ms)
        return block

    async def _make(self, start_ms: int) -> Block:
        assert self._market is not None  # noqa: S101 - only asked where there is a market
        block = await asyncio.to_thread(self._market.hour, start_ms)
        self._hours[start_ms] = block
        held = sum(each.bytes_held for each in self._hours.values())
        while held > KEPT_BYTES and len(self._hours) > 1:
            held -= self._hours.popitem(last=False)[1].bytes_held
        return block
