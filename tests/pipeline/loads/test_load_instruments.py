"""Loading instruments: dated snapshots of OKX's public envelopes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from settlement.errors import InputRefused
from settlement.pipeline.load_instruments import load_instruments
from settlement.pipeline.load_report import Act, Counts, LoadReport
from settlement.store.database import Database
from settlement.venues.okx.instruments import parse_instruments
from tests.pipeline.loads.settled import ACT, Rows, SettledHour

SWAP = {
    "instId": "AAA-USDT-SWAP", "instType": "SWAP", "ctType": "linear", "ctVal": "0.1", "ctMult": "1", "ctValCcy": "AAA",
    "settleCcy": "USDT", "baseCcy": "", "quoteCcy": "", "state": "live", "aKeyOfTomorrow": {"nested": [1]},
}  # fmt: skip
SPOT = {"instId": "AAA-USDT", "instType": "SPOT", "ctType": "", "ctVal": "", "baseCcy": "AAA", "quoteCcy": "USDT"}
OPTION = SWAP | {"instId": "AAA-USD-270101-1-C", "instType": "OPTION", "ctType": "", "ctMult": "0.01"}
QUARTER = datetime(2026, 9, 14, 8, 15, tzinfo=UTC)
VALUES = "SELECT contract_value::text, effective_from::text, replaced_by_load FROM instrument ORDER BY row_id"


def envelope(*rows: Any, **keys: Any) -> bytes:
    return orjson.dumps({"code": "0", "msg": "", "data": list(rows)} | keys)


def load(database: Database, *rows: Any, since: datetime | None = None, act: Act = ACT) -> LoadReport:
    return load_instruments(
        database, parse_instruments(envelope(*rows), source="swap.json"), act=act, effective_from=since
    )


def test_an_instrument_that_is_new_holds_for_all_time_before(database: Database, standing: Rows) -> None:
    report = load(database, SWAP, SPOT, OPTION)
    assert report.files == {"swap.json": Counts(read=3, added=3, changed=0, unchanged=0, quarantined=0)}
    columns = "instrument_type, contract_type, contract_multiplier::text, settle_currency, quote_currency, effective_from::text"
    assert standing(f"SELECT {columns} FROM instrument ORDER BY instrument_type") == [  # noqa: S608 - columns written above
        ("OPTION", None, "0.01", "USDT", None, "1970-01-01 00:00:00+00"),
        ("SPOT", None, None, None, "USDT", "1970-01-01 00:00:00+00"),
        ("SWAP", "linear", "1", "USDT", None, "1970-01-01 00:00:00+00"),
    ]
    assert load(database, SWAP | {"ctVal": "0.10", "state": "suspend"}, SPOT, OPTION).load_id is None


def test_a_changed_contract_value_holds_from_the_moment_of_loading(database: Database, standing: Rows) -> None:
    load(database, SWAP)
    report = load(database, SWAP | {"ctVal": "0.01"})
    assert report.files["swap.json"].changed == 1
    (old, new) = standing(VALUES)
    assert old == ("0.1", "1970-01-01 00:00:00+00", None)
    assert standing(
        "SELECT i.effective_from BETWEEN l.loaded_at - interval '10 seconds' AND l.loaded_at,"
        " i.effective_from > (SELECT loaded_at FROM load WHERE load_id = 1)"
        " FROM instrument i JOIN load l USING (load_id) WHERE load_id = 2"
    ) == [(True, True)]
    assert new[0] == "0.01"


def test_a_dated_snapshot_holds_from_its_time(database: Database, standing: Rows) -> None:
    load(database, SWAP)
    load(database, SWAP, SWAP | {"instId": "BBB-USDT-SWAP"}, since=datetime(2022, 5, 13, tzinfo=UTC))
    load(database, SWAP | {"ctVal": "10"}, since=datetime(2022, 5, 13, tzinfo=UTC))
    load(database, SWAP | {"ctVal": "20"}, since=datetime(2022, 5, 13, tzinfo=UTC))
    assert standing(VALUES) == [
        ("0.1", "1970-01-01 00:00:00+00", None),
        ("0.1", "2022-05-13 00:00:00+00", None),
        ("10", "2022-05-13 00:00:00+00", 4),
        ("20", "2022-05-13 00:00:00+00", None),
    ]


BAD = [
    ({"instId": ""}, "instId is missing"),
    ({"instType": "PERP"}, 'instType "PERP" is not one of SPOT'),
    ({"ctVal": "", "ctMult": ""}, "ctVal and ctMult are missing"),
    ({"settleCcy": ""}, "settleCcy is missing"),
    ({"ctVal": 0.1}, 'ctVal 0.1 is not a string: OKX writes every value as a string, such as "0.01"'),
    ({"ctVal": "0"}, 'ctVal "0" is not a decimal above 0'),
    ({"ctVal": "-1"}, 'ctVal "-1" is not a decimal above 0'),
    ({"ctVal": "0e5"}, 'ctVal "0e5" is not a decimal above 0'),
    ({"ctVal": "NaN"}, 'ctVal "NaN" is not a decimal above 0'),
    ({"ctType": "quanto"}, 'ctType "quanto" is not linear or inverse'),
    ({"ctType": ""}, "ctType is missing"),
    ({"instId": "A\x00B"}, "holds a NUL character"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), BAD, ids=[reason[:40] for _, reason in BAD])
def test_a_bad_value_puts_its_row_aside(change: dict[str, Any], reason: str) -> None:
    instruments = parse_instruments(envelope(SWAP | change, SPOT), source="swap.json")
    assert instruments.rows["row_number"].to_pylist() == [2]
    (bad,) = instruments.bad_rows
    assert bad.row_number == 1
    assert reason in bad.reason


def test_a_row_without_a_key_that_it_needs_is_put_aside() -> None:
    without = {key: value for key, value in SWAP.items() if key != "ctMult"}
    bad_rows = parse_instruments(envelope(without, "text"), source="swap.json").bad_rows
    assert [bad.reason for bad in bad_rows] == ["ctMult is missing", "the row is not an object"]


def test_rows_put_aside_are_stored_once_and_the_good_ones_too(database: Database, standing: Rows) -> None:
    report = load(database, SWAP | {"ctVal": "0"}, SPOT)
    assert report.files["swap.json"] == Counts(read=2, added=1, changed=0, unchanged=0, quarantined=1)
    assert load(database, SWAP | {"ctVal": "0"}, SPOT).load_id is None
    assert standing("SELECT file, row_number FROM quarantine") == [("swap.json", 1)]


REFUSED = [
    (b"", "the file is empty"),
    (b'{"code":"0","data":[{"instId":', "not JSON"),
    (b"[1, 2]", "no list under data"),
    (envelope(code="50011", msg="Too Many Requests"), "OKX answered code 50011: Too Many Requests"),
    (envelope(SWAP, SPOT, SWAP), "row 3: SWAP AAA-USDT-SWAP stands in row 1 too"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED, ids=[told[:30] for _, told in REFUSED])
def test_what_is_no_snapshot_is_refused(text: bytes, told: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        parse_instruments(text, source="swap.json")
    assert told in str(refusal.value)
    assert refusal.value.mend


def test_an_integer_code_is_understood() -> None:
    assert parse_instruments(envelope(SWAP, code=0), source="x").rows.num_rows == 1


LINE = ("SWAP", "AAA-USDT-SWAP")


@pytest.mark.parametrize(
    ("line", "change", "refused"),
    [
        ({"instrument": LINE}, {"ctVal": "0.01"}, True),
        ({"instrument": LINE}, {"settleCcy": "USDC"}, True),
        ({"instrument": LINE, "minute": 10}, {"ctVal": "0.01"}, False),
        ({"instrument": LINE, "status": "excluded"}, {"ctVal": "0.01"}, False),
        ({"instrument": ("SPOT", "AAA-USDT")}, {"ctVal": "0.01"}, False),
        ({"instrument": LINE}, {"instId": "NEW-USDT-SWAP"}, False),
    ],
)
def test_a_contract_value_that_a_settled_line_was_rated_by_is_not_changed_silently(
    database: Database, settled_hour: SettledHour, line: dict[str, Any], change: dict[str, str], *, refused: bool
) -> None:
    load(database, SWAP)
    bill = settled_hour.line(**line)
    if not refused:
        assert load(database, SWAP | change, since=QUARTER).load_id is not None
        return
    with pytest.raises(
        InputRefused, match=rf"swap\.json row 1: it changes okx SWAP AAA-USDT-SWAP .*\(line okx 1 {bill}\)"
    ):
        load(database, SWAP | change, since=QUARTER)
    why = Act(loaded_by="ana", correction="OKX announced it late")
    assert load(database, SWAP | change, since=QUARTER, act=why).load_id is not None


@pytest.mark.shared
def test_the_recorded_files_load(database: Database, shared_dir: Path, standing: Rows) -> None:
    recorded = sorted((shared_dir / "okx/instruments").glob("*.json"))
    live = [path for path in recorded if "2022" not in path.name]
    for path in live:
        report = load_instruments(database, parse_instruments(path.read_bytes(), source=path.name), act=ACT)
        assert not report.bad_rows
    assert standing("SELECT count(*) FROM instrument") == [(2590,)]
    (old,) = [path for path in recorded if "2022" in path.name]
    snapshot = parse_instruments(old.read_bytes(), source=old.name)
    counts = load_instruments(database, snapshot, act=ACT, effective_from=datetime(2022, 5, 13, tzinfo=UTC)).files[
        old.name
    ]
    assert (counts.read, counts.changed) == (166, 4)
    changed = standing(
        "SELECT instrument FROM instrument GROUP BY instrument, instrument_type HAVING count(*) > 1 ORDER BY 1"
    )
    assert [name for (name,) in changed] == [f"{coin}-USDT-SWAP" for coin in ("DASH", "ENJ", "ZEC", "ZEN")]
