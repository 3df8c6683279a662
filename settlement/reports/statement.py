"""A statement: what was owed to one payee before, in and after a period, and the lines behind it.

1. The period is by effective time: what windows in it earned, however late it was recorded, and what was paid or held in it.
2. Everything is read as of one recorded moment, so that the same statement comes out of the books ever after.
3. The closing balance is the opening one and the movements; what was payable as of the issue stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson
from psycopg.rows import dict_row
from sqlalchemy import Connection

from settlement.ledger.chart import payable
from settlement.reports import statement_queries as queries
from settlement.reports.plain_text import plain
from settlement.rules.money import EXACT
from settlement.store.copying import raw_cursor
from settlement.store.statements import Heading

Row = dict[str, Any]
Document = dict[str, Any]

SUMS = ("volume_usdt", "net_fee_usdt", "commission_usdt", "share_usdt")


def document_of(connection: Connection, heading: Heading) -> Document:
    """The statement as plain values, amounts in USDT as text."""
    books = _Books(connection, heading)
    lines = books.rows(queries.LINES)
    document: Document = plain(
        {
            **vars(heading),
            "windows": books.row(queries.WINDOWS),
            "payable": books.row(queries.PAYABLE),
            "as_of_issue": books.row(queries.BALANCES),
            "lines": {"lines": sum(row["lines"] for row in lines), **_sums(lines)},
            "by_day_and_product": lines,
            "earned": books.rows(queries.EARNED),
            "corrections": books.rows(queries.CORRECTIONS),
            "payouts": books.rows(queries.PAYOUTS),
            "holds": books.rows(queries.HOLDS),
        }
    )
    return document


def as_json(document: Document) -> bytes:
    """The very bytes whose SHA-256 is the statement's digest."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


class _Books:
    """The books as of a statement."""

    def __init__(self, connection: Connection, heading: Heading) -> None:
        self._connection = connection
        self._parameters = {
            "payee": heading.payee,
            "payable": payable(heading.payee),
            "start": heading.period_start,
            "end": heading.period_end,
            "as_of": heading.as_of,
        }

    def rows(self, query: str) -> list[Row]:
        with raw_cursor(self._connection) as cursor:
            cursor.row_factory = dict_row
            return list(cursor.execute(query, self._parameters))

    def row(self, query: str) -> Row:
        (row,) = self.rows(query)
        return row


def _sums(lines: Iterable[Row]) -> dict[str, Decimal]:
    sums = dict.fromkeys(SUMS, Decimal(0))
    for row in lines:
        sums |= {name: EXACT.add(sums[name], row[name]) for name in SUMS}
    return sums
