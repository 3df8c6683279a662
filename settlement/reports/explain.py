"""Explains one line: every step with its rule, its numbers, the version of each input, and the entries that hold it.

The fill is taken through the rules again by the facts that were known when its shard was settled. If that does not give the
line that is stored, the explanation says so; what is stored stands until a recalculation changes it.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from settlement.reports import explain_steps as steps
from settlement.reports.explain_checks import checks
from settlement.reports.plain_text import plain
from settlement.reports.provenance import Provenance
from settlement.reports.reckoning import Reckoning, reckon
from settlement.reports.stored_fill import StoredFill, read_stored_fill
from settlement.store.lines import WINDOW

if TYPE_CHECKING:
    from sqlalchemy import Connection

COMPARED = ("broker_id", "status", "reason", "product", "tier", "rate", "terms_id", "flags")
SIDE = {"credit": 1, "debit": -1}
AMOUNTS = ("net_fee_usdt", "commission_usdt", "notional_usdt", "price_id", "notional_price_id")


def explain(connection: Connection, venue: str, account: str, bill_id: str) -> dict[str, Any]:
    """A document of plain values: fill, line, steps, shares, entries, payouts, revisions, differences, conflicts.

    Raises Refused for a fill that is not stored.
    """
    stored = read_stored_fill(connection, venue, account, bill_id)
    start = stored.fill["window_start"]
    key = {"venue": venue, "account": account, "bill_id": bill_id}
    reckoning = reckon(connection, key, window=(start, start + WINDOW), as_of=stored.known_as_of)
    case = steps.Case(reckoning=reckoning, provenance=Provenance(connection, as_of=stored.known_as_of))
    document: dict[str, Any] = plain(
        {
            "fill": {name: value for name, value in stored.fill.items() if value is not None},
            "window": {"window_start": start, **stored.window},
            "line": _line(stored),
            "known_as_of": stored.known_as_of,
            "steps": steps_of(case),
            "shares": [
                share for share in stored.shares if stored.line and share["revision"] == stored.line["revision"]
            ],
            "entries": _entries(stored),
            "payouts": stored.payouts,
            "revisions": [_revision(row) for row in stored.revisions],
            "differences": _differences(stored, reckoning),
            "conflicts": stored.quarantined,
        }
    )
    return document


def steps_of(case: steps.Case) -> list[steps.Step]:
    """The steps that the fill was taken through, up to the check that stopped it."""
    told = [steps.attribution(case), checks(case)]
    if case.reckoning.basis.split is not None:
        told += [steps.valuation(case), steps.notional(case), steps.rating(case), steps.split(case)]
    return told


def _line(stored: StoredFill) -> dict[str, Any] | None:
    """The line that stands, with the price it used."""
    if stored.line is None:
        return None
    line = _revision(stored.line)
    price = stored.prices.get(stored.line["price_id"])
    if stored.line["status"] == "earned":
        line["price_usdt"] = price["price_usdt"] if price else 1
        line["price_source"] = (price["source"] or price["file"]) if price else "USDT is 1"
        line["price_at"] = price["ts"] if price else None
    return line


def _revision(row: dict[str, Any]) -> dict[str, Any]:
    hidden = {"payees", "shares", "root", "terms_id"}
    return {name: value for name, value in row.items() if name not in hidden and value not in (None, "")}


def _entries(stored: StoredFill) -> list[dict[str, Any]]:
    """Each entry with the part of it that is this line's, on the entry's side: negative where the line went the other way."""
    booked = _booked(stored)
    parts = [(entry, booked[entry["run_id"], entry["chain"], entry["payee"]]) for entry in stored.entries]
    return [{**entry, "of_this_line_usdt": part * SIDE[entry["direction"]]} for entry, part in parts if part]


def _booked(stored: StoredFill) -> dict[tuple[int, str, str], Decimal]:
    """What each run booked for this line, by root and payee: what its revision gives, less what the one before gave."""
    booked: dict[tuple[int, str, str], Decimal] = defaultdict(Decimal)
    roots = {row["revision"]: row["root"] for row in stored.revisions}
    runs = {row["revision"]: row["run_id"] for row in stored.revisions}
    for share in stored.shares:
        revision, payee = share["revision"], share["payee"]
        booked[runs[revision], roots[revision], payee] += share["amount_usdt"]
        if revision + 1 in runs:
            booked[runs[revision + 1], roots[revision], payee] -= share["amount_usdt"]
    return booked


def _differences(stored: StoredFill, reckoning: Reckoning) -> list[dict[str, Any]]:
    """What the stored line says and the rules now do not; empty if they agree or there is no line yet."""
    line, basis = stored.line, reckoning.basis
    if line is None:
        return []
    now: dict[str, Any] = {
        "broker_id": basis.broker_id,
        "status": basis.reason.status,
        "reason": basis.reason.text,
        "product": basis.product,
        "tier": basis.tier,
        "rate": basis.rate,
        "terms_id": basis.terms_id,
        "flags": basis.flags,
        "payees": list(basis.split.payees) if basis.split else None,
        "shares": list(basis.split.shares) if basis.split else None,
        **reckoning.amounts,
    }
    return [
        {"what": name, "stored": line[name], "reckoned": now[name]}
        for name in (*COMPARED, *AMOUNTS, "payees", "shares")
        if line[name] != now[name]
    ]
