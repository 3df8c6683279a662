"""The load commands as somebody types them: exit codes, what they print and where."""

from __future__ import annotations

from pathlib import Path

import orjson
import psycopg
import pytest

from tests.cli.conftest import Settlement

T = "2026-01-01T00:00:00Z"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "vip_levels.csv").write_text(f"venue,account,level,effective_from\nokx,1,VIP1,{T}\nokx,2,gold,{T}\n")
    (tmp_path / "codes.csv").write_text(f"code,broker_id,effective_from\ntagA,nobody,{T}\n")
    return tmp_path


def test_a_registry_load_prints_its_counts_and_each_reason(settlement: Settlement, directory: Path) -> None:
    ran = settlement("registry", "load", directory)
    assert ran.code == 0
    assert "vip_levels.csv: read 2  added 1  changed 0  unchanged 0  quarantined 1" in ran.out
    assert f'quarantined: {directory}/vip_levels.csv row 3: level "gold" is not a VIP level' in ran.err
    assert "warning:" in ran.err
    assert "broker 'nobody' has no row in brokers.csv" in ran.err
    again = settlement("registry", "load", directory, "--json")
    assert again.code == 0
    report = orjson.loads(again.out)
    assert report["load_id"] is None
    assert report["files"]["codes.csv"] == {"read": 1, "added": 0, "changed": 0, "unchanged": 1, "quarantined": 0}
    assert report["bad_rows"][0]["row_number"] == 3


def test_a_refusal_is_one_line_and_exit_code_1(settlement: Settlement, directory: Path) -> None:
    (directory / "codes.csv").write_text(f"code,broker_id,effective_from\ntag-A,a,{T}\n")
    ran = settlement("registry", "load", directory)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f'settlement: {directory}/codes.csv row 2: code "tag-A" is not 1-16 letters and digits;'
        " write it as the venue knows it, without spaces\n"
    )


def test_who_loads_and_why_is_recorded(settlement: Settlement, directory: Path, superuser: psycopg.Connection) -> None:
    assert settlement("registry", "load", directory, "--by", "ana", "--correction", "late news").code == 0
    assert superuser.execute("SELECT loaded_by, correction FROM load").fetchall() == [("ana", "late news")]


def test_a_correction_without_a_reason_is_wrong_usage(settlement: Settlement, directory: Path) -> None:
    assert settlement("registry", "load", directory, "--correction", " ").code == 2


def test_terms_are_loaded_listed_and_shown(settlement: Settlement) -> None:
    assert "no terms are loaded" in settlement("terms", "list").out
    assert (
        "terms guide (number 1), in force from 2020-01-01T00:00:00Z: loaded" in settlement("terms", "load", "guide").out
    )
    assert "stood already" in settlement("terms", "load", "guide").out
    assert orjson.loads(settlement("terms", "load", "okx-2022", "--json").out)["terms_id"] == 2
    listed = orjson.loads(settlement("terms", "list", "--json").out)
    assert [(version["name"], version["effective_from"]) for version in listed] == [
        ("guide", "2020-01-01T00:00:00Z"),
        ("okx-2022", "2022-08-18T00:00:00Z"),
    ]
    assert 'name = "okx-2022"' in settlement("terms", "show", "2").out
    assert orjson.loads(settlement("terms", "show", "guide", "--json").out)["terms_id"] == 1
    missing = settlement("terms", "show", "none")
    assert (missing.code, "no such terms" in missing.err) == (1, True)


def test_a_faulty_document_names_its_line(settlement: Settlement, tmp_path: Path) -> None:
    path = tmp_path / "terms.toml"
    path.write_text('name = "x"\nefective_from = 2026-01-01T00:00:00Z\n')
    ran = settlement("terms", "load", path)
    assert ran.code == 1
    assert f"{path} line 2: unknown key 'efective_from'; did you mean 'effective_from'?" in ran.err


def test_instruments_and_prices_are_loaded(
    settlement: Settlement, tmp_path: Path, superuser: psycopg.Connection
) -> None:
    spot = {"instId": "AAA-USDT", "instType": "SPOT", "baseCcy": "AAA", "quoteCcy": "USDT"}
    instruments, prices = tmp_path / "spot.json", tmp_path / "prices.csv"
    instruments.write_bytes(orjson.dumps({"code": "0", "data": [spot]}))
    prices.write_text(f"currency,ts,price_usdt\nAAA,{T},2.5\n")
    assert "added 1" in settlement("instruments", "load", instruments, "--effective-from", "1767225600000").out
    assert "added 1" in settlement("prices", "load", prices).out
    assert "nothing new" in settlement("prices", "load", prices).out
    rows = superuser.execute("SELECT effective_from = %s FROM instrument", [T]).fetchall()
    assert rows == [(True,)]
    assert settlement("instruments", "load", instruments, "--effective-from", "soon").code == 2
    assert settlement("instruments", "load", tmp_path / "none.json").code == 1
    assert settlement("prices", "load", tmp_path / "none.csv").code == 1


@pytest.mark.parametrize("command", ["registry", "terms", "instruments", "prices"])
def test_every_command_has_help(settlement: Settlement, command: str) -> None:
    ran = settlement(command, "load", "--help")
    assert ran.code == 0
    assert "--correction" in ran.out
