"""Loading prices: any number of them, and none under a settled line without a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from settlement.errors import InputRefused
from settlement.pipeline.load_prices import load_prices
from settlement.pipeline.load_report import Act, Counts, LoadReport
from settlement.program import csv_columns
from settlement.program.prices import read_prices
from settlement.store.database import Database
from tests.pipeline.loads.settled import ACT, Rows, SettledHour

T = "2026-09-14T08:00:00Z"


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    return tmp_path / "prices.csv"


def load(database: Database, path: Path, *rows: str, act: Act = ACT) -> LoadReport:
    path.write_text("\n".join(["currency,ts,price_usdt,source", *rows, ""]))
    return load_prices(database, path, act=act)


def test_prices_are_stored_digit_for_digit_and_once(database: Database, prices: Path, standing: Rows) -> None:
    report = load(database, prices, f"BTC,{T},104794.488816542900000001,index", f"ETH,{T},3.5e3,")
    assert report.files[str(prices)] == Counts(read=2, added=2, changed=0, unchanged=0, quarantined=0)
    rows = standing("SELECT currency, price_usdt::text, source FROM price ORDER BY currency")
    assert rows == [("BTC", "104794.488816542900000001", "index"), ("ETH", "3500", None)]
    again = load(database, prices, "ETH,1789372800000,3500.00,elsewhere", f"ETH,{T},3500,")
    assert again.load_id is None
    assert again.files[str(prices)] == Counts(read=2, added=0, changed=0, unchanged=2, quarantined=0)


def test_another_price_for_the_same_instant_replaces_one_that_nothing_stands_on(
    database: Database, prices: Path, standing: Rows
) -> None:
    load(database, prices, f"BTC,{T},100,")
    assert load(database, prices, f"BTC,{T},101,").files[str(prices)].changed == 1
    rows = standing("SELECT price_usdt::text, replaced_by_load FROM price ORDER BY price_id")
    assert rows == [("100", 2), ("101", None)]


def test_two_prices_for_one_instant_in_a_file_refuse_it(database: Database, prices: Path, standing: Rows) -> None:
    with pytest.raises(
        InputRefused, match=r"prices\.csv row 4: another price of BTC for the same ts as in row 2; keep one"
    ):
        load(database, prices, f"BTC,{T},100,", f"ETH,{T},5,", f"BTC,{T},101,")
    assert standing("SELECT count(*) FROM price") == [(0,)]


BAD = [
    (f"USDT,{T},1,", 'currency "USDT" has no price: it is 1 by definition'),
    (f",{T},1,", "currency is missing"),
    (f"BTC,{T},0,", 'price_usdt "0" is not above 0'),
    (f"BTC,{T},-5,", 'price_usdt "-5" is not above 0'),
    (f"BTC,{T},NaN,", 'price_usdt "NaN" is not a decimal'),
    (f"BTC,{T},1.0000000000000000001,", "is not a decimal of at most 18 decimals"),
    ("BTC,today,1,", 'ts "today" is not a time'),
]


@pytest.mark.parametrize(("row", "reason"), BAD, ids=[row for row, _ in BAD])
def test_a_bad_price_is_put_aside(prices: Path, row: str, reason: str) -> None:
    prices.write_text(f"currency,ts,price_usdt,source\n{row}\nETH,{T},5,\n")
    ((good, bad_rows),) = read_prices(prices)
    assert good["currency"].to_pylist() == ["ETH"]
    assert [(bad.row_number, bad.raw) for bad in bad_rows] == [(2, row)]
    assert reason in bad_rows[0].reason


def test_prices_put_aside_are_stored_once_and_the_good_ones_too(
    database: Database, prices: Path, standing: Rows
) -> None:
    rows = (f"USDT,{T},1,", f"ETH,{T},5,")
    report = load(database, prices, *rows)
    assert report.files[str(prices)] == Counts(read=2, added=1, changed=0, unchanged=0, quarantined=1)
    assert load(database, prices, *rows).load_id is None
    assert standing("SELECT file, row_number FROM quarantine") == [(str(prices), 2)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("currency,ts\nBTC,1\n", "column 'price_usdt' is missing"),
        (f"currency,ts,price_usdt\nBTC,{T},1\nBTC,{T}", "row 3: broken CSV"),
    ],
)
def test_a_broken_file_is_refused_whole(
    database: Database, prices: Path, standing: Rows, *, text: str, told: str
) -> None:
    prices.write_text(text)
    with pytest.raises(InputRefused) as refusal:
        load_prices(database, prices, act=ACT)
    assert told in str(refusal.value)
    assert standing("SELECT count(*) FROM price") == [(0,)]


def test_a_file_that_is_not_there_is_refused(database: Database, prices: Path) -> None:
    with pytest.raises(InputRefused, match="no such file"):
        load_prices(database, prices, act=ACT)


def test_a_long_file_is_read_block_by_block(
    database: Database, prices: Path, monkeypatch: pytest.MonkeyPatch, standing: Rows
) -> None:
    monkeypatch.setattr(csv_columns, "BLOCK_BYTES", 4096)
    rows = [f"C{number % 7},{1789372800000 + number * 1000},{number + 1}" for number in range(2000)]
    prices.write_text("\n".join(["currency,ts,price_usdt", *rows, "C1,never,5", ""]))
    seen: list[int] = []
    report = load_prices(database, prices, act=ACT, on_rows=seen.append)
    assert len(seen) > 5
    assert seen[-1] == 2001
    assert report.bad_rows[0].row_number == 2002
    assert standing("SELECT count(*), sum(price_usdt)::text FROM price") == [(2000, "2001000")]


# A line executed at 08:30 was valued by the price of 08:00, which is 100.
CASES = [
    ("BTC,2026-09-14T08:20:00Z,101,", "between its price and its execution", True),
    ("BTC,2026-09-14T08:30:00Z,101,", "at its execution", True),
    ("BTC,2026-09-14T08:30:00.000001Z,101,", "after its execution", False),
    ("BTC,2026-09-14T07:59:00Z,101,", "before its price", False),
    ("BTC,2026-09-14T08:20:00Z,100,", "of the same value", False),
    ("ETH,2026-09-14T08:20:00Z,101,", "of another currency", False),
    ("BTC,2026-09-14T08:00:00Z,101,", "instead of its price", True),
]


@pytest.mark.parametrize(
    ("row", "refused"), [(row, refused) for row, _, refused in CASES], ids=[case[1] for case in CASES]
)
def test_a_price_that_a_settled_line_would_have_been_valued_by_is_refused(
    database: Database, prices: Path, settled_hour: SettledHour, *, row: str, refused: bool
) -> None:
    load(database, prices, f"BTC,{T},100,")
    bill = settled_hour.line(price_id=1)
    if not refused:
        assert load(database, prices, f"ETH,{T},1,", row).load_id is not None
        return
    with pytest.raises(InputRefused) as refusal:
        load(database, prices, f"ETH,{T},1,", row)
    assert refusal.value.where == f"{prices} row 3"
    assert f"the price of BTC in the past of settled windows, first 2026-09-14T08:00Z (line okx 1 {bill})" in str(
        refusal.value
    )
    assert load(database, prices, row, act=Act(loaded_by="ana", correction="wrong feed")).load_id is not None


def test_a_price_behind_another_one_that_came_in_between_changes_nothing(
    database: Database, prices: Path, settled_hour: SettledHour
) -> None:
    load(database, prices, f"BTC,{T},100,", "BTC,2026-09-14T08:25:00Z,102,")
    settled_hour.line(price_id=2)
    assert load(database, prices, "BTC,2026-09-14T08:10:00Z,101,").load_id is not None


@pytest.mark.shared
def test_the_worked_examples_prices_load_and_load_again(database: Database, shared_dir: Path) -> None:
    path = shared_dir / "examples/worked/prices.csv"
    assert load_prices(database, path, act=ACT).files[str(path)].added == 254
    assert load_prices(database, path, act=ACT).load_id is None
