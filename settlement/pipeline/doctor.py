"""The doctor: what is late, stuck, waiting, missing or inconsistent, and the next step for each.

A check is `ok`, needs `attention` (somebody should do something, the system goes on) or is `broken`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sized
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from settlement.pipeline.gate import DEADLINE
from settlement.pipeline.review import contradicted, waiting_month
from settlement.rules.review import month_after
from settlement.store import health, recalculations, venue_accounts
from settlement.store.database import Connection, Database
from settlement.store.venue_accounts import StoredAccount

# A window is settled within minutes of its deadline, a run within the hard time limit of a task, an event within seconds.
WINDOW_GRACE = timedelta(minutes=15)
RUN_GRACE = timedelta(hours=1)
EVENT_GRACE = timedelta(minutes=2)
SOURCE_GRACE = timedelta(hours=2)
# The last window of a month is settled an hour into the next one at the latest.
REVIEW_GRACE = timedelta(hours=3)
EXAMPLES = 3

NEXT_STEP_FOR_PENDING = {
    "TERMS_MISSING": "settlement terms load FILE",
    "VIP_UNKNOWN": "settlement registry load DIR, with these accounts in vip_levels.csv, or settlement snapshot levels",
    "TIER_UNKNOWN": "settlement terms load FILE, or an override in tiers.csv",
    "INSTRUMENT_UNKNOWN": "settlement instruments load FILE, or settlement snapshot instruments",
    "PRICE_MISSING": "settlement prices load FILE, or settlement snapshot prices",
}


class Condition(StrEnum):
    """How a check came out."""

    OK = "ok"
    ATTENTION = "attention"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it (empty: nothing)."""

    name: str
    condition: Condition
    found: str
    next_step: str = ""


def ok(name: str, found: str) -> Check:
    """A check that found nothing to do."""
    return Check(name=name, condition=Condition.OK, found=found)


def attention(name: str, found: str, next_step: str) -> Check:
    """A check that somebody should act on."""
    return Check(name=name, condition=Condition.ATTENTION, found=found, next_step=next_step)


def broken(name: str, found: str, next_step: str) -> Check:
    """A check that found something that must not be."""
    return Check(name=name, condition=Condition.BROKEN, found=found, next_step=next_step)


def examine(database: Database, *, now: datetime) -> list[Check]:
    """Every check of what is stored, in one transaction; it changes nothing."""
    checks: list[Check] = []
    with database.transaction() as connection:
        for look in (
            _windows,
            _runs,
            _outbox,
            _sources,
            _accounts,
            _quarantine,
            _pending,
            _reviews,
            _recalculations,
            _ledger,
        ):
            checks += look(connection, now)
    return checks


def _windows(connection: Connection, now: datetime) -> list[Check]:
    late = health.late_windows(connection, started_before=now - DEADLINE - WINDOW_GRACE)
    again = health.windows_to_recheck(connection)
    checks = []
    if late.oldest is not None:
        found = f"{late.number} past the deadline and not settled, the oldest from {late.oldest:%Y-%m-%dT%H:%MZ}"
        checks.append(attention("windows", found, "settlement up, or settlement settle --from T --to T"))
    if again.oldest is not None:
        found = f"{again.number} settled and to be looked at again, the oldest from {again.oldest:%Y-%m-%dT%H:%MZ}"
        step = "settlement up does it within minutes; or settlement settle --from T --to T"
        checks.append(attention("windows, once more", found, step))
    return checks or [ok("windows", "none is late")]


def _runs(connection: Connection, now: datetime) -> list[Check]:
    stuck = health.stuck_runs(connection, opened_before=now - RUN_GRACE)
    if stuck.oldest is None:
        return [ok("runs", "none is stuck")]
    found = f"{stuck.number} open for more than {RUN_GRACE}, the oldest since {stuck.oldest:%Y-%m-%dT%H:%MZ}"
    return [
        attention("runs", found, "settlement up takes them up again; if it does not, read the log of the queue settle")
    ]


def _outbox(connection: Connection, now: datetime) -> list[Check]:
    waiting = health.waiting_events(connection)
    found = f"{waiting.number} events wait"
    if waiting.oldest is None or waiting.oldest > now - EVENT_GRACE:
        return [ok("outbox", found)]
    return [
        attention(
            "outbox", f"{found}, the oldest since {waiting.oldest:%Y-%m-%dT%H:%MZ}", "settlement up runs the relay"
        )
    ]


def _sources(connection: Connection, now: datetime) -> list[Check]:
    lagging = health.lagging_sources(connection, complete_before=now - SOURCE_GRACE)
    if not lagging:
        return [ok("sources", "none lags")]
    names = ", ".join(f"{name} ({mark:%Y-%m-%dT%H:%MZ})" if mark else f"{name} (never)" for name, mark in lagging[:5])
    return [
        attention(
            "sources",
            f"{len(lagging)} complete up to long ago only: {names}",
            "settlement ingest what they have; for accounts at a venue: settlement coverage --gaps",
        )
    ]


def _accounts(connection: Connection, _now: datetime) -> list[Check]:
    standing = venue_accounts.listed(connection)
    counted = Counter(account.status for account in standing)
    checks = [ok("accounts", ", ".join(f"{counted[name]} {name}" for name in sorted(counted)) or "none")]
    parked = [account for account in standing if account.status == "parked"]
    if parked:
        found = _by_reason(parked, lambda account: account.status_reason or "no reason told")
        step = "settlement accounts check UID, mend what it names, then settlement accounts enable UID"
        checks.append(attention("parked accounts", found, step))
    for condition in (Condition.BROKEN, Condition.ATTENTION):
        unwell = [account for account in standing if account.condition == condition and _is_current(account)]
        if unwell:
            found = _by_reason(unwell, lambda account: account.found or "")
            steps = Counter(account.next_step or "settlement accounts check" for account in unwell)
            checks.append(attention(f"accounts, {condition} when checked", found, steps.most_common(1)[0][0]))
    return checks


def _is_current(account: StoredAccount) -> bool:
    """Whether what the account said still holds: not where it was given other credentials since, or is out of use."""
    return account.status != "disabled" and account.checked_at is not None and account.checked_at >= account.status_at


def _by_reason(accounts: list[StoredAccount], why: Callable[[StoredAccount], str]) -> str:
    """The most frequent reasons, each with the first accounts that it holds for."""
    groups: dict[str, list[str]] = {}
    for account in accounts:
        groups.setdefault(why(account), []).append(f"{account.venue} {account.account}")
    frequent = sorted(groups.items(), key=lambda group: -len(group[1]))
    told = [f"{reason}: {', '.join(names[:EXAMPLES])}{_and_more(names)}" for reason, names in frequent[:EXAMPLES]]
    return "; ".join(told) + _and_more(frequent)


def _and_more(examples: Sized) -> str:
    more = len(examples) - EXAMPLES
    return f" and {more} more" if more > 0 else ""


def _quarantine(connection: Connection, _now: datetime) -> list[Check]:
    checks = [
        attention(
            f"quarantine, {kind.kind}",
            f"{kind.rows} rows, the last from {kind.last_file}: {kind.last_reason}",
            "correct the rows and ingest them again",
        )
        for kind in health.quarantined(connection)
    ]
    return checks or [ok("quarantine", "empty")]


def _pending(connection: Connection, _now: datetime) -> list[Check]:
    checks = [
        attention(
            f"pending, {pending.reason}",
            f"{pending.lines} lines miss {'; '.join(pending.missing) or 'a fact'}",
            NEXT_STEP_FOR_PENDING.get(pending.reason, ""),
        )
        for pending in health.pending(connection)
    ]
    return checks or [ok("pending lines", "none")]


def _recalculations(connection: Connection, _now: datetime) -> list[Check]:
    """Plans that wait for somebody; those that are being planned or posted go on by themselves."""
    waiting = [plan for plan in recalculations.list_plans(connection) if plan.status in ("planned", "approved")]
    checks = [
        attention(
            f"recalculation {plan.plan_id}",
            f"{plan.status}, asked for by {plan.planned_by}: {plan.reason}",
            f"settlement recalc {'approve' if plan.status == 'planned' else 'apply'} {plan.plan_id}, or cancel it",
        )
        for plan in waiting
    ]
    return checks or [ok("recalculations", "none waits for anybody")]


def _reviews(connection: Connection, now: datetime) -> list[Check]:
    checks = []
    waiting = waiting_month(connection, now=now)
    if waiting is not None and now >= month_after(waiting[0]) + REVIEW_GRACE:
        month, left = waiting
        found = (
            f"that of {month:%Y-%m} is missing: {left.windows} windows not settled, {left.pending_lines} lines pending"
        )
        step = (
            f"settle them, or leave them out, which is recorded: settlement tiers review --month {month:%Y-%m} --anyway"
        )
        checks.append(attention("tier reviews", found, step if left else "settlement up makes it"))
    otherwise = contradicted(connection)
    if otherwise is not None and otherwise.roots:
        named = [f"{root.review.broker_id} {root.review.tier} -> {root.now.tier}" for root in otherwise.roots]
        found = (
            f"{otherwise.month:%Y-%m} would come out otherwise by now: {', '.join(named[:EXAMPLES])}{_and_more(named)}"
        )
        step = "settlement recalc plan --re-review, over the windows that it counted"
        checks.append(attention("tier reviews, once more", found, step))
    return checks or [ok("tier reviews", "none is missing")]


def _ledger(connection: Connection, _now: datetime) -> list[Check]:
    advice = "stop paying out, run settlement ledger verify, and compare with the last backup"
    checks: list[Check] = []
    difference = health.balance_difference(connection)
    if difference is not None:
        checks.append(
            broken("ledger", f"the balances do not sum to zero: debits less credits are {difference} USDT", advice)
        )
    chains = health.broken_chains(connection)
    if chains:
        checks.append(broken("ledger", f"the last entry is not the head of the chain: {', '.join(chains[:5])}", advice))
    return checks or [ok("ledger", "balances sum to zero, every chain ends at its head")]
