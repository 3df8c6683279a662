"""Taking rows in as a file, and reading back what became of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from settlement.pipeline.ingest import IngestReport, ingest
from settlement.store.database import Database
from settlement.venues.reading import FillFile
from tests.venues.fill_files import NOW, as_csv

Counts = tuple[int, int, int, int, int]


def take_in(database: Database, rows: Sequence[Mapping[str, str]], *, file: str = "fills.csv") -> IngestReport:
    return take_in_file(database, as_csv(rows), file=file)


def take_in_file(database: Database, data: bytes, *, file: str) -> IngestReport:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / file
        path.write_bytes(data)
        return ingest(database, FillFile(path), source="test", file=file, loaded_by="tests", now=NOW)


def counts(report: IngestReport) -> Counts:
    """Read, stored, duplicate, conflict, quarantined."""
    return report.read, report.stored, report.duplicate, report.conflict, report.quarantined


def query(database: Database, sql: str) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        return [dict(row) for row in connection.execute(text(sql)).mappings()]


def stored_fills(database: Database) -> list[dict[str, Any]]:
    columns = "* FROM (SELECT *, tableoid::regclass::text AS partition FROM fill) f ORDER BY venue, account, bill_id"
    return [
        {name: value for name, value in row.items() if name not in {"load_id", "partition"}}
        for row in query(database, f"SELECT {columns}")
    ]
