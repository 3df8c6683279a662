"""The books of a world, and in what two of them differ.

Compared row by row: every line and every share as they stand, counts and commission of every window, what was booked per window
and payee, every client's activity, and what each payee has earned in all, be it payable, in flight or paid. Not compared is what
depends on when a late fill was settled: the number of a window's runs and their ids, and how a balance was cut into payouts
(each run that adds to a balance instructs what is payable then).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from io import BytesIO

import pyarrow as pa
from pyarrow import csv
from sqlalchemy import text

from settlement.reports.exports import Selection, export
from settlement.store.database import Database

Rows = Counter[tuple[str, ...]]
Books = Mapping[str, Rows]

OF_THE_ACT = {"lines": {"run_id"}, "shares": {"run_id"}, "windows": {"settled_at", "runs"}}
SUMS = {
    "booked": """
        SELECT effective_at, account, sum(CASE direction WHEN 'credit' THEN amount_usdt ELSE -amount_usdt END) AS usdt
        FROM entry JOIN posting USING (entry_id) WHERE kind IN ('earned', 'correction')
        GROUP BY 1, 2 HAVING sum(CASE direction WHEN 'credit' THEN amount_usdt ELSE -amount_usdt END) <> 0""",
    "activity": """
        SELECT window_start, root, venue, account, broker_id, product, sum(earned_lines) AS lines, sum(volume_usdt) AS volume,
               sum(commission_usdt) AS commission
        FROM activity GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(earned_lines) <> 0""",
    # Payable, in flight and held; no payout is confirmed here, so nothing has left these accounts.
    "earned in all": """
        SELECT payee, sum(balance_usdt) AS usdt FROM balance JOIN ledger_account USING (account)
        WHERE payee IS NOT NULL GROUP BY payee HAVING sum(balance_usdt) <> 0""",
    "fills": "SELECT venue, account, bill_id, executed_at FROM fill",
}
SHOWN_MAX = 5


def books_of(database: Database, *, end: datetime) -> Books:
    """The books of the windows before `end`."""
    exported = {what: _exported(database, what, without, end) for what, without in OF_THE_ACT.items()}
    with database.transaction() as connection:
        sums = {
            what: Counter(tuple(map(str, row)) for row in connection.execute(text(query)))
            for what, query in SUMS.items()
        }
    return {**exported, **sums}


def differences(expected: Books, found: Books) -> list[str]:
    """What is missing and what is too much; nothing if both say the same."""
    said = []
    for what in expected:
        for how, rows in (("missing", expected[what] - found[what]), ("too much", found[what] - expected[what])):
            shown = [f"{what}, {how}: {', '.join(row)}" for row in sorted(rows)[:SHOWN_MAX]]
            said += [*shown, f"{what}, {how}: {rows.total()} rows in all"] if rows else []
    return said


def _exported(database: Database, what: str, without: set[str], end: datetime) -> Rows:
    """The export's rows, as text."""
    sink = BytesIO()
    with database.transaction() as connection:
        export(connection, what, file_format="csv", selection=Selection(end=end), sink=sink)
    names = sink.getvalue().split(b"\n", 1)[0].decode().split(",")
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    table = csv.read_csv(BytesIO(sink.getvalue()), convert_options=as_text)
    columns = [table[name].to_pylist() for name in names if name not in without]
    return Counter(zip(*columns, strict=True))
