"""`settlement statements`: what a payee is told of a period, printed again digit for digit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.app import app
from settlement.cli.times import HOUR

if TYPE_CHECKING:
    from settlement.store.statements import Issued

FORMATS = ("text", "json")

statements_app = typer.Typer(help="Issue statements to payees, and print them again.", no_args_is_help=True)
app.add_typer(statements_app, name="statements")


@statements_app.callback()
def statements() -> None:
    """Issue statements to payees, and print them again."""


@statements_app.command()
def issue(
    payee: Annotated[str, typer.Argument(metavar="PAYEE", help="A broker_id, or client:VENUE:ACCOUNT.")],
    *,
    start: Annotated[str, typer.Option("--from", help="First window: RFC 3339, on the hour.")],
    end: Annotated[str, typer.Option("--to", help="End of the last window, itself left out; it has to be over.")],
    by: Annotated[str | None, typer.Option(help="Who issues it; if missing, the user of this process.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Issue a statement as of now: balances, what was earned, corrected, paid and held, and the lines behind it."""
    from settlement.cli.output import print_json
    from settlement.cli.times import parse_hours
    from settlement.pipeline.load_report import current_user
    from settlement.reports import issue_statement
    from settlement.runtime import open_database

    windows = parse_hours(start, end)
    with open_database() as database:
        issued, document = issue_statement.issue(
            database, payee=payee, start=windows[0], end=windows[-1] + HOUR, by=by or current_user()
        )
    if as_json:
        print_json(_document(issued))
        return
    payable = document["payable"]
    typer.echo(_in_one_line(issued))
    typer.echo(f"from {payable['opening_usdt']} to {payable['closing_usdt']} USDT payable; SHA-256 {issued.sha256}")
    typer.echo(f"print it: settlement statements show {issued.heading.statement_id}")


@statements_app.command(name="list")
def list_command(
    payee: Annotated[str | None, typer.Argument(metavar="[PAYEE]", help="Only the statements of this payee.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the statements that were issued, the oldest first."""
    from settlement.cli.output import print_json
    from settlement.runtime import open_database
    from settlement.store.statements import list_issued

    with open_database() as database, database.transaction() as connection:
        found = list_issued(connection, payee=payee)
    if as_json:
        print_json([_document(issued) for issued in found])
        return
    for issued in found:
        typer.echo(_in_one_line(issued))
    typer.echo(f"{len(found):,} statements")


@statements_app.command()
def show(
    statement_id: Annotated[int, typer.Argument(metavar="ID", help="The statement's number.")],
    *,
    file_format: Annotated[
        str, typer.Option("--format", help="text, or json: the bytes that the digest is of.")
    ] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Print a statement as it was issued, out of the books as of then; refused if they no longer say the same."""
    if file_format not in FORMATS:
        raise typer.BadParameter(f"{file_format!r} is not one of {', '.join(FORMATS)}", param_hint="--format")
    from settlement.cli.output import write_file
    from settlement.reports import issue_statement
    from settlement.reports.statement import as_json as as_json_bytes
    from settlement.reports.statement_words import in_words
    from settlement.runtime import open_database

    with open_database() as database:
        issued, document = issue_statement.print_again(database, statement_id)
    if as_json or file_format == "json":
        content = as_json_bytes(document)
    else:
        content = "".join(f"{line}\n" for line in in_words(document, sha256=issued.sha256)).encode()

    def write(sink: IO[bytes]) -> None:
        sink.write(content)
        sink.flush()

    if output is not None:
        write_file(output, write)
    else:
        write(sys.stdout.buffer)


def _document(issued: Issued) -> dict[str, Any]:
    from settlement.reports.plain_text import plain

    document: dict[str, Any] = plain({**vars(issued.heading), "sha256": issued.sha256})
    return document


def _in_one_line(issued: Issued) -> str:
    one = _document(issued)
    return (
        f"statement {one['statement_id']} for {one['payee']}, {one['period_start']} to {one['period_end']},"
        f" issued by {one['issued_by']} as of {one['as_of']}"
    )
