"""Use case: issue a statement, and print it again: digit for digit, or not at all."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from settlement.errors import Refused
from settlement.reports.plain_text import instant
from settlement.reports.statement import Document, as_json, document_of
from settlement.store import recording, statements
from settlement.store.database import Database
from settlement.store.statements import Heading, Issued


def issue(database: Database, *, payee: str, start: datetime, end: datetime, by: str) -> tuple[Issued, Document]:
    """Issues a statement for `payee` over the windows in `[start, end)`, as of now.

    Nobody records anything at its moment, which is over before the books are read: settling goes on meanwhile. Raises
    Refused for a payee that nobody knows, and for a period that is not over.
    """
    with database.transaction() as connection:
        statements.refuse_unknown(connection, payee)
        as_of = recording.quiet_moment(connection)
    if end > as_of:
        raise Refused(
            f"the period ends at {instant(end)}, which is still to come",
            where=f"statement for {payee}",
            mend="end it with the last window that is over",
        )
    with database.transaction() as connection:
        heading = Heading(
            statement_id=statements.next_id(connection),
            payee=payee,
            period_start=start,
            period_end=end,
            as_of=as_of,
            issued_by=by,
        )
        document = document_of(connection, heading)
        issued = Issued(heading=heading, sha256=_digest(document))
        statements.add(connection, issued)
    return issued, document


def print_again(database: Database, statement_id: int) -> tuple[Issued, Document]:
    """A statement as it was issued, out of the books as of its moment.

    Raises Refused for an unknown number, and if the books no longer say what they said.
    """
    with database.transaction() as connection:
        issued = statements.find(connection, statement_id)
        document = document_of(connection, issued.heading)
    digest = _digest(document)
    if digest != issued.sha256:
        raise Refused(
            f"the books no longer say what they said: SHA-256 {digest} instead of {issued.sha256}",
            where=f"statement {statement_id}",
            mend="somebody changed what was recorded by then; settlement ledger verify may show what",
        )
    return issued, document


def _digest(document: Document) -> str:
    return sha256(as_json(document)).hexdigest()
