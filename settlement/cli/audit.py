"""`settlement audit`: what people did by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Annotated

import typer

from settlement.cli.app import app
from settlement.cli.output import write_file
from settlement.cli.times import parse_time

FORMATS = ("csv", "json")

audit_app = typer.Typer(help="The audit log: who did what by hand, when and why.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")


@audit_app.callback()
def audit() -> None:
    """The audit log: who did what by hand, when and why."""


@audit_app.command(name="export")
def export_command(  # noqa: PLR0913 - one parameter per option of the command
    *,
    file_format: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")] = "csv",
    start: Annotated[str | None, typer.Option("--from", metavar="T", help="Acts from then on.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="Until then, itself left out.")] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="TEXT", help='Only acts about it: a broker, a code, "VENUE ACCOUNT".')
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Write the audit log: number, time, who, act, subject, reason, what stood before and after, load."""
    chosen = "json" if as_json else file_format
    if chosen not in FORMATS:
        raise typer.BadParameter(f"{file_format!r} is not one of {', '.join(FORMATS)}", param_hint="--format")
    first = parse_time(start, option="--from") if start else None
    last = parse_time(end, option="--to") if end else None

    def write(sink: IO[bytes]) -> None:
        from settlement.reports.audit_export import export_audit
        from settlement.runtime import open_database

        with open_database() as database, database.transaction() as connection:
            export_audit(connection, start=first, end=last, subject=subject, file_format=chosen, sink=sink)
        sink.flush()

    if output is not None:
        write_file(output, write)
    else:
        write(sys.stdout.buffer)
