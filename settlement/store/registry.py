"""The registry in PostgreSQL: its tables, what stands on them, and what has to hold across their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from settlement.errors import InputRefused
from settlement.program.broker_tree import DEPTH_LIMIT, BrokerRow, Cycle, TooDeep, find_cycle, find_too_deep
from settlement.program.registry import CheckedFile
from settlement.store import fact_table
from settlement.store.fact_table import FactTable, Merged
from settlement.store.settled_past import Load, SettledPeriod, Standing, refuse_change, refuse_tree_change
from settlement.store.templates import run

CLIENT = ("venue", "account")

TABLES = {
    "brokers.csv": FactTable(
        name="broker",
        key=("broker_id",),
        ruling=("parent_id", "share", "status", "own_accounts"),
        other=("name", "model", "payout_rail", "payout_address"),
        ends="effective_to",
    ),
    "codes.csv": FactTable(name="broker_code", key=("code",), ruling=("broker_id",), ends="effective_to"),
    "clients.csv": FactTable(
        name="client_link",
        key=CLIENT,
        ruling=("broker_id", "affiliated", "account_class", "rebate_share"),
        other=("referral_code",),
        ends="effective_to",
    ),
    "vip_levels.csv": FactTable(name="vip_level", key=CLIENT, ruling=("level",), gap_is_pending=True),
    "fee_rates.csv": FactTable(name="fee_rate", key=(*CLIENT, "product", "liquidity"), ruling=("rate",)),
    "tiers.csv": FactTable(
        name="tier_override", key=("broker_id",), ruling=("tier",), other=("reason",), ends="effective_to"
    ),
    "overrides.csv": FactTable(
        name="broker_override",
        key=("broker_id", "kind", "product", "liquidity"),
        ruling=("value",),
        other=("reason",),
        ends="effective_to",
    ),
}

_OF_CLIENT = "l.venue = c.venue AND l.account = c.account"
_OF_BROKER = "b.broker_id = c.broker_id"
STANDINGS = {
    "brokers.csv": Standing(line=_OF_BROKER),
    "codes.csv": Standing(line="f.tag = c.code"),
    "clients.csv": Standing(line=_OF_CLIENT),
    "vip_levels.csv": Standing(line=_OF_CLIENT),
    "fee_rates.csv": Standing(line=f"{_OF_CLIENT} AND b.product = c.product AND f.liquidity = c.liquidity"),
    # A tier only decides what an earned line earns.
    "tiers.csv": Standing(line=_OF_BROKER, statuses=("earned",)),
    # An own rate or floor decides what an earned line of the root earns, a cap which lines earn; a minimum none of it.
    "overrides.csv": Standing(
        line="b.root = c.broker_id AND c.product IN (b.product, 'all') AND c.liquidity IN (f.liquidity, 'all')"
        " AND (c.kind = 'cap' OR c.kind IN ('rate', 'floor') AND b.status = 'earned')"
    ),
}
_ON_TREE = ("brokers.csv", "tiers.csv")


@dataclass(frozen=True, kw_only=True)
class UnknownBroker:
    """A broker that some rows name and that has no row of its own."""

    broker_id: str
    file: str
    row_number: int
    rows: int


def stage(connection: Connection, checked: CheckedFile) -> int:
    """Stages the good rows of a file; returns how many of them do not stand already."""
    table = TABLES[checked.file.file]
    fact_table.stage(connection, table, [checked.rows])
    return fact_table.drop_unchanged(connection, table)


def merge(connection: Connection, checked: CheckedFile, *, load_id: int) -> Merged:
    """Adds the staged rows of a file and marks those that they replace."""
    return fact_table.merge(connection, TABLES[checked.file.file], load_id=load_id)


def refuse_faulty_tree(connection: Connection, *, brokers_file: str) -> None:
    """Raises `InputRefused` if, as the rows now stand, a broker is ever its own ancestor or too deep in the tree."""
    rows = [
        BrokerRow(**row)
        for row in connection.execute(
            text("SELECT broker_id, parent_id, effective_from, effective_to FROM broker WHERE replaced_by_load IS NULL")
        ).mappings()
    ]
    if cycle := find_cycle(rows):
        raise InputRefused(
            f"brokers form a cycle from {cycle.at:%Y-%m-%dT%H:%M:%SZ} on: {_path((*cycle.brokers, cycle.brokers[0]))}",
            where=_row_of(connection, cycle, brokers_file),
            mend="give one of them another parent_id, or none",
        )
    if deep := find_too_deep(rows):
        raise InputRefused(
            f"broker {deep.brokers[0]} is at level {len(deep.brokers)} of the tree from {deep.at:%Y-%m-%dT%H:%M:%SZ} on,"
            f" of at most {DEPTH_LIMIT}: {_path((*deep.brokers[:2], '...', deep.brokers[-1]))}",
            where=_row_of(connection, deep, brokers_file),
            mend="give it, or one above it, another parent_id",
        )


def _path(brokers: Sequence[str]) -> str:
    return " under ".join(brokers)


def _row_of(connection: Connection, fault: Cycle | TooDeep, brokers_file: str) -> str:
    """The row of the load that is to blame, if any of it is."""
    query = text(
        "SELECT row_number FROM staged_broker WHERE broker_id = ANY (:brokers)"
        " ORDER BY effective_from = :at DESC, row_number LIMIT 1"
    )
    found = connection.execute(query, {"brokers": list(fault.brokers), "at": fault.at}).scalar_one_or_none()
    return brokers_file if found is None else f"{brokers_file} row {found}"


def refuse_settled_change(connection: Connection, checked: CheckedFile, *, load_id: int, period: SettledPeriod) -> None:
    """Raises `InputRefused` if the load changes what settled lines stand on."""
    file = checked.file.file
    refuse = refuse_tree_change if file in _ON_TREE else refuse_change
    load = Load(load_id=load_id, source=str(checked.path), period=period)
    refuse(connection, TABLES[file], standing=STANDINGS[file], load=load)


def unknown_brokers(connection: Connection, files: Sequence[CheckedFile]) -> list[UnknownBroker]:
    """The brokers that the stored rows name and that no standing row describes."""
    unknown = []
    for checked in files:
        table = TABLES[checked.file.file]
        named = "parent_id" if table.name == "broker" else "broker_id"
        if named not in (*table.key, *table.ruling):
            continue
        found = run(
            connection,
            "SELECT s.$named AS broker_id, min(s.row_number) AS row_number, count(*) AS rows FROM $staged s"
            " WHERE s.$named IS NOT NULL AND NOT EXISTS"
            " (SELECT FROM broker b WHERE b.broker_id = s.$named AND b.replaced_by_load IS NULL)"
            " GROUP BY s.$named ORDER BY 2",
            named=named,
            staged=table.staged,
        )
        unknown += [UnknownBroker(file=str(checked.path), **row) for row in found.mappings()]
    return unknown
