"""Explains one line: every step with its rule, its numbers, the version of each input, and the entries that hold it.

The fill is taken through the rules again by the facts that were known when its shard was settled. If that does not give the
line that is stored, the explanation says so; what is stored stands until a recalculation changes it.
"""

from __future__ import annotations

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
            "steps": _steps(case),
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


def _steps(case: steps.Case) -> list[steps.Step]:
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
    """Each entry with the part of it that is this line's."""
    parts = {(share["run_id"], share["payee"]): share["amount_usdt"] for share in stored.shares}
    return [{**entry, "of_this_line_usdt": parts.get((entry["run_id"], entry["payee"]))} for entry in stored.entries]


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
