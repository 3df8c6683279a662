"""Loading a registry: additive, repeatable, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from settlement.errors import InputRefused
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Counts
from settlement.store.database import Database
from tests.pipeline.loads.settled import ACT, Registry, Rows

T = "2026-01-01T00:00:00Z"


def test_a_load_is_recorded_and_loading_it_again_changes_nothing(
    database: Database, registry: Registry, standing: Rows
) -> None:
    directory = registry.write(brokers=f"a,A,api,,,active,{T},,okx:1;okx:2,", codes=f"tagA,a,{T},")
    first = load_registry(database, directory, act=ACT)
    assert first.files == {
        "brokers.csv": Counts(read=1, added=1, changed=0, unchanged=0, quarantined=0),
        "codes.csv": Counts(read=1, added=1, changed=0, unchanged=0, quarantined=0),
    }
    # The same by value: other order of accounts, other way to write the time.
    registry.write(brokers="a,A,api,,,active,1767225600000,,okx:2;okx:1,", codes=f"tagA,a,{T},")
    again = load_registry(database, directory, act=ACT)
    assert again.load_id is None
    assert again.files["brokers.csv"].unchanged == 1
    assert standing("SELECT kind, source, loaded_by FROM load") == [("registry", str(directory), "tester")]


def test_rows_that_are_absent_stay_and_a_changed_row_is_kept_beside_its_successor(
    database: Database, registry: Registry, standing: Rows
) -> None:
    load_registry(database, registry.write(vip_levels=f"okx,1,VIP1,{T}\nokx,2,VIP2,{T}"), act=ACT)
    report = load_registry(database, registry.write(vip_levels=f"okx,2,VIP3,{T}\nokx,3,VIP0,{T}"), act=ACT)
    assert report.files["vip_levels.csv"] == Counts(read=2, added=1, changed=1, unchanged=0, quarantined=0)
    rows = standing("SELECT account, level, load_id, replaced_by_load FROM vip_level ORDER BY account, level")
    assert rows == [("1", 1, 1, None), ("2", 2, 1, 2), ("2", 3, 2, None), ("3", 0, 2, None)]


def test_a_share_that_is_written_with_other_zeros_is_the_same(database: Database, registry: Registry) -> None:
    load_registry(database, registry.write(brokers=f"a,A,api,,,active,{T},,,\nb,B,api,a,0.4,active,{T},,,"), act=ACT)
    report = load_registry(database, registry.write(brokers=f"b,B,api,a,0.4000,active,{T},,,"), act=ACT)
    assert report.load_id is None


def test_bad_rows_are_put_aside_once_and_the_good_ones_are_stored(
    database: Database, registry: Registry, standing: Rows
) -> None:
    directory = registry.write(vip_levels=f"okx,1,VIP1,{T}\nokx,2,gold,{T}\nokx,3,VIP1,never")
    report = load_registry(database, directory, act=ACT)
    assert report.files["vip_levels.csv"] == Counts(read=3, added=1, changed=0, unchanged=0, quarantined=2)
    assert [(row.row_number, row.raw) for row in report.bad_rows] == [(3, f"okx,2,gold,{T}"), (4, "okx,3,VIP1,never")]
    again = load_registry(database, directory, act=ACT)
    assert again.load_id is None
    assert len(again.bad_rows) == 2
    quarantine = standing("SELECT load_id, kind, file, row_number FROM quarantine ORDER BY row_number")
    assert quarantine == [(1, "bad_row", str(directory / "vip_levels.csv"), row) for row in (3, 4)]


def test_a_cycle_refuses_the_load_even_where_it_is_closed_by_a_row_of_an_earlier_one(
    database: Database, registry: Registry, standing: Rows
) -> None:
    load_registry(database, registry.write(brokers=f"a,A,api,,,active,{T},,,\nb,B,api,a,0.4,active,{T},,,"), act=ACT)
    later = "2026-02-01T00:00:00Z"
    registry.write(brokers=f"c,C,api,,,active,{T},,,\na,A,api,b,0.5,active,{later},,,", codes=f"tag,a,{T},")
    with pytest.raises(InputRefused) as refusal:
        load_registry(database, registry.directory, act=ACT)
    assert refusal.value.where == f"{registry.directory / 'brokers.csv'} row 3"
    assert "brokers form a cycle from 2026-02-01T00:00:00Z on: a under b under a" in str(refusal.value)
    assert standing("SELECT count(*) FROM broker") == [(2,)]
    assert standing("SELECT count(*) FROM broker_code") == [(0,)]
    assert standing("SELECT count(*) FROM load") == [(1,)]


def test_brokers_that_nobody_describes_are_allowed_with_a_warning(database: Database, registry: Registry) -> None:
    registry.write(
        brokers=f"a,A,api,,,active,{T},,,\nb,B,api,ghost,0.1,active,{T},,,",
        codes=f"t1,a,{T},\nt2,nobody,{T},",
        clients=f"okx,1,nobody,{T},,,,,\nokx,2,nobody,{T},,,,,",
    )
    report = load_registry(database, registry.directory, act=ACT)
    told = [warning.removeprefix(f"{registry.directory}/") for warning in report.warnings]
    assert [warning.partition(";")[0] for warning in told] == [
        "brokers.csv row 3: broker 'ghost' has no row in brokers.csv (1 rows name it)",
        "codes.csv row 3: broker 'nobody' has no row in brokers.csv (1 rows name it)",
        "clients.csv row 2: broker 'nobody' has no row in brokers.csv (2 rows name it)",
    ]


def test_a_misspelt_file_is_named(database: Database, registry: Registry) -> None:
    registry.write(codes=f"t1,a,{T},")
    (registry.directory / "client.csv").write_text("x\n")
    report = load_registry(database, registry.directory, act=ACT)
    assert report.warnings[0].endswith("client.csv: not a registry file, passed over; did you mean clients.csv?")


def test_every_column_arrives_where_it_belongs(database: Database, registry: Registry, standing: Rows) -> None:
    registry.write(
        brokers=f"a,A,oauth,,,active,{T},,okx:7,0xABC",
        clients=f"okx,1,a,{T},2026-02-01T00:00:00Z,REF,TRUE,msa,0.0333",
        fee_rates=f"okx,1,spot,maker,-8e-4,{T}",
        tiers=f"a,T3,{T},,agreed",
    )
    load_registry(database, registry.directory, act=ACT)
    assert standing("SELECT model, own_accounts, payout_rail, payout_address FROM broker") == [
        ("oauth", ["okx:7"], None, "0xABC")
    ]
    client = standing(
        "SELECT referral_code, affiliated, account_class, rebate_share::text, effective_to::text FROM client_link"
    )
    assert client == [("REF", True, "msa", "0.0333", "2026-02-01 00:00:00+00")]
    assert standing("SELECT rate::text FROM fee_rate") == [("-0.0008",)]
    assert standing("SELECT tier, reason, effective_to FROM tier_override") == [("T3", "agreed", None)]


@pytest.mark.shared
def test_the_worked_examples_registry_loads_and_loads_again(database: Database, shared_dir: Path) -> None:
    directory = shared_dir / "examples/worked/registry"
    first = load_registry(database, directory, act=ACT)
    assert sum(counts.added for counts in first.files.values()) == 101
    assert first.warnings == []
    assert load_registry(database, directory, act=ACT).load_id is None
