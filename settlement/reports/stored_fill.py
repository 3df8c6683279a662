"""What the database holds about one fill: the row, the file it came in, its lines, shares, entries and payouts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from settlement.errors import Refused
from settlement.rules.reasons import Reason, Status
from settlement.store.lines import WINDOW
from settlement.store.payouts import payout_terms

if TYPE_CHECKING:
    from sqlalchemy import Connection

Row = dict[str, Any]

FILL = """
SELECT f.*, coalesce(l.file, l.source) AS file, l.loaded_at, date_trunc('hour', f.executed_at, 'UTC') AS window_start
FROM fill f LEFT JOIN load l USING (load_id)
WHERE f.venue = :venue AND f.account = :account AND f.bill_id = :bill_id
"""

# Quarantined rows keep their text, whatever their format: those that mention both ids, as whole words.
QUARANTINED = """
SELECT kind, file, row_number, reason, quarantined_at FROM quarantine
WHERE position(:bill_id IN raw) > 0 AND raw ~ :bill_id_word AND raw ~ :account_word
ORDER BY quarantine_id LIMIT 5
"""

REVISIONS = """
SELECT l.revision, l.run_id, r.kind AS run_kind, coalesce(h.facts_at, r.opened_at) AS facts_at, r.closed_at, b.root, b.broker_id, b.status, b.reason,
       b.product, b.tier, b.rate, b.terms_id, t.name AS terms, b.flags, l.net_fee_usdt, l.commission_usdt,
       l.notional_usdt, l.price_id, l.notional_price_id, s.payees, s.shares
FROM line l
JOIN basis b USING (basis_id)
JOIN run r USING (run_id)
LEFT JOIN run_shard h ON h.run_id = l.run_id AND h.root = b.root
LEFT JOIN split s USING (split_id)
LEFT JOIN program_terms t USING (terms_id)
WHERE l.window_start = :window_start AND l.venue = :venue AND l.account = :account AND l.bill_id = :bill_id
ORDER BY l.revision
"""

PRICES = """
SELECT p.price_id, p.currency, p.ts, p.price_usdt, p.source, p.load_id, l.source AS file
FROM price p JOIN load l USING (load_id) WHERE p.price_id = ANY(:price_ids)
"""

SHARES = """
SELECT revision, run_id, payee, amount_usdt FROM line_share
WHERE window_start = :window_start AND venue = :venue AND account = :account AND bill_id = :bill_id
"""

# The entries of the line's runs that credit or debit one of its payees.
ENTRIES = """
SELECT e.entry_id, e.kind, e.run_id, e.chain, e.sequence, a.payee, p.account, p.direction, p.amount_usdt, e.effective_at,
       e.recorded_at, encode(e.hash, 'hex') AS hash
FROM entry e
JOIN posting p USING (entry_id)
JOIN ledger_account a USING (account)
WHERE e.run_id = ANY(:run_ids) AND e.chain = ANY(:roots) AND e.kind IN ('earned', 'correction') AND a.payee = ANY(:payees)
ORDER BY e.chain, e.sequence, p.leg
"""

# What is owed to a payee is one balance: the first instruction after the entry has matured is the first that can have paid
# the share. Both are recorded by the ledger's clock; a payout's created_at may be earlier, when its run was taken up.
PAYOUTS = """
SELECT DISTINCT ON (p.payee) p.payout_id, p.payee, p.amount_usdt, p.status, p.rail, p.address, p.created_at, p.window_start,
       p.run_id
FROM unnest(CAST(:payees AS text[]), CAST(:since AS timestamptz[])) AS owed (payee, since)
JOIN payout p USING (payee)
JOIN entry e ON e.kind = 'payout_instructed' AND e.idempotency_key = p.idempotency_key AND e.recorded_at >= owed.since
ORDER BY p.payee, e.recorded_at, e.entry_id
"""

WHOSE = ("root", "broker_id", "product")
RATED = (
    "tier",
    "rate",
    "terms_id",
    "payees",
    "shares",
    "net_fee_usdt",
    "notional_usdt",
    "price_id",
    "notional_price_id",
)

STATE = "SELECT status, settled_at FROM settlement_window WHERE window_start = :window_start"


@dataclass(frozen=True, kw_only=True)
class StoredFill:
    """One fill and everything that was made of it; lists are empty where nothing was."""

    fill: Row
    window: Row
    revisions: list[Row]
    shares: list[Row]
    entries: list[Row]
    payouts: list[Row]
    prices: dict[int, Row]
    quarantined: list[Row]

    @property
    def line(self) -> Row | None:
        """The revision that stands."""
        return self.revisions[-1] if self.revisions else None

    @property
    def known_as_of(self) -> datetime | None:
        """When the shard that rated the standing line read its facts: what was loaded by then is what it could know.

        Where only what a monthly cap leaves has changed, that is the shard of an earlier revision.
        """
        rated = self.line
        for before in reversed(self.revisions[:-1]):
            if rated is None or not _is_rating_kept(before, rated):
                break
            rated = before
        return rated["facts_at"] if rated else None


def _is_rating_kept(before: Row, after: Row) -> bool:
    names = WHOSE if after["reason"] == Reason.CAP_REACHED.text else (*WHOSE, *RATED)
    return before["status"] == Status.EARNED and all(before[name] == after[name] for name in names)


def read_stored_fill(connection: Connection, venue: str, account: str, bill_id: str) -> StoredFill:
    """Raises Refused for a fill that is not stored, saying where it is if it is in quarantine."""
    key = {"venue": venue, "account": account, "bill_id": bill_id}
    words = {f"{name}_word": f"(^|\\W){re.escape(key[name])}($|\\W)" for name in ("bill_id", "account")}
    quarantined = _rows(connection, QUARANTINED, {**key, **words})
    fills = _rows(connection, FILL, key)
    if not fills:
        raise _not_stored(key, quarantined)
    fill = fills[0]
    placed = {**key, "window_start": fill["window_start"]}
    revisions = _rows(connection, REVISIONS, placed)
    shares = _rows(connection, SHARES, placed)
    entries, payouts = _money(connection, revisions, shares, window_start=fill["window_start"])
    price_ids = [row[name] for row in revisions for name in ("price_id", "notional_price_id") if row[name] is not None]
    prices = _rows(connection, PRICES, {"price_ids": price_ids})
    windows = _rows(connection, STATE, placed)
    return StoredFill(
        fill=fill,
        window=windows[0] if windows else {"status": "open", "settled_at": None},
        revisions=revisions,
        shares=_from_the_root_down(shares, revisions),
        entries=entries,
        payouts=payouts,
        prices={row["price_id"]: row for row in prices},
        quarantined=[row for row in quarantined if row["kind"] == "conflict"],
    )


def _money(
    connection: Connection, revisions: list[Row], shares: list[Row], *, window_start: datetime
) -> tuple[list[Row], list[Row]]:
    """The entries that the line's runs booked for its payees, and the first payout of each that can have paid it."""
    payees = sorted({share["payee"] for share in shares})
    if not payees:
        return [], []
    placed = {"run_ids": [row["run_id"] for row in revisions], "roots": [row["root"] for row in revisions]}
    entries = _rows(connection, ENTRIES, {**placed, "payees": payees})
    if not entries:
        return [], []
    terms = payout_terms(connection, window_start + WINDOW)
    hold = timedelta(hours=terms.hold_hours if terms else 0)
    booked: dict[str, datetime] = {}
    for entry in entries:
        booked[entry["payee"]] = min(entry["recorded_at"], booked.get(entry["payee"], entry["recorded_at"]))
    since = [recorded_at + hold for recorded_at in booked.values()]
    return entries, _rows(connection, PAYOUTS, {"payees": list(booked), "since": since})


def _from_the_root_down(shares: list[Row], revisions: list[Row]) -> list[Row]:
    paths = {row["revision"]: row["payees"] or [] for row in revisions}
    return sorted(shares, key=lambda share: (share["revision"], paths[share["revision"]].index(share["payee"])))


def _not_stored(key: Row, quarantined: list[Row]) -> Refused:
    where = f"fill {key['venue']} {key['account']} {key['bill_id']}"
    if not quarantined:
        return Refused(
            "no such fill is stored", where=where, mend="check the three parts of its key, or ingest its file"
        )
    row = quarantined[0]
    return Refused(
        f"it is in quarantine: {row['reason']} (row {row['row_number']} of {row['file']}, {row['kind'].replace('_', ' ')})",
        where=where,
        mend="mend the row at its source and ingest the file again",
    )


def _rows(connection: Connection, query: str, parameters: Row) -> list[Row]:
    return [dict(row) for row in connection.execute(text(query), parameters).mappings()]
