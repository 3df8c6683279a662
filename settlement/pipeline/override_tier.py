"""Use case: give one root a tier by hand. An override beats reviews as long as it is in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from settlement.errors import InputRefused
from settlement.pipeline.registry_by_hand import ChangeReport, HandAct, RowByHand, store_row
from settlement.program.registry_changes import in_force, next_after, written
from settlement.store import loads, reviews
from settlement.store.database import Connection, Database
from settlement.store.registry_rows import is_known_broker, rows_of
from settlement.store.terms import terms_in_force

TIERS_FILE = "tiers.csv"


@dataclass(frozen=True, kw_only=True)
class TierOverride:
    """A row of tiers.csv, as it would be written there; without `ends` it holds until another one takes over."""

    broker_id: str
    tier: str
    begins: datetime
    ends: datetime | None = None


def override_tier(database: Database, asked: TierOverride, *, act: HandAct) -> ChangeReport:
    """Stores the override by the path of a load, with an entry in the audit log; one that stands already is nothing new.

    One that begins when a standing one of the broker does replaces it: so it is given an end, or another tier. Raises
    `InputRefused`, with nothing stored, as a load does, for a broker that is no root then, and for a tier that the terms do
    not have.
    """
    with database.transaction() as connection:
        loads.begin(connection)
        _refuse_not_a_root(connection, asked)
        _refuse_unknown_tier(connection, asked)
        rows = rows_of(connection, TIERS_FILE, {"broker_id": asked.broker_id})
        standing, later = in_force(rows, asked.begins), next_after(rows, asked.begins)
        by_hand = RowByHand(
            file=TIERS_FILE,
            row={
                "broker_id": asked.broker_id,
                "tier": asked.tier,
                "effective_from": asked.begins.isoformat(),
                "effective_to": asked.ends.isoformat() if asked.ends else "",
                "reason": act.reason,
            },
            act="tier.override",
            subject=asked.broker_id,
            before=standing.values if standing else None,
            takes_over=later.begins if later else None,
        )
        return store_row(connection, by_hand, act=act)


def _refuse_not_a_root(connection: Connection, asked: TierOverride) -> None:
    root = reviews.root_of(connection, asked.broker_id, at=asked.begins)
    if root == asked.broker_id:
        return
    if root is not None:
        raise InputRefused(
            f"it is under {root} at {written(asked.begins)}, and only a root's tier is ever asked for",
            where=f"tier {asked.broker_id}",
            mend=f"give the tier to {root}",
        )
    known = is_known_broker(connection, asked.broker_id)
    raise InputRefused(
        f"it is not in force at {written(asked.begins)}" if known else f"there is no broker {asked.broker_id}",
        where=f"tier {asked.broker_id}",
        mend="settlement brokers list shows which there are",
    )


def _refuse_unknown_tier(connection: Connection, asked: TierOverride) -> None:
    terms = terms_in_force(connection, asked.begins)
    if terms is None:
        return
    names = [tier.name for tier in terms.tiers]
    if asked.tier not in names:
        raise InputRefused(
            f"terms {terms.name} have no tier {asked.tier!r}",
            where=f"tier {asked.broker_id}",
            mend=f"write one of {', '.join(names)}",
        )
