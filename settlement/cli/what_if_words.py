"""A what-if in words, as a document and as files."""

from __future__ import annotations

import csv as csv_format
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from settlement.cli.output import console, print_json
from settlement.reports.plain_text import plain
from settlement.store.what_if import what_if_of
from settlement.store.what_if_report import PARTS, parts, totals

if TYPE_CHECKING:
    from settlement.store.database import Database

ROWS_SHOWN = 20

# What each part is called, and what of it fits a screen; everything is in the document and in the files.
TITLES = {
    "brokers": ("Per root and broker", ("root", "broker_id", "lines", "commission_usdt", "stands_commission_usdt", "difference_usdt")),
    "tiers": ("Per tier", ("tier", "lines", "net_fee_usdt", "commission_usdt", "stands_commission_usdt", "difference_usdt")),
    "winners": ("Winners", ("payee", "amount_usdt", "stands_usdt", "difference_usdt", "difference_percent")),
    "losers": ("Losers", ("payee", "amount_usdt", "stands_usdt", "difference_usdt", "difference_percent")),
    "reviews": ("Tiers", ("effective_from", "broker_id", "tier", "override", "stands", "volume_usdt", "clients", "next_tier", "gap")),
    "reasons": ("Lines by outcome", ("status", "reason", "lines", "stands_lines", "difference")),
    "moves": ("Lines that move", ("from_status", "from_reason", "to_status", "to_reason", "lines", "commission_usdt")),
}  # fmt: skip


def print_what_if(database: Database, what_if_id: int, *, as_json: bool, csv: Path | None) -> None:
    """Prints the whole what-if as far as it is settled; with `csv`, writes its parts into that directory too."""
    document = _document(database, what_if_id)
    if csv is not None:
        _write(csv, document)
    if as_json:
        print_json(document)
        return
    for line in _head(document):
        typer.echo(line)
    target = console()
    for name, (title, columns) in TITLES.items():
        if document[name]:
            target.print(_table(title, columns, document[name]))
    typer.echo(_foot(document))


def _document(database: Database, what_if_id: int) -> dict[str, Any]:
    with database.transaction() as connection:
        asked = asdict(what_if_of(connection, what_if_id))
        found = {**asked, "totals": totals(connection, what_if_id), **parts(connection, what_if_id)}
    document: dict[str, Any] = plain(found)
    return document


def _head(document: dict[str, Any]) -> list[str]:
    sums = document["totals"]
    about = f", broker {document['broker_id']} and below" if document["broker_id"] else ""
    percent = f" ({sums['difference_percent']} %)" if sums["difference_percent"] is not None else ""
    done = "" if document["done_at"] else f"{sums['stretches_done']:,} of {sums['stretches']:,} stretches settled, "
    figures = f"net fee {sums['net_fee_usdt']} USDT, volume {sums['volume_usdt']} USDT"
    stands = (
        f"as it stands {sums['stands_commission_usdt']} USDT: a difference of {sums['difference_usdt']} USDT{percent}"
    )
    return [
        f"what-if {document['what_if_id']}: {document['range_start']} to {document['range_end']}{about}, under {', '.join(document['terms'])}",
        *(f"note: {note}" for note in document["notes"]),
        *([_unsettled(sums["windows_unsettled"])] if sums["windows_unsettled"] else []),
        f"{done}{sums['fills']:,} fills: {sums['lines']:,} lines earn, as it stands {sums['stands_lines']:,}; {figures}",
        f"cost to the operator: {sums['commission_usdt']} USDT, {stands}",
    ]


def _unsettled(windows: int) -> str:
    were = "1 window was" if windows == 1 else f"{windows:,} windows were"
    return f"note: {were} not settled; what stands of them is what had been settled by then"


def _foot(document: dict[str, Any]) -> str:
    again = f"settlement terms simulated {document['what_if_id']}"
    if not document["done_at"]:
        return f"it is not done; look again in a while: {again}"
    return f"nothing of the books was written; shown again within a day by: {again}"


def _table(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> Table:
    shown = f" (the first {ROWS_SHOWN} of {len(rows):,}; all with --json or --csv)" if len(rows) > ROWS_SHOWN else ""
    table = Table(*(name.replace("_", " ") for name in columns), title=title + shown, title_justify="left")
    for row in rows[:ROWS_SHOWN]:
        table.add_row(*(_words(row[name]) for name in columns))
    return table


def _words(value: Any) -> str:
    """One cell; a gap is what is missing in each group."""
    if isinstance(value, dict):
        return "; ".join(
            f"{group}: {gap['volume_usdt']} USDT, {gap['clients']} clients" for group, gap in value.items()
        )
    return "" if value is None else str(value)


def _write(directory: Path, document: dict[str, Any]) -> None:
    """One file a part, empty where it has no rows, and totals.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        _write_rows(directory / f"{name}.csv", document[name])
    _write_rows(directory / "totals.csv", [document["totals"]])


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as sink:
        if rows:
            writer = csv_format.writer(sink, lineterminator="\n")
            writer.writerow(rows[0])
            writer.writerows([_words(value) for value in row.values()] for row in rows)
