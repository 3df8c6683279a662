"""Settling a window: one run, one shard per root broker, one transaction and one lock per shard.

    open_run      what is there to do?  -> run, its shards, the event window.due
    settle_shard  fills -> rules -> lines -> entries -> payouts -> outbox, all or nothing; the last one closes the run

Everything here may be called again, at the same moment, on another machine: a run that is open is joined, a shard that
is settled is left alone, and a window with nothing to change opens no run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from settlement.errors import Refused
from settlement.ledger.entries import earned
from settlement.pipeline.ahead import ahead
from settlement.pipeline.gate import Gate, gate, lagging
from settlement.pipeline.plan import changed_rows, outcome_of, shards_of_window
from settlement.pipeline.seal import Seal, sum_of
from settlement.rules.facts import Facts
from settlement.rules.money import EXACT
from settlement.rules.reasons import Reason
from settlement.rules.settle import Outcome
from settlement.store import lines, payouts, runs, windows
from settlement.store.database import Connection, Database
from settlement.store.facts import facts_version, load_facts
from settlement.store.ledger import post_entries
from settlement.store.lines import WINDOW, BasisIds
from settlement.store.outbox import emit

SHARDS_AT_ONCE = 2
WINDOWS_CACHED_MAX = 4


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run with shards to settle; no roots: nothing was left and it is closed already."""

    run_id: int
    window_start: datetime
    roots: list[str]


def open_run(database: Database, window_start: datetime, *, now: datetime) -> OpenedRun | None:
    """Opens (or joins) the run that the window needs; None if the window needs none.

    Raises Refused for a window that is not a whole hour or has not ended.
    """
    _refuse_unfinished(window_start, now=now)
    with database.transaction() as connection:
        lines.ensure_line_partition(connection, window_start)
    with database.transaction() as connection:
        runs.lock_window(connection, window_start)
        latest = runs.latest_run(connection, window_start)
        if latest and not latest.closed:
            return OpenedRun(
                run_id=latest.run_id, window_start=window_start, roots=runs.roots_of(connection, latest.run_id)
            )
        # Before the facts are read: a load that comes between is then seen at the end as one that came later.
        planned_by = facts_version(connection)
        facts = load_facts(connection, start=window_start, end=window_start + WINDOW)
        keys = shards_of_window(connection, window_start, facts, first=latest is None)
        runs.mark_settling(connection, window_start)
        if keys.empty and latest is not None:
            return None
        run = runs.add_run(
            connection,
            window_start=window_start,
            revision=latest.revision + 1 if latest else 0,
            kind="supplementary" if latest else "scheduled",
            incomplete=latest is None and _incomplete(connection, window_start, now=now),
            facts_version=planned_by,
        )
        roots = runs.add_shards(connection, run.run_id, keys)
        if not roots:
            _close_if_settled(connection, run, now=now)
            return OpenedRun(run_id=run.run_id, window_start=window_start, roots=[])
        emit(
            connection,
            "window.due",
            subject=window_start.isoformat(),
            data={"run_id": run.run_id, "window_start": window_start.isoformat(), "roots": roots},
        )
        return OpenedRun(run_id=run.run_id, window_start=window_start, roots=roots)


def open_in_order(database: Database, window_start: datetime, *, now: datetime) -> OpenedRun | None:
    """Opens the run of every earlier window that was never settled, oldest first, then that of this one.

    Together with `settle_shard`, which settles a root's earlier shards first, this makes a backlog come out the same
    however many workers share it and whichever of them die: payouts are cut from a balance in the order of windows.
    """
    with database.transaction() as guard:
        runs.lock_opening(guard)
        for earlier in runs.never_settled(guard, before=window_start):
            open_run(database, earlier, now=now)
        return open_run(database, window_start, now=now)


class FactsCache:
    """The facts of the windows that a process is at, for as long as no others are loaded."""

    def __init__(self) -> None:
        self._facts: dict[tuple[datetime, int], Facts] = {}
        self._reading = Lock()

    def of_window(self, connection: Connection, window_start: datetime) -> Facts:
        """The facts of a window as they stand; call it under the shard's lock, which keeps loads out."""
        with self._reading:
            key = (window_start, facts_version(connection))
            if key not in self._facts:
                while len(self._facts) >= WINDOWS_CACHED_MAX:
                    del self._facts[next(iter(self._facts))]
                self._facts[key] = load_facts(connection, start=window_start, end=window_start + WINDOW)
            return self._facts[key]


def settle_shard(database: Database, run_id: int, root: str, *, now: datetime, cache: FactsCache | None = None) -> bool:
    """Settles one root's part of a run, its parts of earlier windows first; False if it was settled already."""
    cache = cache or FactsCache()
    with database.transaction() as connection:
        earlier = runs.unsettled_before(connection, run_id, root)
    for earlier_run_id in earlier:
        _settle_shard(database, earlier_run_id, root, now=now, cache=cache)
    return _settle_shard(database, run_id, root, now=now, cache=cache)


def settle_window(
    database: Database, window_start: datetime, *, now: datetime, at_once: int = SHARDS_AT_ONCE
) -> OpenedRun | None:
    """Settles a window in this process, `at_once` shards at a time: what the tasks do, by the same code."""
    opened = open_run(database, window_start, now=now)
    if not opened or not opened.roots:
        return opened
    cache = FactsCache()
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="shard") as pool:
        waiting = [
            pool.submit(settle_shard, database, opened.run_id, root, now=now, cache=cache) for root in opened.roots
        ]
        for settled in waiting:
            settled.result()
    return opened


def _settle_shard(database: Database, run_id: int, root: str, *, now: datetime, cache: FactsCache) -> bool:
    with database.transaction() as connection, database.transaction() as reading:
        if not runs.claim_shard(connection, run_id, root):
            return False
        run = runs.run_of(connection, run_id)
        facts = cache.of_window(reading, run.window_start)
        shard = _Shard(connection, run=run, root=root, facts=facts)
        for fills, outcome in ahead(shard.rated(reading)):
            shard.write(fills, outcome)
        shard.post(now=now)
        runs.finish_shard(
            connection,
            run_id,
            root,
            now=now,
            fills=shard.seal.fills,
            inputs=shard.seal.as_json(),
            outcomes=shard.outcomes(),
        )
        _close_if_settled(connection, run, now=now)
        return True


@dataclass
class _Shard:
    """One shard on its way: what has been written, and what it comes to."""

    connection: Connection
    run: runs.Run
    root: str
    facts: Facts
    seal: Seal = field(default_factory=Seal)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _commission: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    _payees: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def __post_init__(self) -> None:
        self._basis_ids = BasisIds(self.connection)

    def rated(self, reading: Connection) -> Iterator[tuple[pa.Table, Outcome]]:
        """The shard's fills in batches, with the outcome of each; read over a second connection while the first writes."""
        first = self.run.revision == 0
        fills = lines.shard_fills(reading, self.run.window_start, run_id=self.run.run_id, root=self.root, first=first)
        for batch in fills:
            outcome = outcome_of(batch, self.facts)
            mine = np.array([basis.root == self.root for basis in outcome.bases], dtype=bool)[outcome.basis]
            if not first:
                mine &= changed_rows(batch, outcome.basis, outcome.bases)
            if mine.all():
                yield batch, outcome
            elif mine.any():
                yield batch.filter(pa.array(mine)), outcome.only(mine)

    def write(self, fills: pa.Table, outcome: Outcome) -> None:
        """Writes the lines of one batch and takes in its sums."""
        lines.add_lines(
            self.connection,
            fills,
            outcome,
            basis_ids=self._basis_ids.of(outcome.bases),
            run_id=self.run.run_id,
            window_start=self.run.window_start,
        )
        self.seal.add(fills.filter(pc.is_null(fills["previous_revision"])))
        for code, (count, commission) in outcome.counts().items():
            reason = outcome.bases[code].reason
            self._counts[reason.status, reason.text] += count
            self._commission[reason.status, reason.text] = EXACT.add(
                self._commission[reason.status, reason.text], commission
            )
        for reason_text, count in Counter(fills["previous_reason"].drop_null().to_pylist()).items():
            self._counts[Reason[reason_text].status, reason_text] -= count
        for (_, payee), amount in outcome.payee_totals().items():
            self._payees[payee] = EXACT.add(self._payees[payee], amount)

    def post(self, *, now: datetime) -> None:
        """Books what each payee earned, then instructs what can be paid."""
        window_start, earning = self.run.window_start, {payee: sum_ for payee, sum_ in self._payees.items() if sum_}
        if not earning:
            return
        entries = [
            earned(run_id=self.run.run_id, root=self.root, payee=payee, amount=amount, window_start=window_start)
            for payee, amount in sorted(earning.items())
        ]
        post_entries(self.connection, chain=self.root, entries=entries, recorded_at=now)
        terms = [version for version in self.facts.terms if version.effective_from < window_start + WINDOW]
        payouts.instruct(
            self.connection,
            chain=self.root,
            payees=sorted(earning),
            terms=terms[-1].payout,
            run_id=self.run.run_id,
            window_start=window_start,
            now=now,
            rails=payouts.payout_addresses(self.connection, sorted(earning), at=now),
        )

    def outcomes(self) -> list[runs.OutcomeCount]:
        """What the shard changed, by status and reason."""
        return [
            runs.OutcomeCount(
                status=status, reason=reason, lines=count, commission_usdt=self._commission[status, reason]
            )
            for (status, reason), count in sorted(self._counts.items())
            if count
        ]


def _close_if_settled(connection: Connection, run: runs.Run, *, now: datetime) -> None:
    if not runs.close_if_settled(connection, run.run_id, now=now):
        return
    seal = sum_of(runs.inputs_of_window(connection, run.window_start)).as_json()
    # By facts that were loaded since the run was planned, a fill may belong to a root that had no shard.
    recheck = facts_version(connection) != run.facts_version
    runs.mark_settled(connection, run, now=now, seal=seal, recheck=recheck)
    data: dict[str, Any] = {
        "run_id": run.run_id,
        "window_start": run.window_start.isoformat(),
        "kind": run.kind,
        "fills": seal["fills"],
        **runs.totals_of_windows(connection, run.window_start, run.window_start),
    }
    emit(connection, "window.settled", subject=run.window_start.isoformat(), data=data)
    if run.incomplete:
        sources = lagging(run.window_start, watermarks=windows.watermarks(connection))
        emit(
            connection,
            "window.incomplete",
            subject=run.window_start.isoformat(),
            data={"window_start": run.window_start.isoformat(), "sources": sources},
        )


def _incomplete(connection: Connection, window_start: datetime, *, now: datetime) -> bool:
    return gate(window_start, watermarks=windows.watermarks(connection), now=now) is Gate.INCOMPLETE


def _refuse_unfinished(window_start: datetime, *, now: datetime) -> None:
    where = f"window {window_start.isoformat()}"
    if window_start.replace(minute=0, second=0, microsecond=0) != window_start:
        raise Refused("a window starts on the hour", where=where, mend="give a time such as 2026-09-14T06:00Z")
    if now < window_start + WINDOW:
        raise Refused("has not ended yet", where=where, mend=f"settle it after {(window_start + WINDOW).isoformat()}")
