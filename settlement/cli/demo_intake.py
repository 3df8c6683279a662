"""The demonstration's intake: facts and fills, by the use cases that the commands call.

Two feeds are files. The third is the exchange's: its instruments are asked for, and its fills pulled, over HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from settlement.cli.demo_exchange import Exchange
    from settlement.pipeline.ingest import IngestReport
    from settlement.pipeline.load_report import LoadReport
    from settlement.sample.world import Sample
    from settlement.store.database import Database
    from settlement.supervisor import Group

PULLED = "okx"


def take_in(database: Database, sample: Sample, target: Console) -> bool:
    """Loads the facts and the files, and prints a line for each; True if anything of it was new."""
    facts_are_new = _load_facts(database, sample, target)
    fills_are_new = False
    for source, paths in sample.fills.items():
        for path in paths if source != PULLED else ():
            fills_are_new = _ingest(database, path, source, target) or fills_are_new
    return facts_are_new or fills_are_new


def pull_in(database: Database, sample: Sample, target: Console, *, exchange: Exchange, group: Group) -> bool:
    """The same for what comes over HTTP: accounts added, instruments, the sample day's fills."""
    with target.status("waiting for the sandbox exchange"):
        joined = exchange.join(database, group)
    target.print(f"accounts    okx at {joined}", highlight=False)
    instruments_are_new = _told("instruments", exchange.load_instruments(database), target, source="okx over HTTP: ")
    with target.status(f"pulling the sample day of {len(exchange.accounts)} accounts"):
        report = exchange.pull_day(database, start=sample.start, end=sample.end)
    if report.pages:
        _tell_fills("okx over HTTP", report.counts, target)
    else:
        target.print("fills       okx over HTTP: the day was pulled before", highlight=False)
    return instruments_are_new or report.counts.stored > 0


def _load_facts(database: Database, sample: Sample, target: Console) -> bool:
    from settlement.pipeline.load_instruments import load_instruments
    from settlement.pipeline.load_prices import load_prices
    from settlement.pipeline.load_registry import load_registry
    from settlement.pipeline.load_report import Act, current_user
    from settlement.pipeline.load_terms import load_terms, read_document
    from settlement.venues.okx.instruments import parse_instruments

    act = Act(loaded_by=current_user())
    loads = [_told("registry", [load_registry(database, sample.registry, act=act)], target)]
    for path in sample.terms:
        document, source = read_document(str(path))
        loaded = load_terms(database, document, source=source, act=act)
        target.print(f"terms       {path.name}: {'loaded' if loaded.load_id else 'unchanged'}", highlight=False)
        loads.append(loaded.load_id is not None)
    instruments = parse_instruments(sample.instruments.read_bytes(), source=str(sample.instruments))
    loads.append(_told("instruments", [load_instruments(database, instruments, act=act)], target))
    loads.append(_told("prices", [load_prices(database, sample.prices, act=act)], target))
    return any(loads)


def _told(kind: str, reports: Sequence[LoadReport], target: Console, *, source: str = "") -> bool:
    counts = [counts for report in reports for counts in report.files.values()]
    added, unchanged = sum(one.added + one.changed for one in counts), sum(one.unchanged for one in counts)
    target.print(f"{kind:<11} {source}{added:,} rows added, {unchanged:,} unchanged", highlight=False)
    return any(report.load_id is not None for report in reports)


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
    _tell_fills(path.name, report, target)
    return report.stored > 0


def _tell_fills(name: str, report: IngestReport, target: Console) -> None:
    target.print(
        f"fills       {name}: {report.read:,} read, {report.stored:,} stored, {report.duplicate:,} duplicate,"
        f" {report.conflict} conflict, {report.quarantined} quarantined",
        highlight=False,
    )
