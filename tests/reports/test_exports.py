"""Exports: the columns of the contract, sorted by the key as text, the same values in every format."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from settlement.errors import Refused
from settlement.reports.exports import Selection, export
from settlement.store.database import Database

CHANGE_OF_TERMS = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVERYTHING = Selection()

COLUMNS = {
    "lines": "window_start,venue,account,bill_id,broker_id,status,reason,product,tier,net_fee_usdt,rate,commission_usdt,"
    "price_usdt,notional_usdt,terms,run_id,flags",
    "shares": "window_start,venue,account,bill_id,payee,amount_usdt,run_id",
    "entries": "entry_id,effective_at,recorded_at,kind,run_id,account,direction,amount_usdt",
    "balances": "account,balance_usdt",
    "payouts": "payout_id,payee,amount_usdt,status,rail,address,created_at,window_start",
    "windows": "window_start,status,fills,earned,excluded,pending,commission_usdt,settled_at,runs",
    "tiers": "broker_id,tier,effective_from,reason,volume_usdt,clients",
}
KEYS = {
    "lines": ("window_start", "venue", "account", "bill_id"),
    "shares": ("window_start", "venue", "account", "bill_id", "payee"),
    "entries": ("entry_id", "account"),
    "balances": ("account",),
    "payouts": ("payout_id",),
    "windows": ("window_start",),
    "tiers": ("broker_id", "effective_from"),
}
DECIMALS = {
    "net_fee_usdt", "rate", "commission_usdt", "price_usdt", "notional_usdt", "amount_usdt", "balance_usdt", "volume_usdt",
}  # fmt: skip
WHATS = tuple(COLUMNS)


@pytest.mark.parametrize("what", WHATS)
def test_columns_are_exactly_those_of_the_contract(settled: Database, what: str) -> None:
    assert _bytes(settled, what).split(b"\n", 1)[0].decode() == COLUMNS[what]


@pytest.mark.parametrize("what", WHATS)
def test_rows_are_sorted_by_the_key_as_text(settled: Database, what: str) -> None:
    keys = [tuple(row[name].encode() for name in KEYS[what]) for row in _rows(settled, what)]
    assert keys
    assert keys == sorted(keys)


@pytest.mark.parametrize("what", WHATS)
def test_json_and_parquet_hold_what_csv_holds(settled: Database, what: str) -> None:
    rows = _rows(settled, what)
    documents = json.loads(_bytes(settled, what, "json"))
    assert [_as_text(document) for document in documents] == rows
    table = pq.read_table(io.BytesIO(_bytes(settled, what, "parquet")))
    assert [_as_text(row) for row in table.to_pylist()] == rows
    assert ",".join(table.column_names) == COLUMNS[what]


@pytest.mark.parametrize("what", WHATS)
def test_decimals_are_plain_and_in_json_they_are_strings(settled: Database, what: str) -> None:
    for document in json.loads(_bytes(settled, what, "json")):
        for name in DECIMALS & document.keys():
            value = document[name]
            assert value is None or (isinstance(value, str) and "E" not in value.upper())


def test_only_earned_lines_carry_amounts_and_usdt_fees_have_the_price_one(settled: Database) -> None:
    with settled.transaction() as connection:
        currencies = {
            row.bill_id: row.fee_currency for row in connection.execute(text("SELECT bill_id, fee_currency FROM fill"))
        }
    amounts = ("tier", "net_fee_usdt", "rate", "commission_usdt", "price_usdt", "notional_usdt", "terms")
    earned = [line for line in _rows(settled, "lines") if line["status"] == "earned"]
    assert {line["price_usdt"] == "1" for line in earned if currencies[line["bill_id"]] == "USDT"} == {True}
    assert {line["price_usdt"] == "1" for line in earned if currencies[line["bill_id"]] != "USDT"} == {False}
    assert {line["terms"] for line in earned} == {"sample-1", "sample-2"}
    for line in _rows(settled, "lines"):
        assert {bool(line[name]) for name in amounts} == {line["status"] == "earned"}


def test_windows_lines_shares_and_entries_come_to_the_same(settled: Database) -> None:
    lines, shares = _rows(settled, "lines"), _rows(settled, "shares")
    commission = sum(Decimal(line["commission_usdt"] or 0) for line in lines)
    assert commission > 0
    assert sum(Decimal(window["commission_usdt"]) for window in _rows(settled, "windows")) == commission
    assert sum(Decimal(share["amount_usdt"]) for share in shares) == commission
    of_payees, booked = defaultdict(Decimal), defaultdict(Decimal)
    for share in shares:
        of_payees[f"payee:{share['payee']}:payable"] += Decimal(share["amount_usdt"])
    for entry in _rows(settled, "entries"):
        if entry["kind"] == "earned" and entry["direction"] == "credit":
            booked[entry["account"]] += Decimal(entry["amount_usdt"])
    assert booked == of_payees


def test_balances_are_what_the_entries_add_up_to(settled: Database) -> None:
    added = defaultdict(Decimal)
    for entry in _rows(settled, "entries"):
        grows_by = "debit" if entry["account"].startswith("operator:") else "credit"
        sign = 1 if entry["direction"] == grows_by else -1
        added[entry["account"]] += sign * Decimal(entry["amount_usdt"])
    assert {row["account"]: Decimal(row["balance_usdt"]) for row in _rows(settled, "balances")} == added


def test_windows_count_their_lines(settled: Database) -> None:
    lines = _rows(settled, "lines")
    for window in _rows(settled, "windows"):
        of_window = [line["status"] for line in lines if line["window_start"] == window["window_start"]]
        assert int(window["fills"]) == len(of_window)
        for status in ("earned", "excluded", "pending"):
            assert int(window[status]) == of_window.count(status)


def test_from_and_to_select_windows(settled: Database) -> None:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    selected = _rows(settled, "lines", selection=Selection(start=start, end=start + timedelta(hours=13)))
    assert {line["window_start"] for line in selected} == {"2026-03-02T12:00:00Z"}
    assert not _rows(settled, "lines", selection=Selection(end=start - timedelta(hours=1)))


def test_balances_of_some_windows_are_what_their_entries_add_up_to(settled: Database) -> None:
    period = Selection(start=CHANGE_OF_TERMS, end=CHANGE_OF_TERMS + timedelta(hours=1))
    balances = {row["account"]: Decimal(row["balance_usdt"]) for row in _rows(settled, "balances", selection=period)}
    commission = sum(Decimal(line["commission_usdt"] or 0) for line in _rows(settled, "lines", selection=period))
    assert balances["operator:commission_expense"] == commission


def test_a_broker_selects_the_lines_of_its_tree_and_its_own_money(settled: Database) -> None:
    selection = Selection(broker="atlas-asia")
    brokers = {line["broker_id"] for line in _rows(settled, "lines", selection=selection)}
    assert brokers == {"atlas-asia", "atlas-asia-seoul", "atlas-asia-hanoi"}
    assert {share["payee"] for share in _rows(settled, "shares", selection=selection)} == {"atlas-asia"}
    accounts = {row["account"] for row in _rows(settled, "balances", selection=selection)}
    assert "payee:atlas-asia:payable" in accounts
    assert all(account.startswith("payee:atlas-asia:") for account in accounts)
    assert {row["account"] for row in _rows(settled, "entries", selection=selection)} == accounts


def test_windows_of_a_root_count_the_lines_of_its_tree(settled: Database) -> None:
    selection = Selection(broker="atlas")
    fills = sum(int(window["fills"]) for window in _rows(settled, "windows", selection=selection))
    assert fills == len(_rows(settled, "lines", selection=selection))


@pytest.mark.parametrize(
    ("what", "file_format", "broker", "said"),
    [
        ("profits", "csv", None, "choose one of lines, shares"),
        ("lines", "xlsx", None, "choose one of csv, json, parquet"),
        ("lines", "csv", "nobody", "no broker 'nobody' is registered"),
        ("windows", "csv", "atlas-asia", "counted per root broker"),
    ],
)
def test_what_has_no_meaning_is_refused(
    settled: Database, what: str, file_format: str, broker: str | None, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        _bytes(settled, what, file_format, Selection(broker=broker))


@pytest.mark.parametrize("what", WHATS)
def test_nothing_to_export_is_an_empty_file_with_its_columns(database: Database, what: str) -> None:
    assert _rows(database, what) == []
    assert json.loads(_bytes(database, what, "json")) == []
    assert pq.read_table(io.BytesIO(_bytes(database, what, "parquet"))).num_rows == 0


def test_tiers_are_sorted_by_the_text_of_their_time(database: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("INSERT INTO load (kind, source, loaded_by) VALUES ('registry', 'test', 'test')")
    for instant in ("00:00:01Z", "00:00:01.5Z", "00:00:01.25Z"):
        superuser.execute(
            "INSERT INTO tier_review (broker_id, tier, effective_from, volume_usdt, clients) VALUES ('b', 'T', %s, 1.50, 3)",
            [f"2026-03-02T{instant}"],
        )
    rows = _rows(database, "tiers")
    assert [row["effective_from"] for row in rows] == [
        "2026-03-02T00:00:01.25Z",
        "2026-03-02T00:00:01.5Z",
        "2026-03-02T00:00:01Z",
    ]
    assert rows[0]["volume_usdt"] == "1.5"


def test_text_that_needs_quoting_comes_back_as_it_was(database: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("INSERT INTO load (kind, source, loaded_by) VALUES ('registry', 'test', 'test')")
    reason = 'said "no", then\nyes\\ and \t more'
    superuser.execute(
        "INSERT INTO tier_override (broker_id, tier, effective_from, reason, load_id) VALUES ('b', 'T', now(), %s, 1)",
        [reason],
    )
    assert _rows(database, "tiers")[0]["reason"] == reason
    assert json.loads(_bytes(database, "tiers", "json"))[0]["reason"] == reason
    assert pq.read_table(io.BytesIO(_bytes(database, "tiers", "parquet")))["reason"].to_pylist() == [reason]


def _bytes(database: Database, what: str, file_format: str = "csv", selection: Selection = EVERYTHING) -> bytes:
    sink = io.BytesIO()
    with database.transaction() as connection:
        export(connection, what, file_format=file_format, selection=selection, sink=sink)
    return sink.getvalue()


def _rows(database: Database, what: str, *, selection: Selection = EVERYTHING) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_bytes(database, what, selection=selection).decode(), newline="")))


def _as_text(row: dict[str, object]) -> dict[str, str]:
    """A row of JSON or Parquet as CSV writes it."""
    return {name: _text_of(value) for name, value in row.items()}


def _text_of(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        moment, _, fraction = value.strftime("%Y-%m-%dT%H:%M:%S.%f").rpartition(".")
        return moment + f".{fraction}".rstrip("0").rstrip(".") + "Z"
    if isinstance(value, Decimal):
        written = format(value, "f")
        return written.rstrip("0").rstrip(".") if "." in written else written
    return str(value)
