"""A statement as lines of text for a person, every amount in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from settlement.reports.plain_text import amount
from settlement.rules.money import EXACT

Document = dict[str, Any]
Row = dict[str, Any]

PAYABLE = {
    "opening_usdt": "opening balance",
    "earned_usdt": "earned",
    "corrections_usdt": "corrections",
    "payouts_usdt": "payouts",
    "holds_usdt": "holds",
    "closing_usdt": "closing balance",
}
MOVES = {
    "payout_instructed": "instructed",
    "payout_failed": "failed, payable again",
    "payout_cancelled": "cancelled, payable again",
}


def in_words(document: Document, *, sha256: str) -> Iterator[str]:
    """The lines of the text."""
    yield f"Statement {document['statement_id']} for {document['payee']}"
    yield f"   windows from {document['period_start']} to {document['period_end']}, {_windows(document['windows'])}"
    yield f"   issued by {document['issued_by']} as of {document['as_of']}"
    yield f"   SHA-256 of it as JSON: {sha256}"
    yield ""
    yield "PAYABLE (USDT), by when it took effect"
    yield from _aligned([(document["payable"][name], said) for name, said in PAYABLE.items()])
    issue = document["as_of_issue"]
    yield (
        f"   as of the issue: {issue['payable_usdt']} payable, {issue['in_flight_usdt']} in flight, {issue['held_usdt']} held"
    )
    yield from _block("EARNED, by day", _by_day(document["earned"]))
    yield from _block("CORRECTIONS, by window", [_correction(row) for row in document["corrections"]])
    yield from _block("PAYOUTS", [_payout(row) for row in document["payouts"]])
    yield from _block("HOLDS", [_hold(row) for row in document["holds"]])
    yield from _lines(document)


def _windows(windows: Row) -> str:
    return f"{windows['settled']:,} of {windows['hours']:,} settled"


def _by_day(earned: Sequence[Row]) -> list[tuple[str, str]]:
    days: dict[str, Decimal] = {}
    for row in earned:
        day = row["window_start"].partition("T")[0]
        days[day] = EXACT.add(days.get(day, Decimal(0)), Decimal(row["amount_usdt"]))
    return [(amount(sum_), day) for day, sum_ in days.items()]


def _correction(row: Row) -> tuple[str, str]:
    plan = ", a monthly cap was reached sooner"
    if row["plan_id"] is not None:
        plan = f", recalculation {row['plan_id']}: {row['reason']}"
    return row[
        "amount_usdt"
    ], f"window {row['window_start']}, recorded {row['recorded_at']} by run {row['run_id']}{plan}"


def _payout(row: Row) -> tuple[str, str]:
    destination = f" to {row['rail']} {row['address']}" if row["rail"] else ""
    said = (
        f"payout {row['payout_id']} {MOVES[row['kind']]}{destination} at {row['effective_at']}; it is {row['status']}"
    )
    return row["amount_usdt"], said


def _hold(row: Row) -> tuple[str, str]:
    return row["amount_usdt"], f"{row['kind']} at {row['effective_at']}: {row['hold']}"


def _lines(document: Document) -> Iterator[str]:
    total = document["lines"]
    yield ""
    yield "LINES of whose commission it has a share, as they stand: volume, net fees, commission, share of it (USDT)"
    for row in document["by_day_and_product"]:
        yield f"   {row['day']} {row['product']:<8} {_figures(row)}"
    yield f"   {'all':<19} {_figures(total)}"


def _figures(row: Row) -> str:
    sums = ", ".join(row[name] for name in ("volume_usdt", "net_fee_usdt", "commission_usdt", "share_usdt"))
    return f"{row['lines']:,} lines: {sums}"


def _block(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield ""
        yield title
        yield from _aligned(rows)


def _aligned(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The amounts one below the other by their points, each with what it is."""
    whole = max(len(figure.partition(".")[0]) for figure, _ in rows)
    fraction = max(len(figure.partition(".")[2]) for figure, _ in rows)
    for figure, said in rows:
        before, point, after = figure.partition(".")
        yield f"   {before:>{whole}}{point or ' '}{after:<{fraction}}  {said}"
