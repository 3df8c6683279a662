"""`settlement explain`: every step of one line, or every version of it."""

from __future__ import annotations

from typing import Annotated

import typer

from settlement.cli.app import app


@app.command()
def explain(
    venue: Annotated[str, typer.Argument(metavar="VENUE", help="The exchange, as in the fill: okx.")],
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The client's user id there.")],
    bill_id: Annotated[str, typer.Argument(metavar="BILL_ID", help="The fill's id within the account.")],
    *,
    history: Annotated[
        bool, typer.Option("--history", help="Each version of the line instead, its run, and why it came about.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the document instead of words.")] = False,
) -> None:
    """Show every step of one line: the rule, the numbers, the version of each input, the entries that hold it."""
    from settlement.cli.output import print_json
    from settlement.reports import explain as explaining
    from settlement.reports import explain_words, history_words
    from settlement.reports import history as histories
    from settlement.runtime import open_database

    tell, in_words = (
        (histories.history, history_words.in_words) if history else (explaining.explain, explain_words.in_words)
    )
    with open_database() as database, database.transaction() as connection:
        document = tell(connection, venue, account, bill_id)
    if as_json:
        print_json(document)
        return
    for line in in_words(document):
        typer.echo(line)
