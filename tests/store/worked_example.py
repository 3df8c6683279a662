"""The worked example put straight into the tables, past the product's own loaders."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

FILL_COLUMNS = (
    *("venue", "account", "bill_id", "trade_id", "order_id", "instrument", "instrument_type", "side", "liquidity"),
    *("price", "size", "fee", "fee_currency", "tag", "executed_at", "client_order_id", "fee_rate", "fee_rebate"),
    *("fee_discount", "channel", "sub_type"),
)
PERIOD = ("effective_from", "effective_to")


def moment(value: str) -> datetime | None:
    if not value:
        return None
    if value.isdigit():
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(value))
    return datetime.fromisoformat(value)


def load_worked_example(connection: psycopg.Connection, folder: Path) -> None:
    """Everything but the expected results; a fill that stands twice is stored once."""
    load_registry(connection, folder / "registry")
    load_id = new_load(connection, "terms")
    for name in ("terms-1.toml", "terms-2.toml"):
        document = (folder / name).read_text()
        terms = tomllib.loads(document)
        connection.execute(
            "INSERT INTO program_terms (name, effective_from, document, load_id) VALUES (%s, %s, %s, %s)",
            [terms["name"], terms["effective_from"], document, load_id],
        )
    load_instruments(connection, folder / "instruments.json")
    load_id = new_load(connection, "prices")
    prices = [
        {"currency": row["currency"], "ts": moment(row["ts"]), "price_usdt": row["price_usdt"], "load_id": load_id}
        for row in rows_of(folder / "prices.csv")
    ]
    insert(connection, "price", prices)
    load_fills(connection, rows_of(folder / "fills.csv"))


def load_registry(connection: psycopg.Connection, folder: Path) -> None:
    load_id = new_load(connection, "registry")
    for file, table in (("brokers", "broker"), ("codes", "broker_code"), ("clients", "client_link"),
                        ("vip_levels", "vip_level"), ("fee_rates", "fee_rate"), ("tiers", "tier_override")):  # fmt: skip
        insert(connection, table, [_fact(row) | {"load_id": load_id} for row in rows_of(folder / f"{file}.csv")])


def load_instruments(connection: psycopg.Connection, file: Path) -> None:
    load_id = new_load(connection, "instruments")
    columns = {
        "instrument": "instId", "instrument_type": "instType", "contract_type": "ctType", "contract_value": "ctVal",
        "contract_multiplier": "ctMult", "contract_value_currency": "ctValCcy", "settle_currency": "settleCcy",
        "base_currency": "baseCcy", "quote_currency": "quoteCcy",
    }  # fmt: skip
    insert(
        connection,
        "instrument",
        [
            {"venue": "okx", "effective_from": datetime(1970, 1, 1, tzinfo=UTC), "load_id": load_id}
            | {column: row[name] or None for column, name in columns.items()}
            for row in json.loads(file.read_text())["data"]
        ],
    )


def load_fills(connection: psycopg.Connection, rows: Iterable[Mapping[str, str]]) -> None:
    load_id = new_load(connection, "fills")
    fills = {}
    for row in rows:
        fill: dict[str, Any] = {name: row.get(name) or None for name in FILL_COLUMNS} | {"load_id": load_id}
        fill["executed_at"] = moment(row["executed_at"])
        fill["channel"] = None if fill["channel"] == "unknown" else fill["channel"]
        fills[row["venue"], row["account"], row["bill_id"]] = fill
    days = [fill["executed_at"].date() for fill in fills.values()]
    connection.execute("SELECT ensure_partitions('fill', %s, %s)", [min(days), max(days)])
    insert(connection, "fill", list(fills.values()))


def new_load(connection: psycopg.Connection, kind: str) -> int:
    insertion = "INSERT INTO load (kind, source, loaded_by) VALUES (%s, 'worked example', 'test') RETURNING load_id"
    row = connection.execute(insertion, [kind]).fetchone()
    assert row is not None
    return int(row[0])


def insert(connection: psycopg.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    values = ", ".join(f"%({name})s" for name in names)
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})", rows)  # noqa: S608 - names of this file


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as handle:
        return list(csv.DictReader(handle))


def _fact(row: Mapping[str, str]) -> dict[str, Any]:
    fact: dict[str, Any] = {name: value or None for name, value in row.items()}
    fact |= {name: moment(row[name]) for name in PERIOD if name in row}
    if "own_accounts" in fact:
        fact["own_accounts"] = [account for account in row["own_accounts"].split(";") if account]
    if "affiliated" in fact:
        fact["affiliated"] = row["affiliated"] == "true"
    if "level" in fact:
        name = row["level"].replace(" ", "").lower()
        fact["level"] = 0 if name.startswith("lv") else int(name.removeprefix("vip"))
    return fact
