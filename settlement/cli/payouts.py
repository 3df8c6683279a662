"""`settlement payouts`: the instructions and where they stand."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.app import app

if TYPE_CHECKING:
    from settlement.payouts.planning import Payout

payouts_app = typer.Typer(help="Look at payout instructions.", no_args_is_help=True)
app.add_typer(payouts_app, name="payouts")


@payouts_app.callback()
def payouts() -> None:
    """Look at payout instructions."""


@payouts_app.command(name="list")
def list_command(
    *,
    status: Annotated[str | None, typer.Option(help="Only those of this status.")] = None,
    payee: Annotated[
        str | None, typer.Option(help="Only those to this payee: a broker_id, or client:VENUE:ACCOUNT.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the payout instructions, the oldest first."""
    from settlement.cli.output import print_json
    from settlement.payouts.planning import PayoutStatus
    from settlement.runtime import open_database
    from settlement.store.payouts import list_payouts

    names = [known.value for known in PayoutStatus]
    if status is not None and status not in names:
        raise typer.BadParameter(f"{status!r} is not one of {', '.join(names)}", param_hint="--status")
    with open_database() as database, database.transaction() as connection:
        found = list_payouts(connection, status=PayoutStatus(status) if status else None, payee=payee)
    if as_json:
        print_json([_document(payout) for payout in found])
        return
    for payout in found:
        destination = f"{payout.rail} {payout.address}" if payout.rail else "no address yet"
        typer.echo(f"{payout.payout_id}  {payout.status:<9}  {payout.amount:f} USDT  {payout.payee}  {destination}")
    typer.echo(f"{len(found):,} payouts")


def _document(payout: Payout) -> dict[str, Any]:
    """The instruction under the names of `settlement export payouts`."""
    document = asdict(payout)
    amount = document.pop("amount")
    return document | {"amount_usdt": f"{amount:f}"}
