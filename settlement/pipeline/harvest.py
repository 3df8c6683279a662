"""Use case: pull the fills of many accounts from a venue.

    walk, an account a coroutine  ──page by page──>  queue  ──batches──>  one transaction: fills, raw pages, tags, cursors

Whatever ends this process, a batch is stored whole or not at all, and the cursors say exactly what is stored. Accounts take
turns page by page; one that fails is recorded and ends alone. Memory holds a queue of pages and one batch, however long the
walks are. Nobody else harvests the same accounts meanwhile: the guard's locks end with this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from settlement.pipeline.harvest_plan import Key, Plan, Stretch
from settlement.pipeline.ingest import IngestReport, ingest
from settlement.pipeline.venue import FillsOfAccount, FillsVenue, OrderTag, Page, VenueError
from settlement.store import harvests, venue_accounts
from settlement.store.database import Connection, Database
from settlement.store.harvests import RawPage, Standing, Step, Walk
from settlement.store.outbox import emit

ACCOUNTS_AT_ONCE = 100
QUEUED_PAGES = 64
BATCH_ROWS = 10_000
BATCH_STEPS = 500
BATCH_SECONDS = 2.0
# A pull that fails once succeeds half an hour later as a rule; one that keeps failing is told.
FAILURES_TOLD = 3

T = TypeVar("T")

_ZSTD = pa.Codec("zstd")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A pull that ended early: whose, of what, and why."""

    account: str
    instrument_type: str
    error: str


@dataclass(kw_only=True)
class HarvestReport:
    """What came of a harvest; `skipped` accounts are being harvested by somebody else."""

    counts: IngestReport = field(default_factory=IngestReport)
    accounts: int = 0
    pages: int = 0
    skipped: tuple[str, ...] = ()
    failures: list[Failure] = field(default_factory=list)

    def count(self, stored: IngestReport) -> None:
        """Takes in one batch."""
        names = ("read", "stored", "duplicate", "conflict", "quarantined")
        sums = {name: getattr(self.counts, name) + getattr(stored, name) for name in names}
        reasons = (*self.counts.first_reasons, *stored.first_reasons)[:5]
        self.counts = IngestReport(**sums, first_reasons=reasons)

    def summary(self) -> str:
        """One line for a log: no account is named."""
        counts = f"{self.counts.stored} stored, {self.counts.duplicate} duplicate, {self.counts.conflict} conflict"
        return f"{self.accounts} accounts, {self.pages} pages, {counts}, {len(self.failures)} failed"

    def add(self, other: HarvestReport) -> None:
        """Takes in the harvest of other accounts."""
        self.count(other.counts)
        self.accounts += other.accounts
        self.pages += other.pages
        self.skipped += other.skipped
        self.failures += other.failures


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """What one request brought: a page, the tags of its orders, and where the walk stands after it."""

    page: Page
    tags: Sequence[OrderTag]
    step: Step


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """A walk that ended early. It takes its turn behind its pages: what they store says that all went well so far."""

    account: str
    instrument_type: str
    error: VenueError


class _Waited:
    """Nothing came for a while."""


_Queue: TypeAlias = "asyncio.Queue[_Piece | _Ended | None]"

PlanOf = Callable[[Connection, Mapping[Key, Standing]], Plan]
"""Decides what is read, from how far the accounts are."""


async def harvest(  # noqa: PLR0913 - whom to ask, what for, and who wants to know
    database: Database,
    venue: FillsVenue,
    accounts: Sequence[FillsOfAccount],
    *,
    plan: PlanOf,
    now: datetime,
    loaded_by: str,
    on_page: Callable[[Page], None] = lambda _: None,
) -> HarvestReport:
    """Pulls what `plan` wants of `accounts`.

    Raises what PostgreSQL or Redis raise; a VenueError ends the account it came from and stands in the report.
    """
    one = _Harvest(database=database, venue=venue, plan_of=plan, now=now, loaded_by=loaded_by, on_page=on_page)
    return await one.run(accounts)


@dataclass(kw_only=True)
class _Harvest:
    """One harvest on its way."""

    database: Database
    venue: FillsVenue
    plan_of: PlanOf
    now: datetime
    loaded_by: str
    on_page: Callable[[Page], None]
    plan: Plan = field(init=False)
    report: HarvestReport = field(default_factory=HarvestReport)
    # One thread for all batches: each thread that has handled one would keep its memory.
    storing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "store"))
    asking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "ask"))

    async def run(self, accounts: Sequence[FillsOfAccount]) -> HarvestReport:
        """The whole harvest, under the locks of its accounts."""
        by_name = {account.account: account for account in accounts}
        with self.storing, self.asking, self.database.transaction() as guard:
            mine = harvests.claim(guard, venue=self.venue.venue, accounts=list(by_name))
            with self.database.transaction() as connection:
                standings = harvests.standings(connection, venue=self.venue.venue, accounts=sorted(mine))
                self.plan = self.plan_of(connection, standings)
            self.report.accounts = len(mine)
            self.report.skipped = tuple(sorted(set(by_name) - mine))
            try:
                await self._pull([by_name[name] for name in sorted(mine)])
            except ExceptionGroup as errors:
                raise _first(errors) from None
        return self.report

    async def _pull(self, accounts: Sequence[FillsOfAccount]) -> None:
        queue: _Queue = asyncio.Queue(QUEUED_PAGES)
        turns = asyncio.Semaphore(ACCOUNTS_AT_ONCE)
        async with asyncio.TaskGroup() as writing:
            writing.create_task(self._write(queue))
            async with asyncio.TaskGroup() as walking:
                for account in accounts:
                    walking.create_task(self._walk_account(account, queue, turns))
            await queue.put(None)

    async def _walk_account(self, account: FillsOfAccount, queue: _Queue, turns: asyncio.Semaphore) -> None:
        of_account = [(key, todo) for key, todo in self.plan.stretches.items() if key[0] == account.account]
        async with turns:
            for (_, instrument_type), stretches in of_account:
                try:
                    for stretch in stretches:
                        await self._walk(account, instrument_type, stretch, queue)
                except VenueError as error:
                    await queue.put(_Ended(account=account.account, instrument_type=instrument_type, error=error))
                    if not error.retry_helps:
                        return  # what refuses one request of an account refuses the next as well

    async def _walk(
        self,
        account: FillsOfAccount,
        instrument_type: str,
        stretch: Stretch,
        queue: _Queue,
    ) -> None:
        walk: Walk | None = stretch.walk
        while walk is not None:
            page = await account.read_page(instrument_type, begin=walk.begin, end=walk.end, after=walk.after)
            tags = await self._tags(account, page, since=walk.begin) if page.untagged else ()
            walk = replace(walk, after=page.older) if page.older is not None else None
            step = Step(
                account=account.account,
                instrument_type=instrument_type,
                walk=walk,
                covered=stretch.covered if walk is None else None,
            )
            await queue.put(_Piece(page=page, tags=tags, step=step))
            self.on_page(page)

    async def _tags(self, account: FillsOfAccount, page: Page, *, since: datetime) -> Sequence[OrderTag]:
        """The tags of the page's untagged orders; each order is looked up once, ever."""
        known = await self._in(self.asking, self._known_tags, account.account, list(page.untagged))
        found = [
            OrderTag(account=account.account, order_id=order_id, algo_id=algo_id, tag=tag)
            for order_id, (algo_id, tag) in known.items()
        ]
        new = {order_id: instrument for order_id, instrument in page.untagged.items() if order_id not in known}
        return [*found, *await account.find_order_tags(page.instrument_type, new, since=since)] if new else found

    def _known_tags(self, account: str, order_ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        with self.database.transaction() as connection:
            return harvests.known_order_tags(connection, venue=self.venue.venue, account=account, order_ids=order_ids)

    async def _write(self, queue: _Queue) -> None:
        """Stores pieces in batches: when enough rows have come, or after a while, so that little is asked again."""
        batch: list[_Piece] = []
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BATCH_SECONDS
        while True:
            item = await _next(queue, deadline)
            if isinstance(item, _Piece):
                batch.append(item)
                if not _is_full(batch) and loop.time() < deadline:
                    continue
            await self._in(self.storing, self._store, batch)
            batch, deadline = [], loop.time() + BATCH_SECONDS
            if isinstance(item, _Ended):
                await self._in(self.storing, self._fail, item)
            elif item is None:
                return

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)

    def _store(self, batch: Sequence[_Piece]) -> None:
        """One transaction: the fills, the pages they came in, the tags that were found, and how far the walks are."""
        if not batch:
            return
        pages = [piece.page for piece in batch if piece.page.rows]
        tags = list({(tag.account, tag.order_id): tag for piece in batch for tag in piece.tags}.values())
        self.report.pages += len(batch)
        if not pages:
            with self.database.transaction() as connection:
                self._record(connection, batch)
            return

        def alongside(connection: Connection, load_id: int) -> None:
            raw = (_raw(page) for page in pages)
            harvests.add_raw_pages(connection, raw, venue=self.venue.venue, load_id=load_id)
            if tags:
                harvests.add_order_tags(connection, _table(tags), venue=self.venue.venue, now=self.now)
            self._record(connection, batch)

        block = self.venue.parse(pages, tags, executed_before=self.plan.executed_before)
        self.report.count(
            ingest(
                self.database,
                [block],
                source=self.venue.venue,
                file=f"{self.venue.venue} fills",
                loaded_by=self.loaded_by,
                now=self.now,
                alongside=alongside,
                known_keys_expected=self.plan.known_keys_expected,
            )
        )

    def _record(self, connection: Connection, batch: Sequence[_Piece]) -> None:
        steps = [piece.step for piece in batch]
        harvests.take_steps(connection, venue=self.venue.venue, steps=steps, now=self.now)

    def _fail(self, ended: _Ended) -> None:
        account, error = ended.account, ended.error
        self.report.failures.append(Failure(account=account, instrument_type=ended.instrument_type, error=str(error)))
        with self.database.transaction() as connection:
            failures = harvests.fail(
                connection,
                venue=self.venue.venue,
                account=account,
                instrument_type=ended.instrument_type,
                error=str(error),
                now=self.now,
            )
            parked = error.parks and venue_accounts.park(
                connection,
                venue=self.venue.venue,
                account=account,
                reason=str(error),
                now=self.now,
                known_since=self.now,
            )
            if parked or failures == FAILURES_TOLD:
                data = {"source": self.venue.venue, "account": account, "reason": str(error), "parked": parked}
                emit(connection, "source.lagging", subject=self.venue.venue, data=data)


async def _next(queue: _Queue, deadline: float) -> _Piece | _Ended | _Waited | None:
    """The next of the queue, or that it has not come by `deadline` (of the loop's clock)."""
    try:
        async with asyncio.timeout_at(deadline):
            return await queue.get()
    except TimeoutError:
        return _Waited()


def _is_full(batch: Sequence[_Piece]) -> bool:
    return len(batch) >= BATCH_STEPS or sum(each.page.rows for each in batch) >= BATCH_ROWS


def _raw(page: Page) -> RawPage:
    return RawPage(
        account=page.account,
        instrument_type=page.instrument_type,
        request=page.request,
        rows=page.rows,
        body_bytes=len(page.body),
        body=_ZSTD.compress(page.body, asbytes=True),
        fetched_at=page.fetched_at,
    )


def _table(tags: Sequence[OrderTag]) -> pa.Table:
    return pa.table(
        {name: [getattr(tag, name) for tag in tags] for name in ("account", "order_id", "algo_id", "tag")},
        schema=pa.schema([(name, pa.string()) for name in ("account", "order_id", "algo_id", "tag")]),
    )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the others: whoever asked knows what to do about it, not about a group."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
