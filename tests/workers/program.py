"""A small broker program and four hours of fills, written straight into a database; and what settling them came to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import Connection, text

from settlement.store.database import Database

FIRST = datetime(2026, 3, 1, 6, tzinfo=UTC)
WINDOWS = [FIRST + timedelta(hours=number) for number in range(4)]
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)

TERMS = """
name = "test"
effective_from = 2025-01-01T00:00:00Z
entry_tier = "T1"
[eligibility]
max_vip = 5
excluded_account_classes = []
fee_discount = "exclude"
[pricing]
max_age_seconds = 3600
[review]
volume_window = "rolling_30d"
acquisition = "new_clients"
groups = "all"
[payout]
minimum = "0.01"
quantum = "0.01"
auto_approve_limit = "100"
hold_hours = 0
[[tiers]]
name = "T1"
min_volume = "0"
min_clients = 0
rates = { spot = "0.3", futures = "0.2", options = "0.1" }
"""

# Three roots (beta passes half on to gamma), and fills of a client of each, of an unknown client and of a VIP 6.
PROGRAM = """
INSERT INTO load (kind, source, loaded_by) VALUES ('registry', 'test', 'test');
INSERT INTO broker (broker_id, name, model, parent_id, share, status, effective_from, load_id) VALUES
    ('alpha', 'Alpha', 'api', NULL, NULL, 'active', :ago, 1), ('beta', 'Beta', 'api', NULL, NULL, 'active', :ago, 1),
    ('gamma', 'Gamma', 'api', 'beta', 0.5, 'active', :ago, 1), ('delta', 'Delta', 'oauth', NULL, NULL, 'active', :ago, 1);
INSERT INTO client_link (venue, account, broker_id, effective_from, load_id) VALUES
    ('okx', '1', 'alpha', :ago, 1), ('okx', '2', 'beta', :ago, 1), ('okx', '3', 'gamma', :ago, 1),
    ('okx', '4', 'delta', :ago, 1), ('okx', '6', 'alpha', :ago, 1);
INSERT INTO vip_level (venue, account, level, effective_from, load_id)
    SELECT 'okx', number::text, CASE number WHEN 6 THEN 6 ELSE 1 END, :ago, 1 FROM generate_series(1, 6) number;
INSERT INTO program_terms (name, effective_from, document, load_id) VALUES ('test', :ago, :terms, 1);
SELECT ensure_partitions('fill', '2026-03-01', '2026-03-01');
INSERT INTO fill (venue, account, bill_id, instrument, instrument_type, side, liquidity, price, size, fee,
                  fee_currency, executed_at, channel, load_id)
    SELECT 'okx', account::text, account || '-' || number, 'BTC-USDT', 'SPOT', 'buy', 'taker', 50000, 0.01,
           -0.123456789 * account - 0.001 * number, 'USDT', CAST(:first AS timestamptz) + number * interval '1 minute', 'api', 1
    FROM generate_series(1, 6) account, generate_series(0, 239) number;
INSERT INTO settlement_window (window_start)
    SELECT hour FROM generate_series(CAST(:first AS timestamptz), CAST(:first AS timestamptz) + interval '3 hours', '1 hour') hour
"""

HEADER_OF_CSV = (
    "venue,account,bill_id,trade_id,order_id,instrument,instrument_type,side,liquidity,price,size,fee,fee_currency,tag,"
    "executed_at"
)
FILL_COLUMNS_OF_CSV = ",t,o,BTC-USDT,SPOT,buy,taker,50000,0.01,-0.5,USDT,,2026-03-01T06:30:00Z"

RESULT = {
    "lines": """
        SELECT l.window_start, venue, account, bill_id, l.revision, broker_id, status, reason, net_fee_usdt, rate,
               commission_usdt FROM line l JOIN basis USING (basis_id)""",
    "shares": "SELECT window_start, venue, account, bill_id, payee, amount_usdt FROM line_share",
    # How a balance is cut into payouts follows the order in which windows are settled; what was earned does not.
    "earned": """
        SELECT chain, effective_at, account, direction, amount_usdt FROM entry JOIN posting USING (entry_id)
        WHERE kind = 'earned'""",
    # The sweep adds the hours that end while a test runs.
    "windows": "SELECT window_start, status, recheck FROM settlement_window WHERE window_start < '2026-04-01'",
    "runs": """
        SELECT window_start, revision, kind, closed_at IS NOT NULL AS closed FROM run WHERE window_start < '2026-04-01'""",
    "balances": "SELECT account, sum(balance_usdt) AS balance_usdt FROM balance GROUP BY account",
}


def load_program(database: Database, *, terms: str = TERMS, fills: bool = True) -> None:
    parameters = {"ago": LONG_AGO, "first": FIRST, "terms": terms}
    with database.transaction() as connection:
        for statement in PROGRAM.split(";\n"):
            if not fills and statement.startswith(("INSERT INTO fill ", "INSERT INTO settlement_window ")):
                continue
            connection.execute(
                text(statement), {name: value for name, value in parameters.items() if f":{name}" in statement}
            )


def result(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What settling came to, without the ids that depend on who came first."""
    with database.transaction() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(text(query))), key=repr)
            for name, query in RESULT.items()
        }


def statuses(database: Database) -> list[str]:
    """Of the program's windows; the sweep adds the hours that end while a test runs."""
    query = text("SELECT status FROM settlement_window WHERE window_start < '2026-04-01' ORDER BY window_start")
    with database.transaction() as connection:
        return list(connection.execute(query).scalars())


def shards(database: Database) -> list[tuple[int, str]]:
    with database.transaction() as connection:
        return [
            tuple(row) for row in connection.execute(text("SELECT run_id, root FROM run_shard ORDER BY run_id, root"))
        ]


def open_shards(database: Database) -> int:
    query = text("SELECT count(*) FROM run JOIN run_shard USING (run_id) WHERE closed_at IS NULL")
    with database.transaction() as connection:
        return int(connection.execute(query).scalar_one())


def fills(database: Database) -> int:
    with database.transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM fill")).scalar_one())


def ingested(database: Database) -> list[tuple[int, int]]:
    """What each load stored and found there already, in the order they were committed."""
    query = text("""
        SELECT (data->>'stored')::int, (data->>'duplicate')::int FROM outbox WHERE type = 'fills.ingested'
        ORDER BY outbox_id
    """)
    with database.transaction() as connection:
        return [tuple(row) for row in connection.execute(query)]


def waits_for_lock(superuser: psycopg.Connection) -> bool:
    query = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return superuser.execute(query).fetchone() is not None


def waiting_windows(connection: Connection) -> list[datetime]:
    return list(connection.execute(text("SELECT window_start FROM settlement_window ORDER BY 1")).scalars())


def unfinished(database: Database) -> bool:
    query = text(
        "SELECT EXISTS (SELECT FROM settlement_window WHERE status NOT IN ('settled', 'incomplete') OR recheck)"
    )
    with database.transaction() as connection:
        return bool(connection.execute(query).scalar_one())
