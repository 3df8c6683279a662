"""Use case: take the fills of one file in.

    read, validate, sort, encode (in a thread, one batch ahead)  ->  COPY into `fill`
                 └─> bad rows to quarantine                           └─> known keys: duplicates counted, conflicts to quarantine

One file is one transaction: its fills, what was put aside, the windows they touch and the events appear together or not at
all. Only partitions are made before, in short transactions of their own. Taking the same file in again changes nothing.

The first try is hopeful: it runs beside other ingests and looks at the end, once, whether a key stands on two days. If one
does, or if PostgreSQL ends a deadlock with another ingest (two files that name the same accounts in another order), all
is undone and done again: carefully (each batch looks for its keys on other days before it is stored), or alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from settlement.pipeline.ahead import ahead
from settlement.pipeline.fill_blocks import Block
from settlement.pipeline.validate_fills import validate
from settlement.store import fill_reach, fills
from settlement.store.database import Connection, Database
from settlement.store.fill_batch import FillBatch, make_batch
from settlement.store.fill_conflicts import store_new_fills
from settlement.store.outbox import emit

BATCH_ROWS = 100_000
REASONS_KEPT = 5
LOCKED_ACCOUNTS_KEPT = 200_000
REACH_ROWS_KEPT = 250_000


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What became of the rows of a file: read = stored + duplicate + conflict + quarantined.

    `quarantined` are bad rows; a conflict is put aside too, but counted apart. `first_reasons` says why, for the first.
    """

    read: int = 0
    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0
    first_reasons: tuple[str, ...] = ()


Alongside = Callable[[Connection, int], None]
"""What else is stored in the transaction of a load, by its id; it may run again after a try that was undone."""


def ingest(  # noqa: PLR0913 - where the fills come from, in the words of the load's row
    database: Database,
    blocks: Iterable[Block],
    *,
    source: str,
    file: str,
    loaded_by: str,
    now: datetime,
    alongside: Alongside | None = None,
    known_keys_expected: bool = False,
) -> IngestReport:
    """Stores the fills of `blocks`, which `file` was read into, and says what became of them.

    `alongside` stores what has to appear with them or not at all. `known_keys_expected` says that many of them may be
    stored already: then the way that is fast for new ones only is not tried first.

    `blocks` may be iterated up to three times (see above), so an iterator, which can be only once, raises TypeError.
    What iterating raises undoes the whole file. `now` is the clock that no fill may be ahead of.
    """
    if iter(blocks) is blocks:
        raise TypeError("blocks must be iterable more than once: give what makes the iterator")
    how = _Manner()
    while True:
        try:
            load = _Load(
                database=database,
                source=source,
                file=file,
                loaded_by=loaded_by,
                now=now,
                how=how,
                known_keys_expected=known_keys_expected,
            )
            return load.run(blocks, alongside)
        except _KeyOnTwoDaysError:
            how = replace(how, careful=True)
        except Exception as error:
            if how.alone or not fills.is_deadlock(error):
                raise
            how = replace(how, alone=True)


class _KeyOnTwoDaysError(Exception):
    """The hopeful try found, at its end, a key that stands on two days."""


@dataclass(frozen=True, kw_only=True)
class _Manner:
    alone: bool = False
    careful: bool = False


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """What one turn of the loop stores: the fills (None if there is no good row) and the rows put aside."""

    fills: FillBatch | None
    bad: pa.Table
    rows_read: int


@dataclass(kw_only=True)
class _Load:
    """One try to take a file in: what it was told, and what it has done so far in its transaction."""

    database: Database
    source: str
    file: str
    loaded_by: str
    now: datetime
    how: _Manner
    done: IngestReport = IngestReport()
    days: set[date] = field(default_factory=set)
    hours: set[datetime] = field(default_factory=set)
    locked: set[fills.Account] = field(default_factory=set)
    reaches: list[pa.Table] = field(default_factory=list)
    known_keys_expected: bool = False

    def run(self, blocks: Iterable[Block], alongside: Alongside | None) -> IngestReport:
        """The whole transaction."""
        with self.database.transaction() as connection:
            fills.begin_ingest(connection, alone=self.how.alone)
            load_id = fills.open_load(connection, source=self.source, file=self.file, loaded_by=self.loaded_by)
            for batch in ahead(_batches(blocks, load_id=load_id, now=self.now)):
                self._count(read=batch.rows_read)
                if batch.bad.num_rows:
                    self._put_aside(connection, batch.bad, load_id=load_id)
                if batch.fills is not None:
                    self._store(connection, batch.fills)
            if alongside is not None:
                alongside(connection, load_id)
            self._finish_reach(connection, load_id=load_id)
            if self.hours:
                fills.touch_windows(connection, self.hours)
            self._emit(connection, load_id=load_id)
            if self.done.quarantined or self.done.conflict:
                reasons = fills.first_reasons(connection, load_id=load_id, limit=REASONS_KEPT)
                self.done = replace(self.done, first_reasons=tuple(reasons))
        return self.done

    def _count(self, **more: int) -> None:
        self.done = replace(self.done, **{name: getattr(self.done, name) + count for name, count in more.items()})

    def _put_aside(self, connection: Any, bad: pa.Table, *, load_id: int) -> None:
        fills.quarantine_rows(connection, bad, load_id=load_id, file=self.file)
        self._count(quarantined=bad.num_rows)

    def _store(self, connection: Any, batch: FillBatch) -> None:
        self._make_days(batch)
        self._lock_accounts(connection, batch)
        other_days = fill_reach.overlapping_days(connection, batch.reach) if self.how.careful else []
        unsure = other_days or self.known_keys_expected or (self.how.careful and batch.days_overlap)
        if not unsure and fills.copy_fills(connection, batch):
            self._count(stored=batch.table.num_rows)
            self.hours.update(batch.hours)
            self._extend_reach(connection, batch.reach)
            return
        result = store_new_fills(connection, batch, other_days=other_days, file=self.file)
        self._count(stored=result.stored, duplicate=result.duplicate, conflict=result.conflict)
        self.hours.update(result.hours)
        self._extend_reach(connection, result.reach)
        # A file that was taken in before is known from end to end: the next batch need not try in vain.
        self.known_keys_expected = result.stored < batch.table.num_rows

    def _make_days(self, batch: FillBatch) -> None:
        if new_days := set(batch.days) - self.days:
            with self.database.transaction() as apart:
                fills.ensure_days(apart, new_days)
            self.days |= new_days

    def _lock_accounts(self, connection: Any, batch: FillBatch) -> None:
        named = zip(batch.reach["venue"].to_pylist(), batch.reach["account"].to_pylist(), strict=True)
        if missing := set(named) - self.locked:
            fills.lock_accounts(connection, missing)
            if len(self.locked) > LOCKED_ACCOUNTS_KEPT:
                self.locked.clear()  # to lock a row again does no harm
            self.locked |= missing

    def _extend_reach(self, connection: Any, reach: pa.Table) -> None:
        if self.how.careful:
            fill_reach.extend_reach(connection, reach)
            return
        self.reaches.append(reach)
        compacted, *others = (each.num_rows for each in self.reaches)
        if sum(others) > max(compacted, REACH_ROWS_KEPT):
            self.reaches = [fill_reach.compact(self.reaches)]

    def _finish_reach(self, connection: Any, *, load_id: int) -> None:
        if self.how.careful or not self.hours:
            return
        fill_reach.extend_reach(connection, fill_reach.compact(self.reaches))
        if fill_reach.key_on_two_days(connection, load_id=load_id, hours=sorted(self.hours)):
            raise _KeyOnTwoDaysError

    def _emit(self, connection: Any, *, load_id: int) -> None:
        done, common = self.done, {"load_id": load_id, "source": self.source}
        counts = {name: getattr(done, name) for name in ("read", "stored", "duplicate", "conflict", "quarantined")}
        windows = [hour.isoformat() for hour in sorted(self.hours)]
        emit(connection, "fills.ingested", subject=self.file, data={**common, **counts, "windows": windows})
        if done.quarantined or done.conflict:
            data = {**common, "bad_row": done.quarantined, "conflict": done.conflict}
            emit(connection, "fill.quarantined", subject=self.file, data=data)


def _batches(blocks: Iterable[Block], *, load_id: int, now: datetime) -> Iterator[_Batch]:
    for block in _gather(blocks):
        checked = validate(block, now=now)
        batch = make_batch(checked.table, checked.row_numbers, load_id=load_id) if checked.table.num_rows else None
        yield _Batch(fills=batch, bad=checked.bad, rows_read=block.rows_read)


def _gather(blocks: Iterable[Block]) -> Iterator[Block]:
    """Puts small blocks together: a reader's block fits the processor's cache, PostgreSQL likes more rows at once."""
    waiting: list[Block] = []
    for block in blocks:
        waiting.append(block)
        if sum(each.rows_read for each in waiting) >= BATCH_ROWS:
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _together(blocks: list[Block]) -> Block:
    return Block(
        table=pa.concat_tables([block.table for block in blocks]),
        row_numbers=pa.concat_arrays([block.row_numbers for block in blocks]),
        bad=pa.concat_tables([block.bad for block in blocks]),
    )
