"""The design's worked example comes out of the rules, and of the reference, value for value.

Computed apart from the product: a registry, two versions of the terms (the second takes over in mid-window),
instruments, prices with a hole in them, and 400 fills.
"""

from __future__ import annotations

import csv
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from settlement.program.terms import parse_terms
from tests.rules.outcomes import settled
from tests.rules.reference import Line, Row, World, settle_one

pytestmark = pytest.mark.shared

AMOUNTS = ("net_fee_usdt", "rate", "commission_usdt", "notional_usdt")
TEXTS = ("broker_id", "status", "reason", "product", "tier", "flags")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def worked(shared_dir: Path) -> Path:
    return shared_dir / "examples" / "worked"


@pytest.fixture(scope="module")
def world(worked: Path) -> World:
    registry = {path.stem: rows_of(path) for path in (worked / "registry").glob("*.csv")}
    for row in registry["vip_levels"]:
        row["level"] = "0" if row["level"].startswith("Lv") else re.sub(r"\D", "", row["level"])
    terms = [
        parse_terms((worked / f"terms-{number}.toml").read_text(), source=f"terms {number}", terms_id=number)
        for number in (1, 2)
    ]
    return World(terms=tuple(terms), instruments=instruments(worked), prices=rows_of(worked / "prices.csv"), **registry)


def instruments(worked: Path) -> list[Row]:
    return [
        {
            "venue": "okx",
            "effective_from": "1970-01-01T00:00:00Z",
            "instrument": row["instId"],
            "instrument_type": row["instType"],
            "contract_type": row["ctType"],
            "contract_value": row["ctVal"],
            "contract_multiplier": row["ctMult"],
            "contract_value_currency": row["ctValCcy"],
            "settle_currency": row["settleCcy"],
            "quote_currency": row["quoteCcy"],
        }
        for row in json.loads((worked / "instruments.json").read_text())["data"]
    ]


@pytest.fixture(scope="module")
def fills(worked: Path) -> dict[tuple[str, str], Row]:
    """The fills by account and bill id: exact duplicates are one fill."""
    return {(row["account"], row["bill_id"]): row for row in rows_of(worked / "fills.csv")}


@pytest.fixture(scope="module")
def lines(fills: dict[tuple[str, str], Row], world: World) -> dict[tuple[str, str], Line]:
    return dict(zip(fills, settled(list(fills.values()), world), strict=True))


def test_every_line_is_as_expected(lines: dict[tuple[str, str], Line], world: World, worked: Path) -> None:
    expected = {(row["account"], row["bill_id"]): row for row in rows_of(worked / "expected_lines.csv")}
    assert lines.keys() == expected.keys()
    for key, row in expected.items():
        line = lines[key]
        assert {name: getattr(line, name) or "" for name in TEXTS} == {name: row[name] for name in TEXTS}, key
        amounts = {name: Decimal(row[name]) if row[name] else None for name in AMOUNTS}
        assert {name: getattr(line, name) for name in AMOUNTS} == amounts, key
        assert _price(line, world) == (Decimal(row["price_usdt"]) if row["price_usdt"] else None), key


def test_every_share_is_as_expected(lines: dict[tuple[str, str], Line], worked: Path) -> None:
    expected = {
        (row["account"], row["bill_id"], row["payee"]): Decimal(row["amount_usdt"])
        for row in rows_of(worked / "expected_shares.csv")
    }
    shares = {(*key, payee): amount for key, line in lines.items() for payee, amount in line.shares.items()}
    assert shares == expected


def test_the_reference_says_the_same(
    lines: dict[tuple[str, str], Line], fills: dict[tuple[str, str], Row], world: World
) -> None:
    assert {key: settle_one(fill, world) for key, fill in fills.items()} == lines


def _price(line: Line, world: World) -> Decimal | None:
    if line.status != "earned":
        return None
    return Decimal(world.prices[line.price_id - 1]["price_usdt"]) if line.price_id else Decimal(1)
