"""`settlement accounts check` against the sandbox: each trouble is named with its cause and its mend."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import settlement.cli.main  # noqa: F401 - registers every command
from settlement.cli.app import app
from settlement.store.secret_key import new_key
from tests.venues.sandbox.running import Sandbox, running

Check = Callable[..., dict[str, Any]]
PLAIN = {"perm": "read_only", "ip": "", "demo": False, "status": "active"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running("--seed", "3", "--accounts", "3") as exchange:
        yield exchange


@pytest.fixture(scope="module")
def oauth() -> Iterator[Sandbox]:
    with running("--seed", "4", "--accounts", "2", "--oauth", "all", "--token-seconds", "1") as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def configured(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)
    monkeypatch.setenv("SETTLEMENT_REDIS_URL", redis_url)
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", new_key())


def run(*arguments: str, given: Any = None) -> tuple[int, str]:
    content = orjson.dumps(given) if given is not None else b""
    result = CliRunner().invoke(app, ["accounts", *arguments], input=content, catch_exceptions=False)
    return result.exit_code, result.stdout


def checked(account: dict[str, Any], *, plain: dict[str, Any] | None = None) -> dict[str, Any]:
    """Adds `account` and checks it; nothing that opens it may show, and the exit code says whether it is broken."""
    assert run("add", "--from-json", "-", given=account)[0] == 0
    code, out = run("check", account["account"], "--json")
    _, text = run("check", account["account"])
    names = ("api_key", "secret", "passphrase", "access_token", "refresh_token", "client_secret")
    secrets = [account[name] for name in names if account.get(name)] + list((plain or {}).values())
    assert [secret for secret in secrets if secret in out + text] == []
    [found] = orjson.loads(out)
    assert (code == 1) is (found["health"]["condition"] == "broken")
    assert found["health"]["found"] in text
    return {**found, **found["health"]}


def edited(sandbox: Sandbox, **state: Any) -> dict[str, Any]:
    account = sandbox.accounts[0]
    sandbox.control(f"accounts/{account['account']}", {**PLAIN, **state})
    return account


def test_an_account_that_answers_is_well_with_level_permissions_and_requests_left(sandbox: Sandbox) -> None:
    account = edited(sandbox, level="VIP2")
    found = checked(account)
    assert (found["condition"], found["found"]) == ("ok", f"answers as {account['account']}, level VIP2")
    assert (found["permissions"], found["level"], found["next_step"]) == ("read_only", "VIP2", "")
    budgets = {budget["path"]: budget for budget in found["budgets"]}
    config = budgets["/api/v5/account/config"]
    assert config["remaining"] < config["limit"] <= 5
    assert budgets["/api/v5/trade/fills-history"]["remaining"] == budgets["/api/v5/trade/fills-history"]["limit"]


@pytest.mark.parametrize(
    ("changes", "code", "cause", "mend"),
    [
        ({"api_key": "11111111-2222-3333-4444-555555555555"}, "50111", "API key", "check api_key"),
        ({"passphrase": "another-one"}, "50105", "passphrase is wrong", "passphrase of this key"),
        ({"secret": "0123456789ABCDEF"}, "50113", "signature is wrong", "secret of this key"),
        ({"demo": True}, "50101", "other environment", "demo true for a demo key"),
    ],
)
def test_credentials_that_are_wrong_are_told_apart(
    sandbox: Sandbox, changes: dict[str, Any], code: str, cause: str, mend: str
) -> None:
    found = checked({**edited(sandbox), **changes})
    assert found["condition"] == "broken"
    assert f"({code})" in found["found"]
    assert cause in found["found"]
    assert mend in found["next_step"]


@pytest.mark.parametrize(
    ("state", "code", "mend"),
    [
        ({"perm": "trade"}, "50120", "Read permission"),
        ({"ip": "203.0.113.7"}, "50110", "IP list"),
        ({"status": "revoked"}, "50119", "make a new key"),
        ({"status": "blocked"}, "50007", "support"),
        ({"status": "frozen"}, "50100", "support"),
        ({"demo": True}, "50101", "demo"),
    ],
)
def test_what_the_venue_holds_against_a_key_is_named(
    sandbox: Sandbox, state: dict[str, Any], code: str, mend: str
) -> None:
    found = checked(edited(sandbox, **state))
    assert (found["condition"], f"({code})" in found["found"], mend in found["next_step"]) == ("broken", True, True)


def test_credentials_of_another_account_are_broken(sandbox: Sandbox) -> None:
    owner = edited(sandbox)
    found = checked({**owner, "account": "424242424242"})
    assert found["condition"] == "broken"
    assert found["found"] == f"the credentials are those of {owner['account']}, not of 424242424242"


def test_a_key_that_ends_when_it_lies_idle_needs_attention_unless_it_is_bound(sandbox: Sandbox) -> None:
    found = checked(edited(sandbox, perm="read_only,trade"))
    assert (found["condition"], found["permissions"]) == ("attention", "read_only, trade")
    assert "14 days" in found["found"]
    bound = checked(edited(sandbox, perm="read_only,trade", ip="127.0.0.1"))
    assert (bound["condition"], bound["ip"]) == ("ok", "127.0.0.1")


@pytest.mark.parametrize(("offset", "side"), [(40, "behind"), (-40, "ahead of")])
def test_a_clock_that_is_off_is_measured_and_does_not_break_the_account(
    sandbox: Sandbox, offset: int, side: str
) -> None:
    account = edited(sandbox)
    sandbox.control("clock", {"offset_seconds": offset})
    try:
        found = checked(account)
    finally:
        sandbox.control("clock", {"offset_seconds": 0})
    assert found["condition"] == "attention"
    assert re.fullmatch(rf"this machine's clock is (39|40|41) s {side} OKX's", found["found"])
    assert "NTP" in found["next_step"]


def test_one_that_is_broken_does_not_hide_the_others_and_all_are_listed(sandbox: Sandbox) -> None:
    edited(sandbox)
    good, other, third = sandbox.accounts
    wrong = {**other, "passphrase": "another-one"}
    assert run("add", "--from-json", "-", given=[good, wrong, third])[0] == 0
    code, out = run("check", "--json")
    conditions = {each["health"]["account"]: each["health"]["condition"] for each in orjson.loads(out)}
    assert (code, conditions[good["account"]], conditions[other["account"]]) == (1, "ok", "broken")
    assert len(conditions) == 3
    listed = {each["account"]: each for each in orjson.loads(run("list", "--json")[1])}
    assert "(50105)" in listed[other["account"]]["health"]["found"]


def test_an_access_token_that_has_expired_is_renewed_on_the_way(oauth: Sandbox) -> None:
    account = {**oauth.accounts[0], "access_token": "an-old-one"}
    before = oauth.stats()["tokens_refreshed"]
    found = checked(account)
    assert found["condition"] in {"ok", "attention"}
    assert found["found"].startswith(f"answers as {account['account']}") or "OAuth" in found["found"]
    assert found["tokens_until"]
    assert oauth.stats()["tokens_refreshed"] > before


def test_tokens_that_cannot_be_renewed_ask_for_a_new_authorisation(oauth: Sandbox) -> None:
    account = {**oauth.accounts[1], "access_token": "an-old-one", "refresh_token": "another-old-one"}
    found = checked(account)
    assert found["condition"] == "broken"
    assert "(53005)" in found["found"]
    assert "authorise again" in found["next_step"]
