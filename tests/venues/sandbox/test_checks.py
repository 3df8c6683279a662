"""Who is let in: each refusal with OKX's code and HTTP status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.venues.sandbox.running import Sandbox, get, headers_of, post, running, timestamp

CONFIG = "/api/v5/account/config"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    options = ("--accounts", "8", "--fills-per-hour", "100", "--token-seconds", "2")
    with running(*options) as started:
        yield started


@pytest.fixture(scope="module")
def oauth() -> Iterator[Sandbox]:
    with running("--accounts", "3", "--fills-per-hour", "100", "--oauth", "all", "--token-seconds", "2") as started:
        yield started


def ask(sandbox: Sandbox, headers: dict[str, str]) -> tuple[int, str]:
    response = httpx.get(sandbox.base_url + CONFIG, headers=headers)
    return response.status_code, response.json()["code"]


def test_a_signed_request_is_answered(sandbox: Sandbox) -> None:
    account = sandbox.accounts[0]
    config = get(account, "account/config").json()["data"][0]
    assert config["uid"] == account["account"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("OK-ACCESS-KEY", "50103"),
        ("OK-ACCESS-PASSPHRASE", "50104"),
        ("OK-ACCESS-SIGN", "50106"),
        ("OK-ACCESS-TIMESTAMP", "50107"),
    ],
)
def test_a_missing_header_is_named(sandbox: Sandbox, header: str, code: str) -> None:
    headers = headers_of(sandbox.accounts[0], "GET", CONFIG)
    del headers[header]
    assert ask(sandbox, headers) == (401, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"OK-ACCESS-KEY": "nobody"}, "50111"),
        ({"OK-ACCESS-PASSPHRASE": "wrong"}, "50105"),
        ({"OK-ACCESS-SIGN": "d3Jvbmc="}, "50113"),
        ({"x-simulated-trading": "1"}, "50101"),
    ],
)
def test_a_wrong_credential_has_its_own_code(sandbox: Sandbox, change: dict[str, str], code: str) -> None:
    assert ask(sandbox, headers_of(sandbox.accounts[0], "GET", CONFIG) | change) == (401, code)


@pytest.mark.parametrize(("ahead", "code"), [(-31, "50102"), (31, "50102"), (None, "50112")])
def test_a_timestamp_is_near_and_well_formed(sandbox: Sandbox, ahead: int | None, code: str) -> None:
    at = "1597026383085" if ahead is None else timestamp(ahead)
    assert ask(sandbox, headers_of(sandbox.accounts[0], "GET", CONFIG, at=at)) == (401, code)


def test_the_query_string_is_signed_too(sandbox: Sandbox) -> None:
    headers = headers_of(sandbox.accounts[0], "GET", "/api/v5/trade/fills?limit=1")
    response = httpx.get(f"{sandbox.base_url}/api/v5/trade/fills?limit=2", headers=headers)
    assert response.json()["code"] == "50113"


@pytest.mark.parametrize(
    ("number", "change", "expected"),
    [
        (1, {"ip": "203.0.113.7"}, (401, "50110")),
        (2, {"perm": "trade"}, (200, "50120")),
        (3, {"status": "revoked"}, (200, "50119")),
        (4, {"status": "blocked"}, (200, "50007")),
        (5, {"status": "frozen"}, (400, "50100")),
        (6, {"demo": True}, (401, "50101")),
    ],
)
def test_an_accounts_state_can_be_spoilt_and_mended(
    sandbox: Sandbox, number: int, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    account = sandbox.accounts[number]
    assert ask(sandbox, headers_of(account, "GET", CONFIG)) == (200, "0")
    before = next(each for each in sandbox.control("accounts") if each["account"] == account["account"])
    sandbox.control(f"accounts/{account['account']}", change)
    assert ask(sandbox, headers_of(account, "GET", CONFIG)) == expected
    sandbox.control(f"accounts/{account['account']}", {name: before[name] for name in change})
    assert ask(sandbox, headers_of(account, "GET", CONFIG)) == (200, "0")


def test_a_level_set_from_outside_shows_in_config_and_fees(sandbox: Sandbox) -> None:
    account = sandbox.accounts[7]
    sandbox.control(f"accounts/{account['account']}", {"level": "VIP6"})
    assert get(account, "account/config").json()["data"][0]["level"] == "VIP6"
    fee = get(account, "account/trade-fee", instType="SWAP").json()["data"][0]
    assert (fee["level"], fee["maker"], fee["taker"]) == ("vip6", "0.00004", "-0.00028")


def test_the_control_api_says_what_it_does_not_understand(sandbox: Sandbox) -> None:
    url = f"{sandbox.base_url}/sandbox/accounts/{sandbox.accounts[0]['account']}"
    assert httpx.post(url, json={"secret": "x"}).status_code == 400
    assert httpx.post(url, json={"demo": "yes"}).json()["error"] == "demo must be of type bool"
    assert httpx.post(f"{sandbox.base_url}/sandbox/accounts/1", json={}).status_code == 404
    assert httpx.post(f"{sandbox.base_url}/sandbox/clock", json={}).status_code == 400


def test_a_skewed_clock_refuses_our_time_and_tells_its_own() -> None:
    with running("--accounts", "1", "--fills-per-hour", "10") as sandbox:
        account = sandbox.accounts[0]
        sandbox.control("clock", {"offset_seconds": 40})
        assert ask(sandbox, headers_of(account, "GET", CONFIG)) == (401, "50102")
        told = int(httpx.get(f"{sandbox.base_url}/api/v5/public/time").json()["data"][0]["ts"])
        ahead = told / 1000 - time.time()
        assert 38 < ahead < 42
        assert ask(sandbox, headers_of(account, "GET", CONFIG, at=timestamp(ahead))) == (200, "0")


def test_a_token_expires_and_refreshing_ends_the_old_pair(oauth: Sandbox) -> None:
    account = oauth.accounts[0]
    first = {"Authorization": f"Bearer {account['access_token']}"}
    form = {name: account[name] for name in ("refresh_token", "client_id", "client_secret")}
    deadline = time.monotonic() + 10
    while (answer := ask(oauth, first)) != (401, "53002"):
        assert answer == (200, "0")
        assert time.monotonic() < deadline
        time.sleep(0.5)
    url = f"{oauth.base_url}/v5/users/oauth/token"
    given = httpx.post(url, data={"grant_type": "refresh_token", **form}).json()
    second = {"Authorization": f"Bearer {given['access_token']}"}
    assert ask(oauth, second) == (200, "0")
    assert ask(oauth, first) == (401, "53000")
    again = httpx.post(url, json={"grant_type": "refresh_token", **form})
    assert (again.status_code, again.json()["code"]) == (400, "53005")
    assert ask(oauth, second) == (200, "0")


@pytest.mark.parametrize(("word", "code"), [("Bearer made-up", "53000"), ("Basic abc", "50114")])
def test_a_made_up_authorization_is_refused(oauth: Sandbox, word: str, code: str) -> None:
    assert ask(oauth, {"Authorization": word}) == (401, code)


def test_only_the_broker_may_use_the_brokers_endpoints(sandbox: Sandbox) -> None:
    account, broker = sandbox.accounts[0], sandbox.broker
    assert broker["role"] == "broker"
    refused = get(account, "broker/fd/if-rebate", apiKey=account["api_key"])
    assert (refused.status_code, refused.json()["code"]) == (200, "50030")
    assert get(broker, "broker/fd/if-rebate", apiKey=account["api_key"]).json()["data"][0]["type"] in {"0", "3", "4"}


def test_withdrawing_needs_its_own_permission(sandbox: Sandbox) -> None:
    order = {"ccy": "USDT", "amt": "1", "dest": "3", "toAddr": "1001"}
    assert post(sandbox.accounts[0], "asset/withdrawal", **order).json()["code"] == "50120"
    assert post(sandbox.broker, "asset/withdrawal", **order).json()["code"] == "0"
