"""The demonstration's intake: loads the sample's facts and fills by the use cases that the commands call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from settlement.pipeline.load_report import LoadReport
    from settlement.sample.world import Sample
    from settlement.store.database import Database


def take_in(database: Database, sample: Sample, target: Console) -> bool:
    """Loads everything and prints a line for each file; True if anything of it was new."""
    facts_are_new = _load_facts(database, sample, target)
    fills_are_new = False
    for source, paths in sample.fills.items():
        for path in paths:
            fills_are_new = _ingest(database, path, source, target) or fills_are_new
    return facts_are_new or fills_are_new


def _load_facts(database: Database, sample: Sample, target: Console) -> bool:
    from settlement.pipeline.load_instruments import load_instruments
    from settlement.pipeline.load_prices import load_prices
    from settlement.pipeline.load_registry import load_registry
    from settlement.pipeline.load_report import Act, current_user
    from settlement.pipeline.load_terms import load_terms, read_document
    from settlement.venues.okx.instruments import parse_instruments

    act = Act(loaded_by=current_user())
    loads = [_told("registry", load_registry(database, sample.registry, act=act), target)]
    for path in sample.terms:
        document, source = read_document(str(path))
        loaded = load_terms(database, document, source=source, act=act)
        target.print(f"terms       {path.name}: {'loaded' if loaded.load_id else 'unchanged'}", highlight=False)
        loads.append(loaded.load_id is not None)
    instruments = parse_instruments(sample.instruments.read_bytes(), source=str(sample.instruments))
    loads.append(_told("instruments", load_instruments(database, instruments, act=act), target))
    loads.append(_told("prices", load_prices(database, sample.prices, act=act), target))
    return any(loads)


def _told(kind: str, report: LoadReport, target: Console) -> bool:
    counts = report.files.values()
    added, unchanged = sum(one.added + one.changed for one in counts), sum(one.unchanged for one in counts)
    target.print(f"{kind:<11} {added:,} rows added, {unchanged:,} unchanged", highlight=False)
    return report.load_id is not None


def _ingest(database: Database, path: Path, source: str, target: Console) -> bool:
    from settlement.pipeline.ingest import ingest
    from settlement.pipeline.load_report import current_user
    from settlement.venues.reading import FillFile

    with target.status(f"taking in {path.name}"):
        report = ingest(
            database,
            FillFile(path=path),
            source=source,
            file=path.name,
            loaded_by=current_user(),
            now=datetime.now(UTC),
        )
    target.print(
        f"fills       {path.name}: {report.read:,} read, {report.stored:,} stored, {report.duplicate:,} duplicate,"
        f" {report.conflict} conflict, {report.quarantined} quarantined",
        highlight=False,
    )
    return report.stored > 0
