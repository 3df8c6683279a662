"""The second opinion in SQL against the worked example, value for value."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from settlement.pipeline.audit import verify_ledger
from settlement.store.database import Database
from settlement.store.rerating import prepare, rerate
from tests.store.random_world import RandomWorld
from tests.store.small_world import settle_hour
from tests.store.worked_example import load_worked_example, rows_of

AMOUNTS = ("net_fee_usdt", "rate", "commission_usdt", "price_usdt", "notional_usdt")

ASK_EVERY_FILL = """
INSERT INTO rerate_asked (window_start, venue, account, bill_id, known_at)
SELECT date_trunc('hour', executed_at, 'UTC'), venue, account, bill_id, now() FROM fill
"""


@pytest.fixture
def worked(superuser: psycopg.Connection, shared_dir: Path) -> Path:
    folder = shared_dir / "examples" / "worked"
    load_worked_example(superuser, folder)
    return folder


@pytest.fixture
def rerated(database: Database, worked: Path) -> Iterator[list[dict[str, Any]]]:  # noqa: ARG001 - loads what is rated
    with database.transaction() as connection:
        cursor = connection.connection.driver_connection.cursor()
        prepare(cursor)
        cursor.execute(ASK_EVERY_FILL)
        rerate(cursor)
        cursor.row_factory = dict_row
        cursor.execute("SELECT * FROM rerate_outcome JOIN rerate_asked USING (n)")
        yield cursor.fetchall()


@pytest.mark.shared
def test_every_line_of_the_worked_example_comes_out_as_expected(rerated: list[dict[str, Any]], worked: Path) -> None:
    expected = {(row["account"], row["bill_id"]): _expected(row) for row in rows_of(worked / "expected_lines.csv")}
    computed = {(row["account"], row["bill_id"]): _computed(row) for row in rerated}
    assert len(computed) == 400
    assert computed == expected


@pytest.mark.shared
def test_every_share_of_the_worked_example_comes_out_as_expected(rerated: list[dict[str, Any]], worked: Path) -> None:
    expected = {
        (row["account"], row["bill_id"], row["payee"]): Decimal(row["amount_usdt"])
        for row in rows_of(worked / "expected_shares.csv")
    }
    computed = {
        (row["account"], row["bill_id"], share.rpartition("=")[0]): Decimal(share.rpartition("=")[2])
        for row in rerated
        for share in row["shares"]
    }
    assert len(computed) == 160
    assert computed == expected


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        ("0.0000000000005", "0.000000000000"),
        ("0.0000000000015", "0.000000000002"),
        ("0.0000000000025", "0.000000000002"),
        ("0.00000000000250001", "0.000000000003"),
        ("-0.0000000000025", "-0.000000000002"),
        ("-0.0000000000035", "-0.000000000004"),
        ("7", "7"),
        ("123456789012345678.1234567890125", "123456789012345678.123456789012"),
    ],
)
def test_half_even_goes_to_the_even_neighbour(superuser: psycopg.Connection, amount: str, rounded: str) -> None:
    row = superuser.execute("SELECT round_half_even(%s::numeric)", [amount]).fetchone()
    assert row == (Decimal(rounded),)


def _expected(row: dict[str, str]) -> dict[str, Any]:
    return {
        "broker": row["broker_id"],
        "status": row["status"],
        "reason": row["reason"],
        "product": row["product"],
        "tier": row["tier"],
        "flags": row["flags"],
        **{name: Decimal(row[name]) if row[name] else None for name in AMOUNTS},
    }


def _computed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "broker": row["broker_id"] or "",
        "status": row["status"],
        "reason": row["reason"],
        "product": row["product"],
        "tier": row["tier"] or "",
        "flags": "TAG_OVERRIDES_LINK" if row["tag_overrides_link"] else "",
        **{name: row[name] if row["status"] == "earned" else None for name in AMOUNTS},
    }


@pytest.mark.parametrize("seed", [6, 10, 13])
def test_the_two_ratings_agree_on_any_world(database: Database, superuser: psycopg.Connection, seed: int) -> None:
    RandomWorld(superuser, seed).load(fills=1_500)
    settle_hour(database)
    check = next(
        check for check in verify_ledger(database, sample=None).checks if check.name == "lines re-rate to the same"
    )
    assert check.examined == 1_500
    assert check.findings == ()
