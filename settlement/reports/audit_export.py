"""The audit log as CSV or JSON: who did what by hand, when, why, and what stood before and after.

Rows come in the order in which they were written. `before` and `after` are JSON documents, in CSV as text.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from settlement.reports.exports import Source, write

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

FORMATS = ("csv", "json")

COLUMNS = {
    "audit_id": "count",
    "at": "time",
    "by": "text",
    "act": "text",
    "subject": "text",
    "reason": "text",
    "before": "document",
    "after": "document",
    "load_id": "count",
}


def export_audit(  # noqa: PLR0913 - which rows, and how they are written
    connection: Connection,
    *,
    start: datetime | None,
    end: datetime | None,
    subject: str | None,
    file_format: str,
    sink: IO[bytes],
) -> None:
    """Writes the acts in `[start, end)` (None: no bound) about `subject` (None: all) in one of FORMATS, in flat memory."""
    given = {"at >= %(start)s": start, "at < %(end)s": end, "subject = %(subject)s": subject}
    conditions = " AND ".join(["true", *(condition for condition, value in given.items() if value is not None)])
    source = Source(
        connection=connection,
        columns=COLUMNS,
        statement=f"SELECT * FROM audit_log WHERE {conditions} ORDER BY audit_id",  # noqa: S608 - constants only
        parameters={"start": start, "end": end, "subject": subject},
    )
    write(source, file_format=file_format, sink=sink)
