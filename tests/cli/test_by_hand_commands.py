"""The registry by hand, referral codes and the audit log as somebody types them."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import orjson
import pytest

from settlement.store.database import Database
from tests.cli.conftest import Settlement
from tests.pipeline.loads.by_hand import START, add_broker, change
from tests.pipeline.loads.conftest import settled_hour
from tests.pipeline.loads.settled import SettledHour

__all__ = ["settled_hour"]  # a fixture of the loads

JUNE = "2026-06-01"
WHY = ("--reason", "as agreed", "--by", "ana")


@pytest.fixture
def program(database: Database, settlement: Settlement) -> Settlement:
    """alpha, its sub-broker sub with the referral code spring26, and beta; okx 7 is sub's client."""
    add_broker(database, "alpha", own_accounts="okx:9")
    add_broker(database, "sub", parent_id="alpha", share="0.4")
    add_broker(database, "beta")
    change(database, "clients.csv", "add", "okx 7", broker_id="sub")
    added = settlement(
        "referrals", "add", "spring26", "sub", "--campaign", "spring", "--limit", 1, "--from", "2026-01-01", *WHY
    )
    assert added.out == "referral code spring26 of sub added\n"
    return settlement


def test_a_sub_broker_is_moved_and_the_change_is_told(program: Settlement) -> None:
    ran = program("brokers", "set", "sub", "--parent", "beta", "--share", "0.30", "--from", JUNE, *WHY)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "broker.set sub: recorded as load 5",
        "  parent_id: alpha -> beta",
        "  share: 0.4 -> 0.3",
        "  effective_from: 2026-01-01T00:00:00Z -> 2026-06-01T00:00:00Z",
    ]
    again = program("brokers", "set", "sub", "--parent", "beta", "--share", "0.3", "--from", JUNE, *WHY, "--json")
    assert again.json["load_id"] is None
    rows = program("brokers", "list", "sub", "--all", "--json").json
    assert [(row["parent_id"], row["share"]) for row in rows] == [("alpha", "0.4"), ("beta", "0.3")]
    assert [row["parent_id"] for row in program("brokers", "list", "sub", "--at", "2026-05-31", "--json").json] == [
        "alpha"
    ]


def test_brokers_codes_and_clients_are_added_changed_and_ended(program: Settlement) -> None:
    assert program("brokers", "add", "new", "--parent", "sub", "--share", "0.5", *WHY).code == 0
    assert program("codes", "add", "tag1", "new", "--from", "2026-01-01", *WHY).code == 0
    assert program("codes", "set", "tag1", "--broker", "beta", "--from", "2026-02-01", *WHY).code == 0
    assert program("codes", "end", "tag1", "--at", "2026-03-01", *WHY).code == 0
    rows = program("codes", "list", "--all", "--json").json
    assert [(row["broker_id"], row["effective_to"]) for row in rows] == [("new", ""), ("beta", "2026-03-01T00:00:00Z")]
    assert program("codes", "list").out == "there are none\n"
    assert program("clients", "add", "okx", "1", "new", "--affiliated", "--rebate-share", "0.10", *WHY).code == 0
    assert program("clients", "set", "okx", "1", "--no-affiliated", "--account-class", "msa", *WHY).code == 0
    [client] = program("clients", "list", "--broker", "new", "--json").json
    assert (client["affiliated"], client["account_class"], client["rebate_share"]) == ("false", "msa", "0.1")
    assert program("clients", "end", "okx", "1", *WHY).code == 0
    assert program("brokers", "end", "new", *WHY).code == 0
    listed = program("brokers", "list").out
    assert listed.splitlines()[0].split()[:4] == ["broker_id", "name", "model", "parent_id"]
    assert "new" not in listed


def test_a_later_row_that_takes_over_is_told_on_standard_error(program: Settlement) -> None:
    program("brokers", "set", "beta", "--status", "suspended", "--from", JUNE, *WHY)
    ran = program("brokers", "set", "beta", "--name", "Beta", "--from", "2026-05-01", *WHY)
    assert ran.err == "warning: a row that begins at 2026-06-01T00:00:00Z takes over then, as before\n"


REFUSALS = {
    "brokers set alpha --parent sub --share 0.5 --from 2026-06-01": "broker alpha: brokers form a cycle from 2026-06-01T00:00:00Z on: alpha under sub under alpha; give one of them another parent_id, or none",
    "brokers set sub --share 1.01": "broker sub: share is outside 0..1; write a part of one: 40 % is 0.4",
    "brokers set sub --parent sbu": "broker sub: there is no broker sbu; settlement brokers list shows which there are, settlement brokers add makes one",
    "brokers add sub": "broker sub: it is there already, from 2026-01-01T00:00:00Z on; settlement brokers set changes it",
    "codes add abcdefghijklmnopq sub": 'code abcdefghijklmnopq: code "abcdefghijklmnopq" is not 1-16 letters and digits; write it as the venue knows it, without spaces',
    "codes add sub-1 sub": 'code sub-1: code "sub-1" is not 1-16 letters and digits; write it as the venue knows it, without spaces',
    "codes end tag1 --at 2026-06-01": "code tag1: no row is in force at 2026-06-01T00:00:00Z; see settlement codes list --all, and add one",
    "referrals add abcdefghijklmnopq sub --campaign x": "referral code abcdefghijklmnopq: the code is not 1-16 letters and digits; choose letters A-Z, a-z and digits only, at most 16",
    "referrals alias spring26 sub_1": "referral code sub_1: the code is not 1-16 letters and digits; choose letters A-Z, a-z and digits only, at most 16",
    "referrals add spring26 beta --campaign x": "referral code spring26: it stands for a code of broker sub already (campaign spring); choose another text",
    "referrals bind okx 7 spring26": 'client okx 7: it is bound to sub since 2026-01-01T00:00:00Z, and the first code counts; an administrator may bind it again: --rebind-reason "..." --by NAME',
    "referrals bind okx 9 spring26": "client okx 9: it is an own account of alpha, which is above sub: nobody refers himself; bind accounts of clients, or take it out of the own accounts of alpha first",
    "referrals bind okx 1 SPRING26": "referral code SPRING26: there is no such code; settlement referrals list shows which there are; capitals and small letters differ",
    "referrals bind okx 1 spring26 --from 2025-12-31": "referral code spring26: it begins at 2026-01-01T00:00:00Z; settlement referrals list --broker sub shows which codes hold",
    "brokers tree ghost": "ghost: there is no such broker; settlement brokers list shows which there are",
}


def test_each_refusal_is_one_line_and_exit_code_1(program: Settlement) -> None:
    found = {}
    for command in REFUSALS:
        ran = program(*command.split(), *(() if command.startswith(("referrals bind", "brokers tree")) else WHY))
        assert (ran.code, ran.out) == (1, "")
        found[command] = ran.err.removeprefix("settlement: ").removesuffix("\n")
    assert found == REFUSALS


def test_a_change_in_a_settled_period_is_refused_with_the_mend(
    program: Settlement, database: Database, settled_hour: SettledHour
) -> None:
    change(database, "clients.csv", "add", "okx 1", broker_id="alpha", at=START)
    bill = settled_hour.line()
    asked = ("clients", "set", "okx", "1", "--broker", "beta", "--from", "2026-09-14T08:00:00Z", *WHY)
    assert program(*asked).err == (
        "settlement: client okx 1: it changes okx 1 in the past of settled windows, first 2026-09-14T08:00Z"
        f' (line okx 1 {bill}); say why with --correction "...", then plan a recalculation of those windows\n'
    )
    assert program(*asked, "--correction", "it was entered late").code == 0


WRONG_USAGE = [
    "brokers set sub --reason x",
    "brokers set sub --share 0.1",
    "brokers set sub --share 0.1 --reason= ",
    "brokers set sub --share 0.1 --reason x --from soon",
    "brokers set sub --share 0.1 --reason x --correction=",
    "brokers list --all --at 2026-01-01",
    "brokers tree --month 2026-13",
    "referrals add x1 sub --campaign c --limit 0 --reason x",
    "referrals add x1 sub --campaign c --from 2026-02-01 --to 2026-02-01 --reason x",
    "referrals bind okx 1 spring26 --rebind-reason x",
    "audit export --format parquet",
]


def test_wrong_usage_is_exit_code_2(settlement: Settlement) -> None:
    assert {command: settlement(*command.split(" ")).code for command in WRONG_USAGE} == dict.fromkeys(WRONG_USAGE, 2)


def test_a_client_is_bound_once_and_again_by_an_administrator(program: Settlement) -> None:
    assert "referral_code: spring26" in program("referrals", "bind", "okx", "1", "spring26", "--by", "desk").out
    assert program("referrals", "bind", "okx", "1", "spring26").out == "client.bind okx 1: nothing new\n"
    assert program("referrals", "bind", "okx", "2", "spring26").err.startswith(
        "settlement: referral code spring26: its limit is reached: 1 of 1 clients;"
    )
    program("referrals", "add", "beta1", "beta", "--campaign", "b", "--from", "2026-01-01", *WHY)
    again = program(
        "referrals", "bind", "okx", "1", "beta1", "--rebind-reason", "in writing", "--by", "root", "--json"
    ).json
    assert (again["act"], again["before"]["broker_id"], again["after"]["broker_id"]) == ("client.rebind", "sub", "beta")


def test_codes_are_listed_with_their_clients_aliases_and_end(program: Settlement) -> None:
    program("referrals", "alias", "spring26", "POSTER", *WHY)
    program("referrals", "bind", "okx", "1", "POSTER")
    assert "deactivated at" in program("referrals", "deactivate", "POSTER", *WHY).out
    row = program("referrals", "list").out.splitlines()[1].split()
    assert row[:7] == ["spring26", "sub", "spring", "1", "1", "2026-01-01T00:00:00Z", "-"]
    assert row[8] == "POSTER"
    [code] = program("referrals", "list", "--broker", "sub", "--json").json
    assert (code["clients"], code["client_limit"], code["aliases"]) == (1, 1, ["POSTER"])
    assert program("referrals", "list", "--broker", "beta").out.startswith("there are none")


def test_the_audit_log_is_exported_as_csv_and_json(program: Settlement, tmp_path: Path) -> None:
    program("brokers", "set", "sub", "--share", "0.3", "--from", JUNE, "--by", "bea", "--reason", 'he said "less"')
    rows = list(csv.DictReader(StringIO(program("audit", "export").out)))
    assert [row["act"] for row in rows] == [*["broker.add"] * 3, "client.add", "referral.add", "broker.set"]
    last = rows[-1]
    assert (last["by"], last["subject"], last["reason"], last["load_id"]) == ("bea", "sub", 'he said "less"', "5")
    assert (orjson.loads(last["before"])["share"], orjson.loads(last["after"])["share"]) == ("0.4", "0.3")
    about = program("audit", "export", "--subject", "sub", "--from", "2026-01-01", "--json").json
    assert [(row["act"], row["before"] is None, row["after"]["share"]) for row in about] == [
        ("broker.add", True, "0.4"),
        ("broker.set", False, "0.3"),
    ]
    assert program("audit", "export", "--to", "2026-01-01", "--format", "json").json == []
    assert program("audit", "export", "-o", tmp_path / "audit.csv").out == ""
    assert len((tmp_path / "audit.csv").read_text().splitlines()) == len(rows) + 1


def test_the_tree_is_shown_indented_and_as_json(program: Settlement) -> None:
    lines = program("brokers", "tree", "--month", "2026-03").out.splitlines()
    assert lines[0] == "2026-03 UTC, the tree as it stands now; USDT"
    assert [line.split()[0] for line in lines[2:]] == ["alpha", "sub", "beta"]
    assert lines[3].startswith("  sub")
    document = program("brokers", "tree", "sub", "--month", "2026-03", "--json").json
    [level] = document["brokers"]
    assert (document["month"], level["broker_id"], level["level"], level["clients"]) == ("2026-03", "sub", 2, 1)
    assert level["conversion"] == {"codes": 1, "linked": 0, "traded": 0, "earning": 0}
