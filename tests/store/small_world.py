"""A program small enough to know by heart, put straight into the tables: two trees, three clients, eight fills.

alpha            root, own account okx:900           code alphaTAG
  alpha-1        receives 0.4 of what alpha does     client 101 (rebate 0.1), client 102
beta             root                                client 201
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

from settlement.pipeline.settle import settle_window
from settlement.store.database import Database
from tests.store.worked_example import insert, load_fills, new_load

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = datetime(2026, 3, 2, 6, tzinfo=UTC)
TERMS = """
name = "small"
effective_from = 2026-01-01T00:00:00Z
entry_tier = "T1"
[eligibility]
max_vip = 5
[pricing]
max_age_seconds = 3600
[review]
volume_window = "rolling_30d"
acquisition = "new_clients"
groups = "all"
[payout]
minimum = "1"
quantum = "0.000001"
auto_approve_limit = "2.5"
hold_hours = 0
[[tiers]]
name = "T1"
min_volume = "0"
min_clients = 0
rates = { spot = "0.25", futures = { maker = "0.2", taker = "0.3", affiliated_taker = "0.05" } }
[[tiers]]
name = "T2"
min_volume = "1000"
min_clients = 1
rates = { spot = "0.35", futures = { maker = "0.3", taker = "0.4" } }
"""

# account, bill_id, instrument, type, price, size, fee, currency, tag
FILLS = """
101  1  BTC-USDT       SPOT  60000.5  0.01     -0.60000500    USDT  -
101  2  BTC-USDT       SPOT  60000.1  0.3333   -0.0003333     BTC   -
102  3  BTC-USDT-SWAP  SWAP  60001    7        -2.10003500    USDT  -
102  4  BTC-USDT-SWAP  SWAP  60001    7         0.42000700    USDT  -
201  5  BTC-USDT       SPOT  60000    0.02     -12.0          USDT  -
201  6  BTC-USDT       SPOT  60000    0.02     -1.2           USDT  alphaTAG
301  7  BTC-USDT       SPOT  60000    0.02     -1.2           USDT  -
201  8  DOGE-USDT      SPOT  0.1      1000     -1             DOGE  -
"""


def load_small_world(connection: psycopg.Connection) -> None:
    """Brokers, codes, links, VIP levels, terms, instruments, prices and fills of one hour."""
    registry = new_load(connection, "registry")
    since = {"effective_from": START, "load_id": registry}
    broker = {"name": "n", "model": "api", "status": "active", "payout_rail": None, "payout_address": None} | since
    root = broker | {"parent_id": None, "share": None, "own_accounts": []}
    insert(
        connection,
        "broker",
        [
            root | {"broker_id": "alpha", "own_accounts": ["okx:900"], "payout_rail": "okx", "payout_address": "uid 1"},
            root | {"broker_id": "beta"},
            root | {"broker_id": "alpha-1", "parent_id": "alpha", "share": Decimal("0.4")},
        ],
    )
    insert(connection, "broker_code", [{"code": "alphaTAG", "broker_id": "alpha"} | since])
    clients: list[tuple[str, str, Decimal | None]] = [
        ("101", "alpha-1", Decimal("0.1")),
        ("102", "alpha-1", None),
        ("201", "beta", None),
    ]
    insert(
        connection,
        "client_link",
        [{"venue": "okx", "account": a, "broker_id": b, "rebate_share": r} | since for a, b, r in clients],
    )
    insert(
        connection, "vip_level", [{"venue": "okx", "account": account, "level": 1} | since for account, _, _ in clients]
    )
    connection.execute(
        "INSERT INTO program_terms (name, effective_from, document, load_id) VALUES ('small', %s, %s, %s)",
        [START, TERMS, new_load(connection, "terms")],
    )
    _load_market(connection)
    load_fills(connection, [_fill(*line.split()) for line in FILLS.strip().splitlines()])


def add_price(connection: psycopg.Connection, currency: str, price: str, *, ts: datetime = HOUR) -> None:
    row = {"currency": currency, "ts": ts, "price_usdt": Decimal(price), "load_id": new_load(connection, "prices")}
    insert(connection, "price", [row])


def settle_hour(database: Database) -> int:
    """Settles HOUR; returns the run."""
    opened = settle_window(database, HOUR, now=datetime.now(UTC))
    assert opened is not None
    return opened.run_id


def _load_market(connection: psycopg.Connection) -> None:
    row: dict[str, Any] = {"venue": "okx", "effective_from": START, "load_id": new_load(connection, "instruments")}
    swap = {
        "contract_type": "linear",
        "contract_value": 1,
        "contract_multiplier": Decimal("0.01"),
        "settle_currency": "USDT",
    }
    insert(connection, "instrument", [row | {"instrument": "BTC-USDT-SWAP", "instrument_type": "SWAP"} | swap])
    add_price(connection, "BTC", "60000.25", ts=HOUR - timedelta(minutes=10))


def _fill(  # noqa: PLR0913, PLR0917 - the columns of the table above
    account: str, bill: str, instrument: str, kind: str, price: str, size: str, fee: str, currency: str, tag: str
) -> dict[str, str]:
    return {
        "venue": "okx",
        "account": account,
        "bill_id": bill,
        "instrument": instrument,
        "instrument_type": kind,
        "side": "buy",
        "liquidity": "taker",
        "price": price,
        "size": size,
        "fee": fee,
        "fee_currency": currency,
        "tag": "" if tag == "-" else tag,
        "channel": "api",
        "executed_at": (HOUR + timedelta(minutes=int(bill))).isoformat(),
    }
