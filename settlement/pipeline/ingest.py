"""Use case: take the fills of one file in.

    read, validate, sort, encode (in a thread, one batch ahead)  ->  COPY into `fill`
                 └─> bad rows to quarantine                           └─> known keys: duplicates counted, conflicts to quarantine

One file is one transaction: its fills, what was put aside, the windows they touch and the events appear together or not at
all. Only partitions are made before, in short transactions of their own. Taking the same file in again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from settlement.pipeline.ahead import ahead
from settlement.pipeline.fill_blocks import Block
from settlement.pipeline.validate_fills import validate
from settlement.store import fills
from settlement.store.database import Database
from settlement.store.fill_batch import FillBatch, make_batch
from settlement.store.fill_conflicts import store_new_fills
from settlement.store.outbox import emit

BATCH_ROWS = 100_000
REASONS_KEPT = 5
LOCKED_ACCOUNTS_KEPT = 200_000


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


def ingest(
    database: Database, blocks: Iterable[Block], *, source: str, file: str, loaded_by: str, now: datetime
) -> IngestReport:
    """Stores the fills of `blocks`, which `file` was read into, and says what became of them.

    `blocks` is iterated a second time if PostgreSQL ends this transaction because of a deadlock with another ingest
    (two files that name the same accounts in another order); then no other runs beside it. What iterating raises undoes
    the whole file.
    """
    load = _Load(database, source=source, file=file, loaded_by=loaded_by, now=now)
    try:
        return load.run(blocks, alone=False)
    except Exception as error:
        if not fills.is_deadlock(error) or iter(blocks) is blocks:
            raise
    return load.run(blocks, alone=True)


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """What one turn of the loop stores: the fills (None if there is no good row) and the rows put aside."""

    fills: FillBatch | None
    bad: pa.Table
    rows_read: int


@dataclass
class _Progress:
    """What has been done so far in this transaction."""

    read: int = 0
    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0
    first_reasons: list[str] = field(default_factory=list)
    days: set[Any] = field(default_factory=set)
    hours: set[datetime] = field(default_factory=set)
    locked: set[fills.Account] = field(default_factory=set)
    known_keys_expected: bool = False


class _Load:
    def __init__(self, database: Database, *, source: str, file: str, loaded_by: str, now: datetime) -> None:
        self.database, self.source, self.file, self.loaded_by, self.now = database, source, file, loaded_by, now

    def run(self, blocks: Iterable[Block], *, alone: bool) -> IngestReport:
        """The whole transaction."""
        done = _Progress()
        with self.database.transaction() as connection:
            fills.begin_ingest(connection, alone=alone)
            load_id = fills.open_load(connection, source=self.source, loaded_by=self.loaded_by)
            for batch in ahead(_batches(blocks, load_id=load_id, now=self.now)):
                done.read += batch.rows_read
                if batch.bad.num_rows:
                    self._put_aside(connection, batch.bad, done, load_id=load_id)
                if batch.fills is not None:
                    self._store(connection, batch.fills, done)
            if done.hours:
                fills.touch_windows(connection, done.hours)
            self._emit(connection, done, load_id=load_id)
        return IngestReport(
            read=done.read,
            stored=done.stored,
            duplicate=done.duplicate,
            conflict=done.conflict,
            quarantined=done.quarantined,
            first_reasons=tuple(done.first_reasons),
        )

    def _put_aside(self, connection: Any, bad: pa.Table, done: _Progress, *, load_id: int) -> None:
        fills.quarantine_rows(connection, bad, load_id=load_id, file=self.file)
        done.quarantined += bad.num_rows
        wanted = REASONS_KEPT - len(done.first_reasons)
        done.first_reasons += [f"row {row['row_number']}: {row['reason']}" for row in bad.slice(0, wanted).to_pylist()]

    def _store(self, connection: Any, batch: FillBatch, done: _Progress) -> None:
        if new_days := set(batch.days) - done.days:
            with self.database.transaction() as apart:
                fills.ensure_days(apart, new_days)
            done.days |= new_days
        _lock(connection, batch, done)
        other_days = fills.overlapping_days(connection, batch.reach)
        certain = not (other_days or done.known_keys_expected or batch.days_overlap)
        if certain and fills.copy_fills(connection, batch):
            fills.extend_reach(connection, batch.reach)
            done.stored += batch.table.num_rows
            done.hours.update(batch.hours)
            return
        result = store_new_fills(connection, batch, other_days=other_days, file=self.file)
        done.stored += result.stored
        done.duplicate += result.duplicate
        done.conflict += result.conflict
        done.hours.update(result.hours)
        # A file that was taken in before is known from end to end: the next batch need not try in vain.
        done.known_keys_expected = result.stored < batch.table.num_rows

    def _emit(self, connection: Any, done: _Progress, *, load_id: int) -> None:
        counts = {name: getattr(done, name) for name in ("read", "stored", "duplicate", "conflict", "quarantined")}
        common = {"load_id": load_id, "source": self.source}
        windows = [hour.isoformat() for hour in sorted(done.hours)]
        emit(connection, "fills.ingested", subject=self.file, data={**common, **counts, "windows": windows})
        if done.quarantined or done.conflict:
            data = {**common, "bad_row": done.quarantined, "conflict": done.conflict}
            emit(connection, "fill.quarantined", subject=self.file, data=data)


def _lock(connection: Any, batch: FillBatch, done: _Progress) -> None:
    venues, accounts = batch.reach["venue"].to_pylist(), batch.reach["account"].to_pylist()
    if missing := set(zip(venues, accounts, strict=True)) - done.locked:
        fills.lock_accounts(connection, missing)
        if len(done.locked) > LOCKED_ACCOUNTS_KEPT:
            done.locked.clear()  # to lock a row again does no harm
        done.locked |= missing


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
