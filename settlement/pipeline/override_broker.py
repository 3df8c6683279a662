"""Use case: give one broker something of its own by hand: a rate, a floor, a cap, a smallest payout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from settlement.errors import InputRefused
from settlement.pipeline.registry_by_hand import ChangeReport, HandAct, RowByHand, store_row
from settlement.program.registry_changes import in_force, next_after, written
from settlement.rules.facts import ALL
from settlement.store import loads
from settlement.store.database import Connection, Database
from settlement.store.overrides import OF_ROOTS, OVERRIDES_FILE, is_root_within
from settlement.store.registry_rows import is_known_broker, rows_of


@dataclass(frozen=True, kw_only=True)
class Override:
    """A row of overrides.csv, as it would be written there; without `ends` it holds until another one takes over."""

    broker_id: str
    kind: str
    value: str
    begins: datetime
    ends: datetime | None = None
    product: str = ALL
    liquidity: str = ALL

    @property
    def key(self) -> Mapping[str, str]:
        """What identifies its history."""
        return {"broker_id": self.broker_id, "kind": self.kind, "product": self.product, "liquidity": self.liquidity}

    @property
    def subject(self) -> str:
        """How refusals and the audit log name it."""
        return " ".join(part for part in self.key.values() if part != ALL)


def override_broker(database: Database, asked: Override, *, act: HandAct) -> ChangeReport:
    """Stores the override by the path of a load, with an entry in the audit log; one that stands already is nothing new.

    One that begins when a standing one of its key does replaces it: so it is given an end, or another value. Raises
    `InputRefused`, with nothing stored, as a load does, and for a broker that nobody has described or, unless it is a
    minimum_payout, that is no root.
    """
    with database.transaction() as connection:
        loads.begin(connection)
        rows = rows_of(connection, OVERRIDES_FILE, asked.key)
        standing, later = in_force(rows, asked.begins), next_after(rows, asked.begins)
        by_hand = RowByHand(
            file=OVERRIDES_FILE,
            row={
                **asked.key,
                "value": asked.value,
                "effective_from": asked.begins.isoformat(),
                "effective_to": asked.ends.isoformat() if asked.ends else "",
                "reason": act.reason,
            },
            act="override.set",
            subject=asked.subject,
            before=standing.values if standing else None,
            takes_over=later.begins if later else None,
        )
        report = store_row(connection, by_hand, act=act)
        _refuse_idle(connection, asked)
        return report


def _refuse_idle(connection: Connection, asked: Override) -> None:
    where = f"override {asked.subject}"
    if not is_known_broker(connection, asked.broker_id):
        mend = "settlement brokers list shows which there are"
        raise InputRefused(f"there is no broker {asked.broker_id}", where=where, mend=mend)
    if asked.kind in OF_ROOTS and not is_root_within(connection, asked.broker_id, begins=asked.begins, ends=asked.ends):
        raise InputRefused(
            f"{asked.broker_id} is no root from {written(asked.begins)} on, and only a root's {asked.kind} is ever asked for",
            where=where,
            mend="give it to the root of the tree that it is in",
        )
