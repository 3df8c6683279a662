"""Payout instructions: from a mature balance to a row, a ledger entry and an event, in the caller's transaction.

1. The chain is locked first, then the payees in the order of their names: two who pay the same payee at once wait for
   each other, and the second sees what the first has left.
2. One instruction per key: a run pays a payee once in a chain, the schedule once an hour. The key is permanent, so that
   whoever repeats the work finds it done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import Connection

from settlement.ledger.entries import payout_instructed
from settlement.payouts.planning import Payout, PayoutStatus, PlannedPayout, plan_payouts
from settlement.program.terms import parse_terms
from settlement.rules.facts import PayoutTerms
from settlement.store.copying import raw_cursor
from settlement.store.ledger import lock_chain, payable, post_entries
from settlement.store.outbox import emit

Destination = tuple[str | None, str | None]
"""(rail, address) of a payee; None where it has named none."""

# Not FOR UPDATE: rows that refer to a payee must not wait for its payout.
LOCK_PAYEES = "SELECT payee FROM payee WHERE payee = ANY(%(payees)s) ORDER BY payee FOR NO KEY UPDATE"

INSTRUCTED = "SELECT idempotency_key FROM payout WHERE idempotency_key = ANY(%(keys)s)"

COLUMNS = """payout_id, payee, chain, amount_usdt AS amount, status, rail, address, created_at, window_start, run_id,
    idempotency_key"""

INSERT_PAYOUTS = (
    """
INSERT INTO payout (payee, chain, amount_usdt, status, rail, address, created_at, window_start, run_id, idempotency_key)
SELECT payee, %(chain)s, amount, status, rail, address, %(created_at)s, %(window_start)s, %(run_id)s, key
FROM unnest(%(payee)s::text[], %(amount)s::numeric[], %(status)s::text[], %(rail)s::text[], %(address)s::text[],
            %(key)s::text[]) AS new (payee, amount, status, rail, address, key)
ORDER BY payee COLLATE "C"
RETURNING """
    + COLUMNS
)

ADDRESSES = """
SELECT DISTINCT ON (broker_id) broker_id, payout_rail, payout_address, effective_to
FROM broker
WHERE broker_id = ANY(%(payees)s) AND replaced_by_load IS NULL AND effective_from <= %(at)s
ORDER BY broker_id, effective_from DESC
"""

TERMS = """
SELECT terms_id, document FROM program_terms
WHERE replaced_by_load IS NULL AND effective_from <= %(at)s ORDER BY effective_from DESC LIMIT 1
"""

PAYOUTS = f"""
SELECT {COLUMNS} FROM payout
WHERE (%(status)s::text IS NULL OR status = %(status)s) AND (%(payee)s::text IS NULL OR payee = %(payee)s)
ORDER BY payout_id
"""  # noqa: S608 - a constant

# A payee's own minimum, whatever the terms say; one that has ended counts no more.
MINIMUMS = """
SELECT broker_id, value FROM (
    SELECT DISTINCT ON (broker_id) broker_id, value, effective_to FROM broker_override
    WHERE kind = 'minimum_payout' AND replaced_by_load IS NULL AND effective_from <= %(at)s
    ORDER BY broker_id, effective_from DESC
) latest WHERE effective_to IS NULL OR effective_to > %(at)s
"""

# The chain that owes a payee most instructs what it is owed over all chains.
OWED = f"""
SELECT DISTINCT ON (account) chain, payee
FROM balance JOIN ledger_account USING (account)
JOIN (SELECT account, sum(balance_usdt) AS owed FROM balance GROUP BY account) over_chains USING (account)
LEFT JOIN ({MINIMUMS}) own ON own.broker_id = payee
WHERE account = 'payee:' || payee || ':payable' AND balance_usdt > 0
  AND owed > 0 AND owed >= coalesce(own.value, %(minimum)s)
ORDER BY account, balance_usdt DESC, chain
"""  # noqa: S608 - a constant


@dataclass(frozen=True, kw_only=True)
class _Occasion:
    """Why and when payouts are instructed: by a run, or by the schedule (`run_id` None)."""

    chain: str
    run_id: int | None
    window_start: datetime | None
    now: datetime

    def key(self, payee: str) -> str:
        by = f"run:{self.run_id}" if self.run_id is not None else f"schedule:{self.now.astimezone(UTC):%Y-%m-%dT%H}"
        return f"payout:{by}:{self.chain}:{payee}"


def instruct(  # noqa: PLR0913 - what an instruction records: who, under which terms, for which run, where to
    connection: Connection,
    *,
    chain: str,
    payees: Iterable[str],
    terms: PayoutTerms,
    run_id: int | None,
    window_start: datetime | None,
    now: datetime,
    rails: Mapping[str, Destination],
) -> list[Payout]:
    """Instructs what is mature of each payee, as the terms and its own minimum say; returns the new instructions.

    Posts payable -> in flight on `chain`, writes the payout and its event. `run_id` None: the schedule pays. Expects
    READ COMMITTED: after waiting for a payee, its balance is read as the other transaction left it.
    """
    occasion = _Occasion(chain=chain, run_id=run_id, window_start=window_start, now=now)
    lock_chain(connection, chain)
    waiting = _lock_payees(connection, {payee: occasion.key(payee) for payee in payees})
    mature = payable(connection, waiting, hold_hours=terms.hold_hours, now=now)
    planned = plan_payouts(mature, terms=terms, minimums=own_minimums(connection, now))
    entries = [
        payout_instructed(
            payout_key=occasion.key(plan.payee), payee=plan.payee, amount=plan.amount, effective_at=now, run_id=run_id
        )
        for plan in planned
    ]
    post_entries(connection, chain=chain, entries=entries)
    payouts = _insert(connection, occasion, planned, rails)
    for payout in payouts:
        _announce(connection, payout)
    return payouts


def payout_addresses(connection: Connection, payees: Iterable[str], at: datetime) -> dict[str, Destination]:
    """Where each payee is paid, by the broker row in force at `at`; a client has named no rail."""
    with raw_cursor(connection) as cursor:
        cursor.execute(ADDRESSES, {"payees": sorted(set(payees)), "at": at})
        return {
            broker_id: (rail, address)
            for broker_id, rail, address, effective_to in cursor
            if effective_to is None or at < effective_to
        }


def payout_terms(connection: Connection, at: datetime) -> PayoutTerms | None:
    """The payout part of the program terms in force at `at`; None if there are none."""
    with raw_cursor(connection) as cursor:
        row = cursor.execute(TERMS, {"at": at}).fetchone()
    if row is None:
        return None
    terms_id, document = row
    return parse_terms(document, source=f"terms {terms_id}", terms_id=terms_id).payout


def own_minimums(connection: Connection, at: datetime) -> dict[str, Decimal]:
    """The least that is paid to each payee that has a minimum of its own in force at `at`, in USDT."""
    with raw_cursor(connection) as cursor:
        return dict(cursor.execute(MINIMUMS, {"at": at}).fetchall())


def owed_by_chain(connection: Connection, *, minimum: Decimal, at: datetime) -> dict[str, list[str]]:
    """The payees that are owed at least `minimum` USDT, or their own minimum, mature or not, by the chain that owes most."""
    owed: dict[str, list[str]] = {}
    with raw_cursor(connection) as cursor:
        cursor.execute(OWED, {"minimum": minimum, "at": at})
        for chain, payee in cursor:
            owed.setdefault(chain, []).append(payee)
    return owed


def list_payouts(
    connection: Connection, *, status: PayoutStatus | None = None, payee: str | None = None
) -> list[Payout]:
    """The instructions in the order they were made, all or those of one status or payee."""
    with raw_cursor(connection) as cursor:
        cursor.row_factory = dict_row
        cursor.execute(PAYOUTS, {"status": status, "payee": payee})
        return [_payout(row) for row in cursor]


def _lock_payees(connection: Connection, keys: Mapping[str, str]) -> list[str]:
    """Locks the payees and returns those without a payout of their key."""
    with raw_cursor(connection) as cursor:
        cursor.execute(LOCK_PAYEES, {"payees": sorted(keys)})
        locked = [payee for (payee,) in cursor]
        cursor.execute(INSTRUCTED, {"keys": list(keys.values())})
        done = {key for (key,) in cursor}
    return [payee for payee in locked if keys[payee] not in done]


def _insert(
    connection: Connection, occasion: _Occasion, planned: Sequence[PlannedPayout], rails: Mapping[str, Destination]
) -> list[Payout]:
    destinations = [rails.get(plan.payee, (None, None)) for plan in planned]
    with raw_cursor(connection) as cursor:
        cursor.row_factory = dict_row
        cursor.execute(
            INSERT_PAYOUTS,
            {
                "chain": occasion.chain,
                "created_at": occasion.now,
                "window_start": occasion.window_start,
                "run_id": occasion.run_id,
                "payee": [plan.payee for plan in planned],
                "amount": [plan.amount for plan in planned],
                "status": [plan.status for plan in planned],
                "rail": [rail for rail, _ in destinations],
                "address": [address for _, address in destinations],
                "key": [occasion.key(plan.payee) for plan in planned],
            },
        )
        return [_payout(row) for row in cursor]


def _payout(row: Mapping[str, Any]) -> Payout:
    return Payout(**{**row, "status": PayoutStatus(row["status"])})


def _announce(connection: Connection, payout: Payout) -> None:
    emit(
        connection,
        "payout.instructed",
        subject=f"payout/{payout.payout_id}",
        data={
            "payout_id": payout.payout_id,
            "payee": payout.payee,
            "amount_usdt": f"{payout.amount:f}",
            "status": payout.status,
            "window_start": payout.window_start,
        },
    )
