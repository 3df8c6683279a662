"""The audit log: who did what by hand, why, and what stood before and after. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, text


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One act, such as "broker.set" of the subject "alpha-1"; `before` is None where nothing stood.

    `load_id` is the load that stores the change, where it is one of facts. Only a load of files needs no reason.
    """

    by: str
    act: str
    subject: str
    reason: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    load_id: int | None = None


def record(connection: Connection, entry: AuditEntry) -> int:
    """Writes an act in the transaction of what it did, at the server's time; returns its number."""
    query = text("""
        INSERT INTO audit_log (by, act, subject, reason, before, after, load_id)
        VALUES (:by, :act, :subject, :reason, CAST(:before AS jsonb), CAST(:after AS jsonb), :load_id)
        RETURNING audit_id
    """)
    values = vars(entry) | {"before": _document(entry.before), "after": _document(entry.after)}
    return int(connection.execute(query, values).scalar_one())


def _document(values: Mapping[str, Any] | None) -> str | None:
    return None if values is None else orjson.dumps(dict(values), option=orjson.OPT_UTC_Z).decode()
