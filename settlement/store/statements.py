"""Issued statements: of whom, of which period, as of when, and the digest of what they said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from settlement.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What a statement is of: a payee (broker_id or client:VENUE:ACCOUNT) and the windows in `[period_start, period_end)`."""

    statement_id: int
    payee: str
    period_start: datetime
    period_end: datetime
    as_of: datetime
    issued_by: str


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A statement as it was issued; `sha256` is the digest of its JSON, in hexadecimal."""

    heading: Heading
    sha256: str


_ISSUED = """
    SELECT statement_id, payee, period_start, period_end, as_of, issued_by, encode(digest, 'hex') AS sha256 FROM statement
"""


def next_id(connection: Connection) -> int:
    """The number of the statement that is about to be issued."""
    query = text("SELECT nextval(pg_get_serial_sequence('statement', 'statement_id'))")
    return int(connection.execute(query).scalar_one())


def add(connection: Connection, issued: Issued) -> None:
    """Records a statement as issued, for good."""
    connection.execute(
        text("""
            INSERT INTO statement (statement_id, payee, period_start, period_end, as_of, issued_by, digest)
            VALUES (:statement_id, :payee, :period_start, :period_end, :as_of, :issued_by, decode(:sha256, 'hex'))
        """),
        {**vars(issued.heading), "sha256": issued.sha256},
    )


def find(connection: Connection, statement_id: int) -> Issued:
    """One statement. Raises Refused for an unknown number."""
    rows = connection.execute(text(f"{_ISSUED} WHERE statement_id = :statement_id"), {"statement_id": statement_id})
    found = rows.mappings().one_or_none()
    if found is None:
        raise Refused(f"there is no statement {statement_id}", mend="settlement statements list shows those there are")
    return _issued(**found)


def list_issued(connection: Connection, *, payee: str | None = None) -> list[Issued]:
    """The statements of all payees, or of one, in the order in which they were issued."""
    query = text(f"{_ISSUED} WHERE CAST(:payee AS text) IS NULL OR payee = :payee ORDER BY statement_id")
    return [_issued(**row) for row in connection.execute(query, {"payee": payee}).mappings()]


def refuse_unknown(connection: Connection, payee: str) -> None:
    """Raises Refused for somebody to whom nothing can ever have been owed."""
    query = text("""
        SELECT EXISTS (SELECT FROM payee WHERE payee = :payee) OR EXISTS (SELECT FROM broker WHERE broker_id = :payee)
    """)
    if not connection.execute(query, {"payee": payee}).scalar_one():
        raise Refused(
            f"there is no payee {payee!r}",
            mend="a payee is a broker_id, or client:VENUE:ACCOUNT; settlement summary lists them",
        )


def _issued(*, sha256: str, **heading: object) -> Issued:
    return Issued(heading=Heading(**heading), sha256=sha256)  # type: ignore[arg-type]  # a row's
