"""Overrides of brokers that can never have an effect: a rate, a floor or a cap is asked for of roots only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from settlement.program.registry import CheckedFile

OVERRIDES_FILE = "overrides.csv"
OF_ROOTS = ("rate", "floor", "cap")

_A_ROOT = """
    SELECT FROM broker b
    WHERE b.broker_id = o.broker_id AND b.replaced_by_load IS NULL AND b.parent_id IS NULL
      AND b.effective_from < coalesce(o.effective_to, 'infinity') AND coalesce(b.effective_to, 'infinity') > o.effective_from
"""
_IDLE = f"""
    SELECT o.broker_id, o.kind, min(o.row_number) AS row_number, count(*) AS rows
    FROM staged_broker_override o
    WHERE o.kind = ANY (:kinds) AND NOT EXISTS ({_A_ROOT})
      AND EXISTS (SELECT FROM broker b WHERE b.broker_id = o.broker_id AND b.replaced_by_load IS NULL)
    GROUP BY o.broker_id, o.kind ORDER BY 3
"""  # noqa: S608 - constants of this module
_IS_A_ROOT = f"""
    SELECT EXISTS ({_A_ROOT})
    FROM (VALUES (CAST(:broker_id AS text), CAST(:begins AS timestamptz), CAST(:ends AS timestamptz)))
         o (broker_id, effective_from, effective_to)
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True, kw_only=True)
class IdleOverride:
    """Rows of one broker and kind that are stored and will never be asked for; the first of them by its number."""

    broker_id: str
    kind: str
    file: str
    row_number: int
    rows: int


def idle_overrides(connection: Connection, files: Sequence[CheckedFile]) -> list[IdleOverride]:
    """Of the rows that a load has staged, those of brokers that are known, but no root at any time of the row."""
    return [
        IdleOverride(file=str(checked.path), **row)
        for checked in files
        if checked.file.file == OVERRIDES_FILE
        for row in connection.execute(text(_IDLE), {"kinds": list(OF_ROOTS)}).mappings()
    ]


def is_root_within(connection: Connection, broker_id: str, *, begins: datetime, ends: datetime | None) -> bool:
    """Whether the broker is a root at any instant of `[begins, ends)`."""
    parameters = {"broker_id": broker_id, "begins": begins, "ends": ends}
    return bool(connection.execute(text(_IS_A_ROOT), parameters).scalar_one())
