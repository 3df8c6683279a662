"""Program terms in PostgreSQL: whole documents, each in force from its instant until the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, text

from settlement.program.terms import parse_terms
from settlement.rules.facts import Terms
from settlement.store.settled_past import Load, Standing, first_line, settled_refusal


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of the terms, and the load that brought it in.

    `until` is when the next version takes over, None for the last one and for one that was replaced; then
    `replaced_by_load` says by which load.
    """

    terms_id: int
    name: str
    effective_from: datetime
    until: datetime | None
    document: str
    load_id: int
    source: str
    loaded_at: datetime
    loaded_by: str
    correction: str | None
    replaced_by_load: int | None


def versions(connection: Connection, *, replaced: bool = False) -> list[Version]:
    """The versions that stand, the earliest first; with `replaced`, beside each those that it replaced."""
    query = text("""
        SELECT terms_id, name, effective_from, document, load_id, source, loaded_at, loaded_by, correction, replaced_by_load,
               CASE WHEN replaced_by_load IS NULL THEN lead(effective_from) OVER
                   (PARTITION BY replaced_by_load IS NULL ORDER BY effective_from) END AS until
        FROM program_terms JOIN load USING (load_id)
        WHERE :replaced OR replaced_by_load IS NULL ORDER BY effective_from, terms_id
    """)
    return [Version(**row) for row in connection.execute(query, {"replaced": replaced}).mappings()]


def terms_in_force(connection: Connection, at: datetime) -> Terms | None:
    """The terms in force at `at`, as they stand now; None if there are none."""
    query = text(
        "SELECT terms_id, document FROM program_terms WHERE replaced_by_load IS NULL AND effective_from <= :at"
        " ORDER BY effective_from DESC LIMIT 1"
    )
    row = connection.execute(query, {"at": at}).one_or_none()
    return None if row is None else parse_terms(row.document, source=f"terms {row.terms_id}", terms_id=row.terms_id)


def find_at(standing: Sequence[Version], effective_from: datetime) -> Version | None:
    """The version that begins exactly at `effective_from`."""
    return next((version for version in standing if version.effective_from == effective_from), None)


def is_same(version: Version, terms: Terms) -> bool:
    """Whether a stored version states the same terms, whatever its comments and layout."""
    stored = parse_terms(version.document, source=f"terms {version.terms_id}")
    return replace(stored, terms_id=0) == replace(terms, terms_id=0)


def add(connection: Connection, terms: Terms, *, document: str, load_id: int, replaced: Version | None) -> int:
    """Stores a version, marks the one it replaces, and returns its terms_id."""
    if replaced is not None:
        connection.execute(
            text("UPDATE program_terms SET replaced_by_load = :load WHERE terms_id = :terms_id"),
            {"load": load_id, "terms_id": replaced.terms_id},
        )
    query = text(
        "INSERT INTO program_terms (name, effective_from, document, load_id)"
        " VALUES (:name, :effective_from, :document, :load) RETURNING terms_id"
    )
    values = {"name": terms.name, "effective_from": terms.effective_from, "document": document, "load": load_id}
    return int(connection.execute(query, values).scalar_one())


def refuse_settled_change(connection: Connection, terms: Terms, *, before: Sequence[Version], load: Load) -> None:
    """Raises `InputRefused` if `terms` take over from other terms under which settled lines stand.

    `before` are the versions that stood before the load. Where there were none, lines are pending: no change.
    """
    if not any(version.effective_from <= terms.effective_from for version in before):
        return
    later = [version.effective_from for version in before if version.effective_from > terms.effective_from]
    begins_at, ends_at = max(terms.effective_from, load.period.start), min([*later, load.period.end])
    if begins_at >= ends_at:
        return
    connection.execute(
        text(
            "CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT CAST(:name AS text) AS name,"
            " CAST(:begins_at AS timestamptz) AS begins_at, CAST(:ends_at AS timestamptz) AS ends_at"
        ),
        {"name": terms.name, "begins_at": begins_at, "ends_at": ends_at},
    )
    found = first_line(connection, "changed", columns=("name",), standing=Standing(line="true"))
    if found is not None:
        raise settled_refusal(found, subject="the terms", where=load.source)
