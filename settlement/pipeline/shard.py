"""One shard: a root's part of a run, from fills to lines, sums, entries and payouts, in one transaction.

1. A window's first run settles every fill of the root. A later one settles fills that have no line yet or a pending one.
   A recalculation looks again at every fill whose line is settled, beside that line.
2. A line is written by the shard of the root that it comes to. In a recalculation, all of whose shards read the same facts,
   a line that leaves a root is taken away by that root's own shard: each books in its own chain, and none waits for another.
   In other runs facts may be loaded between two shards. There only lines without money change roots, and who writes the
   new line counts the old one away: so each is there once, whatever the other shards read. What none of them writes, by
   the facts that each found, the next run looks at.
3. What is booked per payee is what the new lines give less what the lines they replace gave. Without a recalculation it
   is less only where a monthly cap was reached earlier than it seemed before: that is a correction too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from settlement.ledger.entries import Entry, correction, earned
from settlement.pipeline.activity import Activity
from settlement.pipeline.ahead import ahead
from settlement.pipeline.capping import (
    EXECUTED,
    Aside,
    first_lines,
    limited_in,
    limited_of_shard,
    look_again,
    rows_of,
)
from settlement.pipeline.revision import Revision, Scope, has_basis, outcome_of, revision_of
from settlement.pipeline.seal import Seal
from settlement.rules.facts import Facts, PayoutTerms
from settlement.rules.money import EXACT
from settlement.rules.reasons import Reason
from settlement.rules.settle import Outcome
from settlement.store import caps, lines, payouts, recalculations, runs
from settlement.store.activity import add_activity
from settlement.store.bases import BasisIds, StoredBases
from settlement.store.database import Connection
from settlement.store.facts import facts_version
from settlement.store.ledger import post_entries
from settlement.store.lines import WINDOW

RECALCULATION = "recalculation"


@dataclass(frozen=True)
class Lines:
    """Fills, and what came of each of them."""

    fills: pa.Table
    outcome: Outcome


@dataclass(frozen=True)
class Step:
    """What a batch comes to: lines that come, lines that go, and the fills that get a line for the first time.

    Of these some may have been set aside: their lines come with a later step.
    """

    coming: Lines
    going: Lines | None = None
    new: pa.Table | None = None


@dataclass
class Shard:
    """One shard on its way: what has been written, and what it comes to."""

    connection: Connection
    run: runs.Run
    root: str
    facts: Facts
    stored: StoredBases
    scope: Scope | None = None
    seal: Seal = field(default_factory=Seal)
    _revised: Seal = field(default_factory=Seal)
    _activity: Activity = field(default_factory=Activity)
    _counts: Counter[tuple[str, Reason]] = field(default_factory=Counter)
    _commission: dict[tuple[str, Reason], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    _payees: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def __post_init__(self) -> None:
        self._basis_ids = BasisIds(self.connection)

    def write(self, reading: Connection) -> None:
        """Writes the shard's lines; fills are read over a second connection while this one writes."""
        for step in ahead(self._first(reading) if self.run.revision == 0 else self._again(reading)):
            if step.new is not None:
                self.seal.add(step.new)
            self._write(step.coming)
            if step.going is not None:
                self._take_away(step.going)
        if self.run.revision and self.run.plan_id is None:
            caps.forget_shard(self.connection, self.run, self.root)
        add_activity(
            self.connection, self._activity.table(), run_id=self.run.run_id, window_start=self.run.window_start
        )

    def post(self, *, now: datetime) -> None:
        """Books what each payee gains or loses, then instructs what can be paid."""
        changes = {payee: amount for payee, amount in sorted(self._payees.items()) if amount}
        post_entries(self.connection, chain=self.root, entries=self._entries(changes))
        if self.run.kind == RECALCULATION:
            self._pay_corrected(now=now)
        elif changes:
            terms = [version for version in self.facts.terms if version.effective_from < self.run.window_start + WINDOW]
            self._instruct(sorted(changes), terms[-1].payout, now=now)

    def outcomes(self) -> list[runs.OutcomeCount]:
        """What the shard changed, by the root of the lines, status and reason."""
        return [
            runs.OutcomeCount(
                line_root=line_root,
                status=reason.status,
                reason=reason.text,
                lines=count,
                commission_usdt=self._commission[line_root, reason],
            )
            for (line_root, reason), count in sorted(self._counts.items())
            if count or self._commission[line_root, reason]
        ]

    def _first(self, reading: Connection) -> Iterator[Step]:
        limited, aside = limited_in(self.facts, self.run.window_start), Aside()
        # By facts that were loaded since, a fill may come here that another root's shard has settled by those before.
        moved = facts_version(reading) != self.run.facts_version
        read = partial(lines.shard_fills, only_without_line=moved)
        for batch in read(reading, self.run.window_start, run_id=self.run.run_id, root=self.root):
            fills, outcome = batch, outcome_of(batch, self.facts)
            mine = has_basis(outcome, [basis.root == self.root for basis in outcome.bases])
            if not mine.all():
                fills, outcome = fills.filter(pa.array(mine)), outcome.only(mine)
            if limited and fills.num_rows:
                earning = has_basis(outcome, [basis.split is not None for basis in outcome.bases])
                waits = rows_of(limited, fills) & earning
                aside.add(first_lines(fills, outcome).only(waits), columns=EXECUTED)
                yield Step(Lines(fills.filter(pa.array(~waits)), outcome.only(~waits)), new=fills)
            else:
                yield Step(Lines(fills, outcome), new=fills)
        for revision in aside.capped(reading, self.run.window_start, self.facts):
            yield Step(Lines(revision.fills, revision.after))

    def _again(self, reading: Connection) -> Iterator[Step]:
        run, window_start = self.run, self.run.window_start
        self.stored.read_window(reading, window_start)
        limited = limited_of_shard(reading, run, self.root, self.facts)
        read = lines.open_fills if self.scope is None else lines.fills_again
        for batch in read(reading, window_start, run_id=run.run_id, root=self.root):
            others = batch.filter(pa.array(~rows_of(limited, batch))) if limited else batch
            revision = revision_of(others, self.facts, stored=self.stored)
            yield self._revised_by(revision if self.scope is None else self.scope.of(revision.settled()))
        for revision in look_again(
            reading,
            window_start,
            limited,
            facts=self.facts,
            stored=self.stored,
            scope=self.scope,
            run_id=run.plan_id and run.run_id,
        ):
            yield self._revised_by(revision)

    def _revised_by(self, revision: Revision) -> Step:
        coming = revision.coming_to(self.root)
        going = coming.replaced() if self.scope is None else revision.leaving(self.root)
        new = coming.fills.filter(pc.is_null(coming.fills["previous_revision"]))
        return Step(Lines(coming.fills, coming.after), Lines(*going), new)

    def _write(self, coming: Lines) -> None:
        fills, outcome = coming.fills, coming.outcome
        if not fills.num_rows:
            return
        lines.add_lines(
            self.connection,
            fills,
            outcome,
            basis_ids=self._basis_ids.of(outcome.bases),
            run_id=self.run.run_id,
            window_start=self.run.window_start,
        )
        if self.run.revision and self.run.plan_id is None:
            self._revised.add(fills)
        self._activity.add(fills, outcome)
        self._take_in(outcome, sign=1)

    def _take_away(self, going: Lines) -> None:
        self._activity.take_away(going.fills, going.outcome)
        self._take_in(going.outcome, sign=-1)

    def _take_in(self, outcome: Outcome, *, sign: int) -> None:
        for code, (count, commission) in outcome.counts().items():
            basis = outcome.bases[code]
            key = (basis.root, basis.reason)
            self._counts[key] += sign * count
            self._commission[key] = EXACT.add(self._commission[key], sign * commission)
        for (_, payee), amount in outcome.payee_totals().items():
            self._payees[payee] = EXACT.add(self._payees[payee], sign * amount)

    def _entries(self, changes: Mapping[str, Decimal]) -> list[Entry]:
        gain = partial(earned, run_id=self.run.run_id, root=self.root, window_start=self.run.window_start)
        correct = partial(
            correction,
            run_id=self.run.run_id,
            root=self.root,
            window_start=self.run.window_start,
            inputs_digest=self._inputs_digest(),
        )
        gains = self.run.plan_id is None
        return [
            gain(payee=payee, amount=amount) if gains and amount > 0 else correct(payee=payee, amount=amount)
            for payee, amount in changes.items()
        ]

    def _inputs_digest(self) -> str:
        """The digest of what corrections stand on: what was planned, else the fills whose lines the run writes again."""
        if self.run.plan_id is not None:
            return recalculations.inputs_digest(self.connection, self.run.plan_id, self.run.window_start)
        return str(self._revised.as_json()["digest"])

    def _pay_corrected(self, *, now: datetime) -> None:
        """Pays what a recalculation comes to for this root, once, when its last window is posted: not hour by hour."""
        plan_id = self.run.plan_id or 0
        if not recalculations.is_last_of_root(self.connection, plan_id, run_id=self.run.run_id, root=self.root):
            return
        terms = payouts.payout_terms(self.connection, now)
        corrected = recalculations.corrected_payees(self.connection, plan_id, root=self.root)
        if terms is not None and corrected:
            self._instruct(corrected, terms, now=now)

    def _instruct(self, payees: list[str], terms: PayoutTerms, *, now: datetime) -> None:
        payouts.instruct(
            self.connection,
            chain=self.root,
            payees=payees,
            terms=terms,
            run_id=self.run.run_id,
            window_start=self.run.window_start,
            now=now,
            rails=payouts.payout_addresses(self.connection, payees, at=now),
        )
