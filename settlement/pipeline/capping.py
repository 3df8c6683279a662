"""The monthly cap in settling: whose lines wait for the end of their window, and what the cap then leaves of them.

1. Fills come in any order. So the lines of accounts that a cap may limit are set aside while batches stream, and are
   capped together at the end, with what their accounts earned in the month before.
2. In a window that was settled before, all lines of such an account are looked at. What stands as earned keeps its basis
   and its net fee; what the cap had excluded, what is pending and what has no line is rated by the facts as they are;
   other excluded lines stay. Of all these goes on what the cap then leaves otherwise than it stands.
3. A recalculation rates anew the settled lines that it is about. The others of these accounts are looked at as 2. says,
   for the cap counts them together; but what is pending stays so, and what has no line yet is left out.
4. Where a shard changes what an account has earned, the later windows of the month that are settled already are to be
   looked at again for this account (store/caps.py). A second look changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from settlement.pipeline.revision import Mask, Revision, Scope, both_sides, has_basis
from settlement.rules.cap import capped, uncapped
from settlement.rules.facts import Facts
from settlement.rules.in_force import KEY_SEPARATOR
from settlement.rules.limits import Account, limited_accounts
from settlement.rules.reasons import Reason, Status
from settlement.rules.settle import Outcome, together
from settlement.store import caps, lines
from settlement.store.bases import StoredBases
from settlement.store.database import Connection
from settlement.store.lines import WINDOW
from settlement.store.runs import Run

EXECUTED = ("venue", "account", "bill_id", "executed_at")


def limited_in(facts: Facts, window_start: datetime) -> frozenset[Account]:
    """The accounts that a cap may limit in a window."""
    return limited_accounts(facts, start=window_start, end=window_start + WINDOW)


def limited_of_shard(connection: Connection, run: Run, root: str, facts: Facts) -> frozenset[Account]:
    """Of the accounts whose fills a shard of a later run reads, those that a cap may limit or that are to be looked at."""
    limited = limited_in(facts, run.window_start)
    if run.plan_id is None:
        noted = caps.to_recheck(connection, run.window_start)
        limited |= {(venue, account) for of_root, venue, account in noted if of_root == root}
    return limited & caps.accounts_of_shard(connection, run.run_id, root) if limited else limited


def rows_of(accounts: frozenset[Account], fills: pa.Table) -> Mask:
    """Which of the fills are of these accounts."""
    if not accounts:
        return np.zeros(fills.num_rows, dtype=bool)
    names = pa.array([KEY_SEPARATOR.join(account) for account in accounts], pa.string())
    keys = pc.binary_join_element_wise(fills["venue"], fills["account"], KEY_SEPARATOR)
    return np.asarray(pc.is_in(keys, value_set=names))


def first_lines(fills: pa.Table, outcome: Outcome) -> Revision:
    """The outcome of fills of which none has a line yet."""
    none = np.zeros(fills.num_rows, dtype=bool)
    return Revision(fills=fills, after=outcome, before=outcome.only(none), had_line=none)


@dataclass
class Aside:
    """Lines that wait until all those of their accounts are there."""

    _parts: list[Revision] = field(default_factory=list)

    def add(self, part: Revision, *, columns: Sequence[str] | None = None) -> None:
        """Sets lines aside, `after` as they would be without a cap; of their fills only `columns`, EXECUTED among them."""
        if part.fills.num_rows:
            self._parts.append(part if columns is None else replace(part, fills=part.fills.select(columns)))

    def capped(
        self, connection: Connection, window_start: datetime, facts: Facts, *, plan_id: int | None = None
    ) -> Iterator[Revision]:
        """What the cap leaves of all of them, and that changes; nothing if nothing was set aside.

        What was earned before in the month is read now; with `plan_id`, as that recalculation would have it.
        """
        if not self._parts:
            return
        whole = in_one(self._parts)
        executed = whole.fills.select(EXECUTED).to_pandas(types_mapper=pd.ArrowDtype)
        accounts = executed[["venue", "account"]].drop_duplicates().itertuples(index=False, name=None)
        earned = caps.earned_before(connection, window_start, accounts, plan_id=plan_id)
        yield replace(whole, after=capped(executed, whole.after, facts, earned=earned)).changed()


def look_again(  # noqa: PLR0913 - whose lines, in which window, and by what
    connection: Connection,
    window_start: datetime,
    accounts: frozenset[Account],
    *,
    facts: Facts,
    stored: StoredBases,
    scope: Scope | None = None,
    run_id: int | None = None,
) -> Iterator[Revision]:
    """The lines of these accounts that change in a window that was settled.

    `scope` is what a recalculation is about, None for any other run; with `run_id`, beside the lines before that run. `stored` has read the window.
    """
    aside = Aside()
    if accounts:
        for batch in lines.account_fills(connection, window_start, accounts, run_id=run_id):
            aside.add(considered(batch, facts, stored=stored, scope=scope))
    yield from aside.capped(connection, window_start, facts)


def recheck_later(connection: Connection, run: Run, root: str, facts: Facts) -> None:
    """Has later windows looked at again for whom a shard has changed what the cap counts; call it last."""
    levels = sorted({level for version in facts.terms if version.cap for level in version.cap.vip_levels})
    if levels:
        caps.recheck_later(connection, run, root, levels=levels)


def considered(batch: pa.Table, facts: Facts, *, stored: StoredBases, scope: Scope | None) -> Revision:
    """What a cap counts of these fills (STANDING_FILL): the lines as they would be without it, beside those that stand."""
    every = both_sides(batch, facts, stored=stored)
    again = ~every.had_line if scope is None else scope.covers(every) & every.is_settled()
    waiting = {Reason.CAP_REACHED} if scope is not None else {Reason.CAP_REACHED, *_PENDING}
    again[every.had_line] |= has_basis(every.before, [basis.reason in waiting for basis in every.before.bases])
    stands = every.only(every.had_line & ~again)
    return in_one([every.only(again), replace(stands, after=uncapped(stands.before))])


def in_one(parts: Sequence[Revision]) -> Revision:
    """The lines of all the parts, one after the other; at least one is given."""
    return Revision(
        fills=pa.concat_tables([part.fills for part in parts]),
        after=together([part.after for part in parts]),
        before=together([part.before for part in parts]),
        had_line=np.concatenate([part.had_line for part in parts]),
    )


_PENDING = frozenset(reason for reason in Reason if reason.status == Status.PENDING)
