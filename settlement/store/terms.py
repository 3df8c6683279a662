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
    """One version of the terms that stands, and the load that brought it in."""

    terms_id: int
    name: str
    effective_from: datetime
    document: str
    loaded_at: datetime
    loaded_by: str
    correction: str | None


def versions(connection: Connection) -> list[Version]:
    """The versions that stand, the earliest first."""
    rows = connection.execute(
        text(
            "SELECT terms_id, name, effective_from, document, loaded_at, loaded_by, correction FROM program_terms"
            " JOIN load USING (load_id) WHERE replaced_by_load IS NULL ORDER BY effective_from"
        )
    )
    return [Version(**row) for row in rows.mappings()]


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
