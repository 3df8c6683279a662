"""`settlement summary`: what each window came to, who is owed what, and whether the ledger is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app

if TYPE_CHECKING:
    from rich.console import Console

    from settlement.ledger.verification import Report
    from settlement.reports.summary import Summary

PLAIN_WIDTH = 150


@app.command()
def summary(
    *,
    start: Annotated[str | None, typer.Option("--from", help="First window: RFC 3339.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the windows, itself left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the document instead of tables.")] = False,
) -> None:
    """Show windows, reasons, what is owed and instructed, and the ledger's audit, as they stand now."""
    from settlement.cli.output import console, print_json
    from settlement.cli.times import parse_time
    from settlement.pipeline.audit import verify_ledger
    from settlement.reports.summary import as_document, read_summary
    from settlement.runtime import open_database

    first = parse_time(start, option="--from") if start else None
    last = parse_time(end, option="--to") if end else None
    with open_database() as database:
        audit = verify_ledger(database)
        with database.transaction() as connection:
            read = read_summary(connection, start=first, end=last)
    if as_json:
        print_json(as_document(read, audit))
        return
    print_tables(console(plain_width=PLAIN_WIDTH), read, audit)


def print_tables(target: Console, read: Summary, audit: Report) -> None:
    """The four tables."""
    from settlement.reports import summary_tables as tables

    target.print(tables.windows_table(read, width=target.width))
    target.print(tables.reasons_table(read))
    target.print(tables.payees_table(read))
    target.print(tables.audit_table(audit))
