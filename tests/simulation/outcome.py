"""What a run came to: the product's own exports, without the ids and the times of the act.

Exact: row by row. Merged: what stays the same whichever of several runs a line was settled by, and in whichever cuts a
balance was paid out: lines, shares, what was earned per window, and what each payee was paid and is owed together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO

import pyarrow as pa
from pyarrow import csv

from settlement.reports.exports import Selection, export
from settlement.store.database import Database

Row = tuple[str, ...]
Rows = Mapping[str, Sequence[Row]]

# Numbers and times of recording depend on who came when; everything else is compared to the byte.
OF_THE_ACT = {
    "lines": {"run_id"},
    "shares": {"run_id"},
    "balances": set[str](),
    "payouts": {"payout_id", "created_at"},
    "windows": {"settled_at"},
    "entries": {"entry_id", "recorded_at", "run_id"},
    "tiers": set[str](),
}
PAYOUT_ENTRY = "payout_"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The exports, compared as strictly as the run allows."""

    exact: Rows
    merged: Rows


def outcome_of(database: Database) -> Outcome:
    """The outcome as it stands."""
    exported = {what: _export(database, what) for what in OF_THE_ACT}
    exact = {what: sorted(_kept(rows, OF_THE_ACT[what])) for what, rows in exported.items()}
    return Outcome(exact=exact, merged=_merged(exported, exact))


def differences(expected: Rows, found: Rows) -> list[str]:
    """What is missing and what is too much, export by export."""
    said: list[str] = []
    for what in expected:
        too_few, too_many = _less(expected[what], found[what]), _less(found[what], expected[what])
        said += [f"{what}: missing {','.join(row)}" for row in too_few[:5]]
        said += [f"{what}: not expected {','.join(row)}" for row in too_many[:5]]
    return said


def _less(left: Sequence[Row], right: Sequence[Row]) -> list[Row]:
    rest = list(right)
    missing = []
    for row in left:
        if row in rest:
            rest.remove(row)
        else:
            missing.append(row)
    return missing


def _export(database: Database, what: str) -> list[dict[str, str]]:
    sink = BytesIO()
    with database.transaction() as connection:
        export(connection, what, file_format="csv", selection=Selection(), sink=sink)
    header = sink.getvalue().split(b"\n", 1)[0].decode().split(",")
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    rows: list[dict[str, str]] = csv.read_csv(BytesIO(sink.getvalue()), convert_options=as_text).to_pylist()
    # A payout is instructed when it is: its entry is dated by the clock.
    return [row | {"effective_at": ""} if row.get("kind", "").startswith(PAYOUT_ENTRY) else row for row in rows]


def _kept(rows: Sequence[Mapping[str, str]], without: set[str]) -> list[Row]:
    return [tuple(value for name, value in row.items() if name not in without) for row in rows]


def _merged(exported: Mapping[str, Sequence[Mapping[str, str]]], exact: Rows) -> Rows:
    booked = [row for row in exported["entries"] if row["kind"] in {"earned", "correction"}]
    windows = [{name: value for name, value in row.items() if name != "runs"} for row in exported["windows"]]
    return {
        "lines": exact["lines"],
        "shares": exact["shares"],
        "tiers": exact["tiers"],
        "windows": sorted(_kept(windows, OF_THE_ACT["windows"])),
        "earned": _summed(booked, lambda row: (row["effective_at"], row["account"]), _signed),
        "owed": _summed(exported["balances"], _owner, lambda row: Decimal(row["balance_usdt"])),
    }


def _owner(row: Mapping[str, str]) -> Row:
    """The payee of an account, or the operator's account."""
    account = row["account"]
    return (account.rpartition(":")[0] if account.startswith("payee:") else account,)


def _signed(row: Mapping[str, str]) -> Decimal:
    amount = Decimal(row["amount_usdt"])
    return amount if row["direction"] == "credit" else -amount


def _summed(
    rows: Sequence[Mapping[str, str]],
    key: Callable[[Mapping[str, str]], Row],
    amount: Callable[[Mapping[str, str]], Decimal],
) -> list[Row]:
    sums: dict[Row, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[key(row)] += amount(row)
    return sorted((*of, f"{total.normalize():f}") for of, total in sums.items() if total)
