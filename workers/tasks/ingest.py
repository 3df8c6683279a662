"""Taking fills in, in the queue `ingest`."""

from __future__ import annotations

from pathlib import Path

from settlement.pipeline import ingest
from settlement.venues.reading import AUTO, FillFile
from workers import clock
from workers.app import task
from workers.process import database


@task(name="settlement.ingest_file")
def ingest_file(path: str, file_format: str = AUTO, account: str | None = None) -> ingest.IngestReport:
    """Takes the fills of one file in; `path` is one that every worker of the queue can read.

    Race: two deliveries lock the file's accounts in turn, and the second finds every fill stored: all duplicates. The
    file is one transaction, so a killed delivery left nothing behind.
    """
    file = Path(path)
    fills = FillFile(file, file_format, account)
    return ingest.ingest(
        database(), fills, source="file", file=file.name, loaded_by="settlement.ingest_file", now=clock.now()
    )
