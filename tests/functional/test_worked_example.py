"""The design's worked example, through the commands: exactly the expected lines and shares, however the fills come."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from tests.functional.commands import exported, run

pytestmark = [pytest.mark.shared, pytest.mark.usefixtures("configured")]
RANGE = ("--from", "2026-09-14T06:00:00Z", "--to", "2026-09-14T10:00:00Z")
AMOUNTS = {"net_fee_usdt", "rate", "commission_usdt", "price_usdt", "notional_usdt", "amount_usdt", "balance_usdt"}


@pytest.fixture
def worked(shared_dir: Path) -> Path:
    return shared_dir / "examples" / "worked"


def load_facts(worked: Path) -> None:
    run("init")
    run("registry", "load", worked / "registry")
    run("terms", "load", worked / "terms-1.toml")
    run("terms", "load", worked / "terms-2.toml")
    run("instruments", "load", worked / "instruments.json")
    run("prices", "load", worked / "prices.csv")


def by_value(rows: list[dict[str, str]], columns: list[str]) -> list[tuple[object, ...]]:
    return sorted(
        tuple(Decimal(row[name]) if name in AMOUNTS and row[name] else row[name] for name in columns) for row in rows
    )


def expected(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    with path.open() as file:
        reader = csv.DictReader(file)
        return list(reader), list(reader.fieldnames or [])


def as_given(worked: Path, _into: Path) -> list[Path]:
    return [worked / "fills.csv"]


def shuffled_over_seven_files(worked: Path, into: Path) -> list[Path]:
    """Shuffled, and each file begins with the last rows of the one before."""
    header, *rows = (worked / "fills.csv").read_text().splitlines()
    random.Random(7).shuffle(rows)  # noqa: S311 - a fixed order, not a secret
    size = len(rows) // 7 + 1
    paths = []
    for number in range(7):
        part = rows[max(0, number * size - 20) : (number + 1) * size]
        paths.append(into / f"part-{number}.csv")
        paths[-1].write_text("\n".join([header, *part]) + "\n")
    return paths


def as_parquet(worked: Path, into: Path) -> list[Path]:
    fills = pd.read_csv(worked / "fills.csv", dtype=str, keep_default_na=False)
    fills.to_parquet(into / "fills.parquet")
    return [into / "fills.parquet"]


@pytest.mark.parametrize("fills_of", [as_given, shuffled_over_seven_files, as_parquet])
def test_gives_the_expected_lines_and_shares(worked: Path, tmp_path: Path, fills_of: object) -> None:
    load_facts(worked)
    counts = json.loads(run("ingest", *fills_of(worked, tmp_path), "--json"))  # type: ignore[operator]
    assert (counts["stored"], counts["conflict"], counts["quarantined"]) == (400, 0, 0)
    assert counts["read"] == counts["stored"] + counts["duplicate"]
    run("settle", *RANGE)
    for what in ("lines", "shares"):
        rows, columns = expected(worked / f"expected_{what}.csv")
        assert by_value(exported(what), columns) == by_value(rows, columns)


def test_lines_shares_entries_and_balances_agree_to_the_last_decimal(worked: Path) -> None:
    load_facts(worked)
    run("ingest", worked / "fills.csv")
    run("settle", *RANGE)
    lines, shares, entries, balances = (exported(what) for what in ("lines", "shares", "entries", "balances"))
    commission = sum(Decimal(line["commission_usdt"]) for line in lines if line["status"] == "earned")
    owed: defaultdict[str, Decimal] = defaultdict(Decimal)
    for share in shares:
        owed[share["payee"]] += Decimal(share["amount_usdt"])
    earned: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        if entry["kind"] == "earned" and entry["direction"] == "credit":
            earned[entry["account"].removeprefix("payee:").removesuffix(":payable")] += Decimal(entry["amount_usdt"])
    kept: defaultdict[str, Decimal] = defaultdict(Decimal)
    for balance in balances:
        if balance["account"].startswith("payee:"):
            kept[balance["account"].removeprefix("payee:").rpartition(":")[0]] += Decimal(balance["balance_usdt"])
    expense = next(row for row in balances if row["account"] == "operator:commission_expense")
    assert sum(owed.values()) == commission == Decimal(expense["balance_usdt"])
    assert owed == earned == {payee: amount for payee, amount in kept.items() if amount}
    assert "ok" in run("ledger", "verify", "--all")


def test_settling_and_loading_again_changes_nothing(worked: Path) -> None:
    load_facts(worked)
    run("ingest", worked / "fills.csv")
    run("settle", *RANGE)
    before = {what: run("export", what) for what in ("lines", "shares", "entries", "balances", "payouts", "windows")}
    load_facts(worked)
    counts = json.loads(run("ingest", worked / "fills.csv", "--json"))
    assert (counts["stored"], counts["duplicate"]) == (0, counts["read"])
    assert json.loads(run("settle", *RANGE, "--json"))["changed"] == 0
    assert {what: run("export", what) for what in before} == before
