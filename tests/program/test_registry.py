"""Registry files: what refuses the whole load, and what puts one row aside."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from settlement.errors import InputRefused
from settlement.program import csv_columns
from settlement.program.registry import CheckedFile, read_registry

BROKERS = "broker_id,name,model,parent_id,share,status,effective_from,effective_to,own_accounts\n"
CODES = "code,broker_id,effective_from,effective_to\n"
CLIENTS = "venue,account,broker_id,effective_from,effective_to,affiliated,rebate_share\n"
LEVELS = "venue,account,level,effective_from\n"
RATES = "venue,account,product,liquidity,rate,effective_from\n"
TIERS = "broker_id,tier,effective_from,effective_to,reason\n"
OVERRIDES = "broker_id,kind,product,liquidity,value,effective_from,effective_to,reason\n"
T = "2026-01-01T00:00:00Z"


def read(directory: Path, **files: str | bytes) -> dict[str, CheckedFile]:
    for name, text in files.items():
        (directory / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return {checked.file.file.removesuffix(".csv"): checked for checked in read_registry(directory)}


def test_a_row_is_typed_and_numbered_as_in_the_file(tmp_path: Path) -> None:
    rows = f"a,Alpha,api,,,active,{T},,okx:2;okx:1;okx:2\nb,Beta,oauth,a,0.40,active,1767225600000,2026-02-01T01:00:00+01:00,\n"
    brokers = read(tmp_path, brokers=BROKERS + rows)["brokers"].rows.to_pylist()
    assert [row["row_number"] for row in brokers] == [2, 3]
    assert brokers[0]["own_accounts"] == "{okx:1,okx:2}"
    assert (brokers[0]["parent_id"], brokers[0]["share"]) == (None, None)
    assert brokers[0]["effective_from"] == brokers[1]["effective_from"]
    assert brokers[1]["effective_to"].isoformat() == "2026-02-01T00:00:00+00:00"
    assert brokers[1]["share"] == "0.40"


def test_optional_columns_may_be_absent_and_unknown_ones_are_ignored(tmp_path: Path) -> None:
    text = f"note,venue,account,broker_id,effective_from\nx,okx,1,a,{T}\n"
    row = read(tmp_path, clients=text)["clients"].rows.to_pylist()[0]
    assert (row["affiliated"], row["account_class"], row["rebate_share"], row["effective_to"]) == (
        "false",
        None,
        None,
        None,
    )
    assert "note" not in row


def test_an_override_without_product_and_liquidity_is_for_all(tmp_path: Path) -> None:
    rows = f"a,rate,,,0.3000000,{T}\na,floor,spot,maker,0,{T}\na,minimum_payout,,,0,{T}\na,cap,all,all,99999999999.123456789012,{T}\n"
    text = f"broker_id,kind,product,liquidity,value,effective_from\n{rows}"
    columns = read(tmp_path, overrides=text)["overrides"].rows.to_pydict()
    assert columns["product"] == ["all", "spot", "all", "all"]
    assert columns["liquidity"] == ["all", "maker", "all", "all"]
    assert columns["value"] == ["0.3000000", "0", "0", "99999999999.123456789012"]
    assert columns["reason"] == [None] * 4


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("Lv1", "0"),
        ("lv5", "0"),
        ("LV 3", "0"),
        ("VIP0", "0"),
        ("VIP3", "3"),
        ("vip 3", "3"),
        ("3", "3"),
        ("VIP 12", "12"),
    ],
)
def test_vip_levels_are_read_whatever_their_case_and_spaces(tmp_path: Path, written: str, level: str) -> None:
    assert read(tmp_path, vip_levels=f"{LEVELS}okx,1,{written},{T}\n")["vip_levels"].rows["level"].to_pylist() == [
        level
    ]


PUT_ASIDE = [
    ("vip_levels", LEVELS, f"okx,1,Lv6,{T}", 'level "Lv6" is not a VIP level'),
    ("vip_levels", LEVELS, f"okx,1,gold,{T}", 'level "gold" is not a VIP level'),
    ("vip_levels", LEVELS, f"okx,1,VIP-1,{T}", "is not a VIP level"),
    ("vip_levels", LEVELS, f"okx,,VIP1,{T}", "account is missing"),
    ("vip_levels", LEVELS, "okx,1,VIP1,2026-13-01T00:00:00Z", "is not a time"),
    ("vip_levels", LEVELS, "okx,1,VIP1,", "effective_from is missing"),
    ("vip_levels", LEVELS, f"okx,1\x00,VIP1,{T}", "NUL"),
    ("fee_rates", RATES, f"okx,1,spot,maker,-0.0O8,{T}", 'rate "-0.0O8" is not a decimal'),
    ("fee_rates", RATES, f"okx,1,spot,maker,NaN,{T}", 'rate "NaN" is not a decimal'),
    ("fee_rates", RATES, f"okx,1,swap,maker,-0.001,{T}", 'product "swap" is not spot or futures or options or events'),
    ("fee_rates", RATES, f"okx,1,spot,both,-0.001,{T}", 'liquidity "both" is not maker or taker'),
    ("brokers", BROKERS, f"a,A,ftp,,,active,{T},,", 'model "ftp" is not api or oauth'),
    ("brokers", BROKERS, f"client:a,A,api,,,active,{T},,", "may not begin with"),
    ("brokers", BROKERS, f"a,A,api,,,active,{T},,9001", 'own_accounts "9001" is not "venue:account" joined by ";"'),
    ("brokers", BROKERS, f"a,A,api,b,0.4.4,active,{T},,", 'share "0.4.4" is not a decimal'),
    ("brokers", BROKERS, f"a,A,api,,,,{T},,", "status is missing"),
    ("clients", CLIENTS, f"okx,1,a,{T},,maybe,", 'affiliated "maybe" is not true or false'),
    ("clients", CLIENTS, f"okx,1,a,{T},never,,", 'effective_to "never" is not a time'),
    ("tiers", TIERS, f"a,,{T},,", "tier is missing"),
    ("overrides", OVERRIDES, f"a,discount,,,0.1,{T},,", 'kind "discount" is not rate or floor or cap or minimum_payout'),
    ("overrides", OVERRIDES, f"a,rate,swap,,0.1,{T},,", 'product "swap" is not spot or futures or options or events or all'),
    ("overrides", OVERRIDES, f"a,rate,,both,0.1,{T},,", 'liquidity "both" is not maker or taker or all'),
    ("overrides", OVERRIDES, f"a,cap,spot,,10,{T},,", 'product "spot" is for a rate or a floor only'),
    ("overrides", OVERRIDES, f"a,minimum_payout,,maker,10,{T},,", 'liquidity "maker" is for a rate or a floor only'),
    ("overrides", OVERRIDES, f"a,rate,,,25%,{T},,", 'value "25%" is not a decimal'),
    ("overrides", OVERRIDES, f"a,rate,,,,{T},,", "value is missing"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "header", "row", "reason"), PUT_ASIDE, ids=[f"{row[0]}: {row[3]}" for row in PUT_ASIDE]
)
def test_a_bad_value_puts_its_row_aside_and_the_good_rows_go_on(
    tmp_path: Path, file: str, header: str, row: str, reason: str
) -> None:
    good = {
        "vip_levels": f"okx,9,3,{T}",
        "fee_rates": f"okx,9,spot,taker,-0.001,{T}",
        "brokers": f"z,Z,api,,,active,{T},,",
        "clients": f"okx,9,z,{T},,,",
        "tiers": f"z,T1,{T},,",
        "overrides": f"z,rate,,,0.3,{T},,",
    }[file]
    checked = read(tmp_path, **{file: f"{header}{row}\n{good}\n"})[file]
    assert checked.rows["row_number"].to_pylist() == [3]
    (bad,) = checked.bad_rows
    assert (bad.row_number, checked.read) == (2, 2)
    assert reason in bad.reason
    assert bad.raw == row.replace("\x00", "\\0")


REFUSED = [
    ("brokers", f"{BROKERS}a,A,api,,,active,{T},,\nb,B,api,a,1.1,active,{T},,\n", "row 3: share is outside 0..1"),
    ("brokers", f"{BROKERS}b,B,api,a,-0.1,active,{T},,\n", "row 2: share is outside 0..1"),
    ("brokers", f"{BROKERS}b,B,api,a,,active,{T},,\n", "row 2: a sub-broker without share"),
    ("brokers", f"{BROKERS}a,A,api,,0.5,active,{T},,\n", "row 2: a root broker with a share"),
    ("brokers", f"{BROKERS}a,A,api,,,active,{T},{T},\n", "row 2: effective_to is not after effective_from"),
    ("brokers", f"{BROKERS}a,A,api,,,active,{T},,\na,B,api,,,active,2026-01-01T01:00:00+01:00,,\n", "row 3: the same broker_id and effective_from as in row 2: a"),
    ("clients", f"{CLIENTS}okx,1,a,{T},,,2\n", "row 2: rebate_share is outside 0..1"),
    ("clients", f"{CLIENTS}okx,1,a,{T},,,\nokx,2,a,{T},,,\nokx,1,b,{T},,,\n", "row 4: the same venue and account and effective_from as in row 2: okx, 1"),
    ("codes", f"{CODES}with-hyphen,a,{T},\n", 'row 2: code "with-hyphen" is not 1-16 letters and digits'),
    ("codes", f"{CODES}abcdefghijklmnopq,a,{T},\n", 'row 2: code "abcdefghijklmnopq" is not 1-16 letters and digits'),
    ("codes", f"{CODES},a,{T},\n", "row 2: code is not 1-16 letters and digits"),
    ("codes", f"{CODES}abc,a,{T},\nabc,a,{T},\n", "row 3: the same code and effective_from as in row 2"),
    ("codes", f"{CODES}abc,a,{T},\nabd,a", "row 3: broken CSV: expected 4 columns, got 2"),
    ("codes", f"{CODES}abc,a,{T},,\n", "row 2: broken CSV: expected 4 columns, got 5"),
    ("codes", f'{CODES}"abc,a,{T},\n', "a quotation mark is never closed"),
    ("codes", "", "the file is empty"),
    ("codes", "\n", "the file is empty"),
    ("codes", "code,broker", "row 1: column 'broker_id' is missing; rename 'broker'"),
    ("codes", CODES.strip(), "half a header"),
    ("vip_levels", f"venue,account,effective_from\nokx,1,{T}\n", "row 1: column 'level' is missing; add it: the columns are venue,account,level,effective_from"),
    ("overrides", f"{OVERRIDES}a,rate,,,1.1,{T},,\n", "row 2: a rate or floor is outside 0..1"),
    ("overrides", f"{OVERRIDES}a,cap,,,10,{T},,\na,floor,spot,maker,-0.1,{T},,\n", "row 3: a rate or floor is outside 0..1"),
    ("overrides", f"{OVERRIDES}a,rate,,,0.1234567,{T},,\n", "row 2: a value has more than 6 decimals"),
    ("overrides", f"{OVERRIDES}a,cap,,,0.0000000000001,{T},,\n", "row 2: a value has more than 12 decimals"),
    ("overrides", f"{OVERRIDES}a,cap,,,0,{T},,\n", "row 2: a cap is 0"),
    ("overrides", f"{OVERRIDES}a,minimum_payout,,,-1,{T},,\n", "row 2: an amount is below 0"),
    ("overrides", f"{OVERRIDES}a,rate,,,0.1,{T},,\na,rate,all,all,0.2,{T},,\n", "row 3: the same broker_id and kind and product and liquidity and effective_from as in row 2: a, rate, all, all"),
    ("overrides", f"{OVERRIDES}a,rate,,,0.1,{T},{T},\n", "row 2: effective_to is not after effective_from"),
    ("tiers", f"broker_id,tier,tier,effective_from\na,T1,T2,{T}\n", "column 'tier' stands twice"),
    ("codes", b"code,broker_id,effective_from\nabc,\xff,2026-01-01T00:00:00Z\n", "not UTF-8"),
    ("codes", b"\xff\xfecode,broker_id,effective_from\n", "not UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "told"), REFUSED, ids=[f"{row[0]}: {row[2][:40]}" for row in REFUSED])
def test_a_fault_of_the_whole_refuses_the_load(tmp_path: Path, file: str, text: str | bytes, told: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        read(tmp_path, **{file: text})
    assert refusal.value.where.startswith(str(tmp_path / f"{file}.csv"))
    assert told in str(refusal.value)
    assert refusal.value.mend


def test_a_row_that_is_put_aside_does_not_refuse_the_load(tmp_path: Path) -> None:
    checked = read(tmp_path, vip_levels=f"{LEVELS}okx,1,?,{T}\nokx,1,VIP1,{T}\n")["vip_levels"]
    assert checked.rows.num_rows == 1


def test_a_header_alone_is_an_empty_registry_file(tmp_path: Path) -> None:
    assert read(tmp_path, codes=CODES)["codes"].read == 0


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    text = "\ufeff" + f"{LEVELS}okx,1,VIP1,{T}\n".replace("\n", "\r\n")
    assert read(tmp_path, vip_levels=text)["vip_levels"].rows["venue"].to_pylist() == ["okx"]


def test_no_directory_and_a_directory_without_registry_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no such directory"):
        read_registry(tmp_path / "none")
    with pytest.raises(InputRefused, match=r"no registry file in it; put at least one of brokers\.csv"):
        read_registry(tmp_path)


def test_rows_keep_their_numbers_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_columns, "BLOCK_BYTES", 200)
    path = tmp_path / "vip_levels.csv"
    path.write_text(LEVELS + "".join(f"okx,{number},{'?' if number == 77 else 'VIP1'},{T}\n" for number in range(100)))
    blocks = list(csv_columns.read_blocks(path, required=("venue", "account", "level"), optional=()))
    assert len(blocks) > 5
    assert pa.concat_tables([block.table for block in blocks]).num_rows == 100
    (bad,) = read(tmp_path)["vip_levels"].bad_rows
    assert bad.row_number == 79


@pytest.mark.shared
def test_the_worked_examples_registry_is_whole(shared_dir: Path) -> None:
    files = read_registry(shared_dir / "examples/worked/registry")
    assert {checked.file.file: checked.rows.num_rows for checked in files} == {
        "brokers.csv": 9, "codes.csv": 8, "clients.csv": 31, "vip_levels.csv": 35, "fee_rates.csv": 16, "tiers.csv": 2,
    }  # fmt: skip
    assert not any(checked.bad_rows for checked in files)
