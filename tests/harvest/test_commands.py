"""`pull`, `backfill`, `coverage` and `snapshot` as somebody types them: what is refused, and what a failure leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
import pytest
from tenacity import wait_none

from settlement.cli.snapshot import KINDS
from settlement.store.database import Database
from settlement.store.secret_key import new_key
from settlement.venues.okx import client
from tests.harvest.desk import HOUR, the_hour
from tests.harvest.many import execute
from tests.harvest.shell import Shell
from tests.ran import Ran
from tests.venues.sandbox.running import Sandbox, running

MARKET = ("--accounts", "2", "--fills-per-hour", "60")
NOW_RANGE = ("--from", "2026-03-02T06:00Z", "--to", "2026-03-02T07:00Z")
ASKING = ("pull", "backfill")


@pytest.fixture
def sandbox(shell: Shell) -> Iterator[Sandbox]:
    """A small exchange, its accounts added by its own line."""
    with running(*MARKET) as found:
        shell.hush(found.line)
        given = {**found.line, "pull_from": the_hour().isoformat()}
        given["accounts"] = [{**account, "pull_from": the_hour().isoformat()} for account in found.accounts]
        assert shell.done("accounts", "add", "--from-json", "-", given=given) == "3 accounts added\n"
        yield found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between tries are tested elsewhere."""
    monkeypatch.setattr(client, "_soon", wait_none())
    monkeypatch.setattr(client, "_later", wait_none())


def hour_range(start: datetime | None = None) -> tuple[str, ...]:
    begins = start or the_hour()
    return "--from", begins.isoformat(), "--to", (begins + HOUR).isoformat()


def complaint(ran: Ran) -> str:
    """Standard error in one line, without the frame that usage errors come in."""
    return " ".join(ran.err.replace("│", " ").split())


def lines(ran: Ran) -> list[str]:
    return ran.err.splitlines()


def counted(ran: Ran) -> dict[str, int]:
    """The counts of a command's text: `3 read, 2 stored, ...`."""
    pairs = (part.split() for part in ran.out.strip().split(", "))
    return {name: int(number) for number, name in pairs}


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("command", [*((name, *NOW_RANGE) for name in ASKING), *(("snapshot", kind) for kind in KINDS)])
def test_without_an_account_there_is_nobody_to_ask(shell: Shell, command: tuple[str, ...]) -> None:
    ran = shell.run(*command)
    assert (ran.code, ran.out) == (1, "")
    assert lines(ran)[-1:] == ["settlement: no account is active; settlement accounts add --from-json FILE"]


@pytest.mark.parametrize("command", ASKING)
def test_an_account_that_is_unknown_or_out_of_use_is_named(shell: Shell, sandbox: Sandbox, command: str) -> None:
    uid = sandbox.accounts[0]["account"]
    shell.done("accounts", "disable", uid, "--reason", "left the program")
    for name in ("5550001", uid, sandbox.broker["account"]):
        ran = shell.run(command, *hour_range(), "--account", name)
        assert (ran.code, ran.out) == (1, "")
        [line] = lines(ran)
        assert line.startswith(f"settlement: okx {name}: no such active client account; settlement accounts list")
    assert sandbox.stats()["requests"] == {}


@pytest.mark.parametrize("command", ASKING)
@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("2026-03-02T07:00Z", "2026-03-02T06:00Z", "is not after --from"),
        ("2026-03-02T07:00Z", "2026-03-02T07:00Z", "is not after --from"),
        ("2026-03-02T08:00+02:00", "2026-03-02T05:00Z", "is not after --from"),
        ("noon", "2026-03-02T07:00Z", "--from: 'noon' is not a time"),
        ("2026-03-02T07:00Z", "2026-03-02T25:00Z", "--to: '2026-03-02T25:00Z' is not a time"),
        ("2026-03-02T06:00", "2026-03-02T07:00Z", "has no zone"),
    ],
)
def test_a_range_that_makes_no_sense_is_wrong_usage(
    shell: Shell, command: str, start: str, end: str, told: str
) -> None:
    ran = shell.run(command, "--from", start, "--to", end)
    assert (ran.code, ran.out) == (2, "")
    assert told in complaint(ran)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rumours"], "'rumours' is none of instruments, prices, levels, eligibility"),
        (["prices", "--from", "2026-03-02T06:00Z"], "--from and --to go together"),
        (["prices", "--to", "2026-03-02T06:00Z"], "--from and --to go together"),
        (["prices", "--from", "noon", "--to", "2026-03-02T06:00Z"], "'noon' is not a time"),
        (["prices", "--from", "2026-03-02T07:00Z", "--to", "2026-03-02T06:00Z"], "is not after --from"),
    ],
)
def test_a_snapshot_of_what_makes_no_sense_is_wrong_usage(shell: Shell, arguments: list[str], told: str) -> None:
    ran = shell.run("snapshot", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in complaint(ran)


def test_what_is_older_than_the_exchange_keeps_is_said(shell: Shell, sandbox: Sandbox) -> None:
    ran = shell.run("backfill", *hour_range(the_hour(91 * 24)), "--json")
    assert "of the last 90 days" in ran.err
    assert ran.json["stored"] == 0
    assert sandbox.stats()["over_limit"] == {}


# ---------------------------------------------------------------- what is told


def test_a_pull_prints_what_ingest_prints_and_again_finds_nothing_new(shell: Shell, sandbox: Sandbox) -> None:
    first = counted(shell.run("pull", *hour_range()))
    assert list(first) == ["read", "stored", "duplicate", "conflict", "quarantined"]
    assert first == {"read": 60, "stored": 60, "duplicate": 0, "conflict": 0, "quarantined": 0}
    again = shell.run("pull", *hour_range(), "--json").json
    assert (again["stored"], again["duplicate"], again["accounts"], again["failed"]) == (0, 60, 2, 0)
    only = shell.run("pull", *hour_range(), "--account", sandbox.accounts[0]["account"], "--json").json
    assert 0 < only["duplicate"] < 60
    assert only["accounts"] == 1


def test_back_filling_asks_for_each_hour_once(shell: Shell, sandbox: Sandbox) -> None:
    first = shell.run("backfill", *hour_range(), "--json").json
    asked = sandbox.stats()["requests"]
    again = shell.run("backfill", *hour_range(), "--json").json
    assert (first["stored"], again["read"], again["pages"]) == (60, 0, 0)
    assert sandbox.stats()["requests"] == asked
    [row, _] = shell.run("coverage", *hour_range(), "--json").json
    assert row["hours"] == [{"hour": the_hour().isoformat(), "state": "complete"}]


@pytest.mark.usefixtures("impatient")
def test_a_failing_account_is_one_line_and_the_exit_code_and_what_was_stored_stays(
    shell: Shell, sandbox: Sandbox, database: Database
) -> None:
    good, bad = (account["account"] for account in sandbox.accounts)
    sandbox.control(f"accounts/{bad}", {"status": "revoked"})
    ran = shell.run("pull", *hour_range())
    assert ran.code == 1
    failed, ended = (line for line in lines(ran) if line.startswith(("okx ", "settlement: ")))
    assert failed.startswith(f"okx {bad} ")
    assert "revoked" in failed
    assert ended == "settlement: 1 pull ended early; what was stored stays: run the same command again"
    assert good not in ran.err
    stored = counted(ran)["stored"]
    assert 0 < stored < 60
    [fills] = execute(database, "SELECT count(*) AS number, min(account) AS account FROM fill")
    assert (fills.number, fills.account) == (stored, good)
    rows = {row["account"]: row for row in shell.run("coverage", *hour_range(), "--json").json}
    assert (rows[good]["error"], rows[good]["hours"][0]["state"]) == (None, "complete")
    assert (rows[bad]["status"], rows[bad]["hours"][0]["state"], rows[bad]["failures"]) == ("parked", "gap", 1)
    sandbox.control(f"accounts/{bad}", {"status": "active"})
    shell.done("accounts", "enable", bad)
    mended = shell.run("pull", *hour_range(), "--json").json
    assert (mended["stored"], mended["duplicate"]) == (60 - stored, stored)


@pytest.mark.usefixtures("impatient")
def test_the_json_of_a_pull_that_failed_counts_the_failures(shell: Shell, sandbox: Sandbox) -> None:
    uid = sandbox.accounts[0]["account"]
    script = [{"path": "/api/v5/trade/fills", "nth": 1, "times": 500, "fault": "50026", "account": uid}]
    sandbox.control("faults", {"script": script})
    ran = shell.run("pull", *hour_range(), "--json")
    assert ran.code == 1
    counts = as_json(ran)
    assert counts["failed"] == len([line for line in lines(ran) if line.startswith(f"okx {uid} ")]) == 6
    assert 0 < counts["stored"] < 60
    sandbox.control("faults", {"script": []})
    mended = shell.run("backfill", *hour_range(), "--json").json
    assert counts["stored"] + mended["stored"] == 60


def test_credentials_that_do_not_open_are_told_with_the_mend(
    shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", new_key())
    for command in ("pull", "backfill"):
        ran = shell.run(command, *hour_range())
        assert (ran.code, ran.out) == (1, "")
        assert "SETTLEMENT_SECRET_KEY" in lines(ran)[-1]
    assert sandbox.stats()["requests"] == {}


def test_a_wrong_key_is_named_without_being_shown(shell: Shell, sandbox: Sandbox) -> None:
    wrong = sandbox.accounts[0] | {"secret": "HUSH-WRONG-SECRET", "pull_from": the_hour().isoformat()}
    shell.hush(wrong)
    shell.done("accounts", "add", "--from-json", "-", given=wrong)
    ran = shell.run("pull", *hour_range())
    assert ran.code == 1
    [told, _] = lines(ran)
    assert told.startswith(f"okx {wrong['account']} ")
    assert "the signature is wrong (50113); add the account again with the secret of this key" in told


def test_a_snapshot_tells_what_it_loaded(shell: Shell, sandbox: Sandbox) -> None:
    ran = shell.run("snapshot", "instruments", "levels", "--json")
    assert list(ran.json) == ["instruments", "levels"]
    text = shell.done("snapshot", "instruments", "levels").splitlines()
    assert [line.partition(":")[0] for line in text] == ["instruments", "levels"]
    assert sandbox.stats()["over_limit"] == {}


def as_json(ran: Ran) -> Any:
    """What a command printed although it failed."""
    return Ran(code=0, out=ran.out, err=ran.err).json


def test_the_doctor_says_what_is_left_of_the_exchanges_limits(shell: Shell, sandbox: Sandbox) -> None:
    shell.done("pull", *hour_range())
    checks = {check["name"]: check for check in orjson.loads(shell.run("doctor", "--json").out)["checks"]}
    budget = checks["OKX's limits"]
    assert budget["condition"] == "ok"
    found = re.match(
        r"2 accounts: trade/fills at least (\d+) of 54 left in 2 s \(okx (\d+)\), trade/fills-history", budget["found"]
    )
    assert found is not None, budget["found"]
    assert found[2] in {account["account"] for account in sandbox.accounts}
