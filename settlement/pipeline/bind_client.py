"""Use case: bind a client who gave a referral code to the code's broker.

All that decides is read under the lock of loads, so of two that bind at once the second sees what the first has done: a
client is bound once, and a limit is never exceeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from settlement.pipeline import referrals as codes
from settlement.pipeline.registry_by_hand import ChangeReport, HandAct, RowByHand, store_row
from settlement.program.referrals import Bind, check_bind, is_bound, link_row
from settlement.program.registry_changes import in_force, next_after
from settlement.store import loads, referrals
from settlement.store.database import Connection, Database
from settlement.store.registry_rows import rows_of

CLIENTS = "clients.csv"


@dataclass(frozen=True, kw_only=True)
class Given:
    """A client, the code that he gave (any text of it), and from when on he is its broker's."""

    venue: str
    account: str
    code: str
    at: datetime


def bind_client(database: Database, given: Given, *, act: HandAct, again: bool = False) -> ChangeReport:
    """Writes the client's link; nothing new if it says that already.

    Raises `Refused`, with nothing stored, for what settlement/program/referrals.py states, and as a load does; `again` allows
    a client to be bound who has, or had, a link.
    """
    with database.transaction() as connection:
        loads.begin(connection)
        bind = _read(connection, given, again=again)
        standing = in_force(bind.links, bind.at) or next(reversed(bind.links), None)
        before = standing.values if standing else None
        act_name = "client.rebind" if again and bind.links else "client.bind"
        subject = f"{given.venue} {given.account}"
        if is_bound(bind):
            return ChangeReport(act=act_name, subject=subject, before=before, after=before)
        check_bind(bind)
        later = next_after(bind.links, bind.at)
        by_hand = RowByHand(
            file=CLIENTS,
            row=link_row(bind),
            act=act_name,
            subject=subject,
            before=before,
            takes_over=later.begins if later else None,
        )
        return store_row(connection, by_hand, act=act)


def _read(connection: Connection, given: Given, *, again: bool) -> Bind:
    code = codes.find(connection, given.code)
    return Bind(
        venue=given.venue,
        account=given.account,
        at=given.at,
        code=code,
        upline=referrals.upline(connection, code.broker_id, at=given.at),
        links=rows_of(connection, CLIENTS, {"venue": given.venue, "account": given.account}),
        again=again,
    )
