"""Posting to the ledger, and what it owes.

1. Entries are appended to one chain (one per root broker), whose head is locked until the transaction ends.
2. The same (kind, key) with the same content is done already; with other content it is an IdempotencyConflict.
3. PostgreSQL checks everything again: chain, hashes and dates when entries arrive, balance, shape and digest at commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from settlement.errors import IdempotencyConflict
from settlement.ledger.chart import payable as payable_account
from settlement.ledger.chart import payee_kind, payee_of
from settlement.ledger.entries import Entry, chain_hash, content_digest
from settlement.store import recording
from settlement.store.copying import raw_cursor

LOCK_CHAIN = "SELECT sequence, hash, nullif(recorded_at, '-infinity') FROM lock_chain(%(chain)s)"

POSTED = """
SELECT e.kind, e.idempotency_key, e.entry_id, e.content_digest
FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS asked (kind, idempotency_key)
JOIN entry e USING (kind, idempotency_key)
"""

DECLARE_PAYEES = """
INSERT INTO payee (payee, kind)
SELECT * FROM unnest(%(payees)s::text[], %(kinds)s::text[]) AS new (payee, kind) ORDER BY payee COLLATE "C"
ON CONFLICT DO NOTHING
"""

INSERT_ENTRIES = """
INSERT INTO entry (chain, sequence, kind, idempotency_key, run_id, effective_at, recorded_at, legs, content_digest,
                   previous_hash, hash)
SELECT %(chain)s, new.sequence, kind, idempotency_key, run_id, effective_at, %(recorded_at)s, legs, content_digest,
       previous_hash, hash
FROM unnest(%(sequence)s::bigint[], %(kind)s::text[], %(idempotency_key)s::text[], %(run_id)s::bigint[],
            %(effective_at)s::timestamptz[], %(legs)s::smallint[], %(content_digest)s::bytea[],
            %(previous_hash)s::bytea[], %(hash)s::bytea[])
     AS new (sequence, kind, idempotency_key, run_id, effective_at, legs, content_digest, previous_hash, hash)
ORDER BY new.sequence
RETURNING sequence, entry_id
"""

INSERT_POSTINGS = """
INSERT INTO posting (entry_id, leg, account, direction, amount_usdt)
SELECT * FROM unnest(%(entry_id)s::bigint[], %(leg)s::smallint[], %(account)s::text[], %(direction)s::text[],
                     %(amount)s::numeric[])
"""

# What is owed, less what was earned or corrected upwards too recently. Money that comes back (a payout that failed, a
# hold that was released) was mature before; whatever lowers the balance counts at once.
PAYABLE = """
WITH recent AS (
    SELECT p.account, sum(p.amount_usdt) AS amount_usdt
    FROM entry e JOIN posting p USING (entry_id)
    WHERE %(hold_hours)s > 0 AND e.recorded_at > %(matured_at)s AND e.kind IN ('earned', 'correction')
      AND p.direction = 'credit' AND p.account = ANY(%(accounts)s)
    GROUP BY p.account
)
SELECT b.account, sum(b.balance_usdt) - coalesce(max(recent.amount_usdt), 0)
FROM balance b LEFT JOIN recent USING (account)
WHERE b.account = ANY(%(accounts)s)
GROUP BY b.account
"""


@dataclass(frozen=True, kw_only=True)
class ChainHead:
    """Where a chain ends: the next entry is `sequence + 1`, names `hash`, and is recorded no earlier."""

    sequence: int
    hash: bytes
    recorded_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Digested:
    entry: Entry
    digest: bytes


_Key = tuple[str, str]


def post_entries(connection: Connection, *, chain: str, entries: Sequence[Entry]) -> list[int]:
    """Appends `entries` to `chain` and returns their ids in the same order; those posted before keep their id.

    Declares payees that are new. They are recorded now, by the database's clock; should that have gone back, at the
    time of the chain's last entry, so that a chain never goes back in time. Raises IdempotencyConflict.
    """
    unique = _unique(entries)
    if not unique:
        return []
    recorded_at = recording.begin(connection)
    with raw_cursor(connection) as cursor:
        head = _lock(cursor, chain)
        ids = _already_posted(cursor, unique)
        new = [digested for key, digested in unique.items() if key not in ids]
        if new:
            legs = (leg for digested in new for leg in digested.entry.legs)
            declare_payees(connection, (payee for leg in legs if (payee := payee_of(leg.account))))
            ids |= _append(cursor, chain=chain, head=head, new=new, recorded_at=recorded_at)
    return [ids[_key(entry)] for entry in entries]


def lock_chain(connection: Connection, chain: str) -> ChainHead:
    """The head of `chain`, locked until the transaction ends. Whoever also locks payees locks the chain first."""
    with raw_cursor(connection) as cursor:
        return _lock(cursor, chain)


def declare_payees(connection: Connection, payees: Iterable[str]) -> None:
    """Declares `payees` and their accounts; those declared before stay as they are."""
    names = sorted(set(payees))
    with raw_cursor(connection) as cursor:
        cursor.execute(DECLARE_PAYEES, {"payees": names, "kinds": [payee_kind(name) for name in names]})


def payable(connection: Connection, payees: Iterable[str], *, hold_hours: int, now: datetime) -> dict[str, Decimal]:
    """The mature payable of each payee in USDT, over all chains; negative where too much was paid.

    Mature is the whole payable less what was earned or corrected upwards in the last `hold_hours`.
    """
    accounts = {payable_account(payee): payee for payee in payees}
    with raw_cursor(connection) as cursor:
        cursor.execute(
            PAYABLE,
            {
                "accounts": list(accounts),
                "hold_hours": hold_hours,
                "matured_at": now - timedelta(hours=hold_hours),
            },
        )
        mature = {accounts[account]: amount for account, amount in cursor}
    return {payee: mature.get(payee, Decimal(0)) for payee in accounts.values()}


def _lock(cursor: Any, chain: str) -> ChainHead:
    cursor.execute(LOCK_CHAIN, {"chain": chain})
    sequence, hash_, recorded_at = cursor.fetchone()
    return ChainHead(sequence=sequence, hash=hash_, recorded_at=recorded_at)


def _key(entry: Entry) -> _Key:
    return entry.kind, entry.idempotency_key


def _unique(entries: Sequence[Entry]) -> dict[_Key, _Digested]:
    unique: dict[_Key, _Digested] = {}
    for entry in entries:
        digested = _Digested(entry, content_digest(entry))
        if unique.setdefault(_key(entry), digested).digest != digested.digest:
            raise IdempotencyConflict(kind=entry.kind, key=entry.idempotency_key)
    return unique


def _already_posted(cursor: Any, unique: dict[_Key, _Digested]) -> dict[_Key, int]:
    kinds, keys = zip(*unique, strict=True)
    cursor.execute(POSTED, {"kinds": list(kinds), "keys": list(keys)})
    ids: dict[_Key, int] = {}
    for kind, key, entry_id, digest in cursor:
        if unique[kind, key].digest != digest:
            raise IdempotencyConflict(kind=kind, key=key)
        ids[kind, key] = entry_id
    return ids


def _append(
    cursor: Any, *, chain: str, head: ChainHead, new: Sequence[_Digested], recorded_at: datetime
) -> dict[_Key, int]:
    recorded_at = max(recorded_at, head.recorded_at or recorded_at)
    hashes = [head.hash]
    for sequence, digested in enumerate(new, head.sequence + 1):
        hashes.append(
            chain_hash(
                previous_hash=hashes[-1],
                content_digest=digested.digest,
                chain=chain,
                sequence=sequence,
                recorded_at=recorded_at,
            )
        )
    cursor.execute(
        INSERT_ENTRIES,
        {
            "chain": chain,
            "recorded_at": recorded_at,
            "sequence": list(range(head.sequence + 1, head.sequence + 1 + len(new))),
            "kind": [digested.entry.kind for digested in new],
            "idempotency_key": [digested.entry.idempotency_key for digested in new],
            "run_id": [digested.entry.run_id for digested in new],
            "effective_at": [digested.entry.effective_at for digested in new],
            "legs": [len(digested.entry.legs) for digested in new],
            "content_digest": [digested.digest for digested in new],
            "previous_hash": hashes[:-1],
            "hash": hashes[1:],
        },
    )
    ids = [entry_id for _, entry_id in sorted(cursor)]
    _insert_postings(cursor, [(entry_id, digested.entry) for entry_id, digested in zip(ids, new, strict=True)])
    return {_key(digested.entry): entry_id for entry_id, digested in zip(ids, new, strict=True)}


def _insert_postings(cursor: Any, posted: Sequence[tuple[int, Entry]]) -> None:
    rows = [(entry_id, number, leg) for entry_id, entry in posted for number, leg in enumerate(entry.legs, 1)]
    cursor.execute(
        INSERT_POSTINGS,
        {
            "entry_id": [entry_id for entry_id, _, _ in rows],
            "leg": [number for _, number, _ in rows],
            "account": [leg.account for _, _, leg in rows],
            "direction": [leg.direction for _, _, leg in rows],
            "amount": [leg.amount for _, _, leg in rows],
        },
    )
