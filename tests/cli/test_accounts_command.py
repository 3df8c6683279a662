"""`settlement accounts` as somebody types it; no secret in any output, whatever goes wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

import settlement.cli.accounts  # noqa: F401 - registers the commands
from settlement.cli.main import main
from settlement.store.secret_key import new_key
from tests.ran import Ran

KEYS = {"api_key": "AK-HUSH-1", "secret": "SK-HUSH-2", "passphrase": "PP-HUSH-3"}
ONE = {"account": "900100200300", "base_url": "http://127.0.0.1:9", **KEYS}
OAUTH = {
    "account": "900100200301",
    "base_url": "https://openapi.okx.com",
    "access_token": "AT-HUSH-4",
    "refresh_token": "RT-HUSH-5",
    "client_secret": "CS-HUSH-6",
}


Run = Callable[..., Ran]


@pytest.fixture
def run(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)
    monkeypatch.setenv("SETTLEMENT_REDIS_URL", redis_url)
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", new_key())
    monkeypatch.setenv("SETTLEMENT_LOG_LEVEL", "DEBUG")

    def run_command(*arguments: object, given: Any = None) -> Ran:
        content = given if isinstance(given, bytes) else orjson.dumps(given)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        monkeypatch.setattr("sys.argv", ["settlement", "accounts", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        assert "HUSH" not in captured.out + captured.err
        return Ran(code=int(left.value.code or 0), out=captured.out, err=captured.err)

    return run_command


def listed(run: Run) -> dict[str, dict[str, Any]]:
    return {each["account"]: each for each in orjson.loads(run("list", "--json").out)}


def test_accounts_are_added_from_a_file_and_from_standard_input(run: Run, tmp_path: Path) -> None:
    assert "there are no accounts" in run("list").out
    (tmp_path / "one.json").write_bytes(orjson.dumps(ONE))
    assert run("add", "--from-json", tmp_path / "one.json").out == "1 account added\n"
    assert run("add", "--from-json", "-", given=[ONE, OAUTH]).out == "1 account added, 1 account unchanged\n"
    told = orjson.loads(run("add", "--from-json", "-", "--json", given=ONE | {"secret": "SK-HUSH-9"}).out)
    assert told["replaced"] == 1
    assert told["accounts"] == [{"venue": "okx", "account": "900100200300", "outcome": "replaced"}]


def test_the_line_of_a_sandbox_is_taken_as_it_is(run: Run) -> None:
    account = {"venue": "okx", **ONE}
    line = {"base_url": ONE["base_url"], "accounts": [account], "broker": account | {"account": "1", "role": "broker",
            "api_key": "AK-HUSH-7"}, **account}  # fmt: skip
    assert run("add", "--from-json", "-", given=orjson.dumps(line) + b"\n").out == "2 accounts added\n"
    assert {name: each["role"] for name, each in listed(run).items()} == {"900100200300": "client", "1": "broker"}


def test_the_list_shows_whole_ids_and_why_an_account_is_out_of_use(run: Run) -> None:
    run("add", "--from-json", "-", "--by", "ana", given=[ONE | {"pull_from": "2026-09-01T00:00:00Z"}, OAUTH])
    assert run("disable", "900100200300", "--reason", "left the program").code == 0
    lines = run("list").out.splitlines()
    assert lines[1].split()[:6] == ["okx", "900100200300", "client", "api", "disabled", "2026-09-01T00:00:00Z"]
    assert lines[2] == "    disabled: left the program"
    found = listed(run)["900100200300"]
    assert (found["status_reason"], found["added_by"], found["health"]) == ("left the program", "ana", None)
    assert run("enable", "900100200300").code == 0
    assert listed(run)["900100200300"]["status"] == "active"


def test_a_refusal_is_one_line_and_adds_nothing(run: Run) -> None:
    ran = run("add", "--from-json", "-", given=[ONE, OAUTH | {"refresh_token": ""}])
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "settlement: standard input, account 2 (***0301): refresh_token is missing; give refresh_token as text\n"
    )
    assert listed(run) == {}


def test_an_account_that_is_not_there_is_refused_with_the_mend(run: Run) -> None:
    ran = run("disable", "77", "--reason", "x")
    assert (ran.code, "no such account; settlement accounts list" in ran.err) == (1, True)
    assert run("enable", "77").code == 1
    assert run("check", "77").code == 1
    assert run("disable", "77", "--reason", " ").code == 2
    assert run("add", "--from-json", "missing.json").code == 1


def test_a_wrong_key_is_told_and_mended_by_the_right_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", "--from-json", "-", given=ONE)
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", new_key())
    ran = run("check")
    assert ran.code == 1
    assert "the secret key is not the one these credentials were sealed with" in ran.out
    assert "SETTLEMENT_SECRET_KEY" in ran.out
    assert run("reseal").code == 1
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", "SECRET-and-malformed")
    assert "key 1 is malformed" in run("check").err


def test_keys_are_rotated_by_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (run("new-key").out.strip() for _ in range(2))
    assert old != new
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", old)
    run("add", "--from-json", "-", given=[ONE, OAUTH])
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", f"{new},{old}")
    assert run("reseal").out == "2 accounts sealed with the newest key of SETTLEMENT_SECRET_KEY\n"
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", new)
    assert "2 accounts unchanged" in run("add", "--from-json", "-", given=[ONE, OAUTH]).out


def test_a_host_that_does_not_answer_is_broken_and_kept(run: Run, superuser: psycopg.Connection) -> None:
    run("add", "--from-json", "-", given=ONE)
    ran = run("check", "--json")
    assert ran.code == 1
    [found] = orjson.loads(ran.out)
    assert found["health"]["condition"] == "broken"
    assert "127.0.0.1" in found["health"]["found"]
    assert "base_url" in found["health"]["next_step"]
    assert superuser.execute("SELECT account, condition FROM venue_account_health").fetchall() == [
        ("900100200300", "broken")
    ]
    assert listed(run)["900100200300"]["health"]["condition"] == "broken"
