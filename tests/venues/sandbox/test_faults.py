"""What goes wrong on purpose: by script, by rate, over a limit, and rows that come late."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.venues.sandbox.running import Sandbox, get, headers_of, post, running, walk

HOUR_MS = 3_600_000
FILLS = "/api/v5/trade/fills"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running("--accounts", "6", "--fills-per-hour", "2000") as started:
        yield started


def past_hour(hours_ago: int = 1) -> dict[str, int]:
    start = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS - hours_ago * HOUR_MS
    return {"begin": start, "end": start + HOUR_MS - 1}


def plan(sandbox: Sandbox, fault: str, *, path: str = FILLS, **more: Any) -> None:
    sandbox.control("faults", {"script": [{"path": path, "nth": 1, "fault": fault, **more}]})


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("429", 429, "50011"),
        ("50011", 200, "50011"),
        ("50011_int", 429, 50011),
        ("50013", 429, "50013"),
        ("50001", 503, "50001"),
        ("50026", 500, "50026"),
        ("50004", 400, "50004"),
        ("skew", 401, "50102"),
    ],
)
def test_a_scripted_refusal_comes_once(sandbox: Sandbox, fault: str, status: int, code: object) -> None:
    plan(sandbox, fault)
    spoilt = get(sandbox.accounts[0], "trade/fills", limit=1)
    assert (spoilt.status_code, spoilt.json()["code"]) == (status, code)
    assert get(sandbox.accounts[0], "trade/fills", limit=1).json()["code"] == "0"


def test_a_script_waits_for_the_nth_request_of_its_account(sandbox: Sandbox) -> None:
    first, second = sandbox.accounts[:2]
    plan(sandbox, "50026", account=second["account"])
    sandbox.control("faults", {"script": [{"path": FILLS, "nth": 2, "fault": "50026", "account": second["account"]}]})
    answers = [get(who, "trade/fills", limit=1).status_code for who in (first, second, first, second, second)]
    assert answers == [200, 200, 200, 500, 200]


def test_a_proxys_page_is_no_json(sandbox: Sandbox) -> None:
    plan(sandbox, "502_html")
    spoilt = get(sandbox.accounts[0], "trade/fills", limit=1)
    assert (spoilt.status_code, spoilt.headers["content-type"]) == (502, "text/html")


def test_a_connection_is_cut_before_and_inside_an_answer(sandbox: Sandbox) -> None:
    plan(sandbox, "cut")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        get(sandbox.accounts[0], "trade/fills")
    plan(sandbox, "cut_inside")
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|peer closed"):
        get(sandbox.accounts[0], "trade/fills")
    assert get(sandbox.accounts[0], "trade/fills").json()["code"] == "0"


def test_a_body_is_truncated_though_its_length_matches(sandbox: Sandbox) -> None:
    plan(sandbox, "truncated")
    spoilt = get(sandbox.accounts[0], "trade/fills")
    assert int(spoilt.headers["content-length"]) == len(spoilt.content)
    with pytest.raises(json.JSONDecodeError):
        spoilt.json()


def test_a_slow_body_arrives_whole(sandbox: Sandbox) -> None:
    plan(sandbox, "slow", seconds=0.6)
    begun = time.monotonic()
    assert len(get(sandbox.accounts[0], "trade/fills", **past_hour()).json()["data"]) == 100
    assert time.monotonic() - begun > 0.5


def test_some_rows_come_twice_in_one_page(sandbox: Sandbox) -> None:
    plan(sandbox, "duplicate_rows")
    rows = get(sandbox.accounts[0], "trade/fills", **past_hour()).json()["data"]
    assert len(rows) == 103
    assert len({row["billId"] for row in rows}) == 100


@pytest.mark.parametrize(("fault", "moved"), [("50004_applied", 1), ("50004_lost", 0)])
def test_an_unknown_outcome_is_applied_or_lost(sandbox: Sandbox, fault: str, moved: int) -> None:
    account, client_id = sandbox.accounts[2], f"try{fault[6:]}"
    plan(sandbox, fault, path="/api/v5/asset/transfer")
    order = {"ccy": "USDT", "amt": "1", "from": "6", "to": "18", "clientId": client_id}
    assert post(account, "asset/transfer", **order).json()["code"] == "50004"
    assert len(get(account, "asset/transfer-state", clientId=client_id).json()["data"]) == moved


def test_a_fault_that_does_not_exist_is_refused(sandbox: Sandbox) -> None:
    url = f"{sandbox.base_url}/sandbox/faults"
    refused = httpx.post(url, json={"script": [{"path": FILLS, "fault": "earthquake"}]})
    assert refused.status_code == 400
    assert "earthquake is no fault" in refused.json()["error"]


def test_what_is_over_a_limit_is_refused_under_both_statuses_and_counted(sandbox: Sandbox) -> None:
    account = sandbox.accounts[3]
    before = sandbox.stats()["over_limit"].get("GET /api/v5/account/config", 0)
    with httpx.Client(base_url=sandbox.base_url) as client:
        headers = headers_of(account, "GET", "/api/v5/account/config")
        answers = [client.get("/api/v5/account/config", headers=headers) for _ in range(9)]
    assert [answer.json()["code"] for answer in answers] == ["0"] * 5 + ["50011"] * 4
    assert {answer.status_code for answer in answers[5:]} == {200, 429}
    assert sandbox.stats()["over_limit"]["GET /api/v5/account/config"] == before + 4
    deadline = time.monotonic() + 5
    while get(account, "account/config").json()["code"] != "0":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_limits_are_each_users_own(sandbox: Sandbox) -> None:
    codes = [
        get(who, "account/trade-fee", instType="SPOT").json()["code"] for who in sandbox.accounts for _ in range(4)
    ]
    assert set(codes) == {"0"}


def test_faults_by_rate_hit_their_share_and_never_the_control_api() -> None:
    with running("--accounts", "3", "--fills-per-hour", "500", "--faults", "0.5", "--fault-seed", "5") as sandbox:
        outcomes: Counter[str] = Counter()
        for number in range(150):
            try:
                answer = get(sandbox.accounts[number % 3], "trade/fills", limit=5)
                outcomes[str(answer.json()["code"])] += 1
            except (httpx.TransportError, json.JSONDecodeError):
                outcomes["broken"] += 1
        counted = sandbox.stats()
        assert 45 < sum(counted["faults"].values()) < 105
        assert len(counted["faults"]) >= 10
        assert counted["over_limit"] == {}
        assert outcomes["broken"] > 5
    assert sandbox.process.returncode == 0


def test_a_hidden_row_is_served_from_the_second_reading_on() -> None:
    with running("--accounts", "2", "--fills-per-hour", "1000", "--hidden-per-mille", "100") as sandbox:
        account = sandbox.accounts[0]
        first, second, third = (walk(account, "trade/fills", **past_hour()) for _ in range(3))
        assert len(first) < len(second)
        assert second == third
        assert [row for row in second if row in first] == first


def test_a_late_record_has_a_late_ts_and_stands_where_it_was_recorded() -> None:
    with running("--accounts", "2", "--fills-per-hour", "1000", "--late-per-mille", "100") as sandbox:
        rows = walk(sandbox.accounts[0], "trade/fills", **past_hour())
        late = [row for row in rows if int(row["ts"]) - int(row["fillTime"]) >= 120_000]
        assert 0.03 < len(late) / len(rows) < 0.25
        stamps = [int(row["ts"]) for row in rows]
        assert stamps == sorted(stamps, reverse=True)


def test_held_rows_come_when_their_hold_ends_and_holds_share_no_row(sandbox: Sandbox) -> None:
    account = sandbox.accounts[4]
    asked = {"account": account["account"]}
    whole = {row["billId"] for row in walk(account, "trade/fills", **past_hour(2))}
    until = time.time_ns() // 1_000_000 + 5_000
    sandbox.control("late", {"share_per_mille": 200, "until": until, **asked})
    kept = sandbox.control("late", {"share_per_mille": 100, "until": "released", **asked})
    without_both = {row["billId"] for row in walk(account, "trade/fills", **past_hour(2))}
    while time.time_ns() // 1_000_000 <= until:
        time.sleep(0.1)
    without_one = {row["billId"] for row in walk(account, "trade/fills", **past_hour(2))}
    assert without_both < without_one < whole
    assert 0.02 < len(whole - without_one) / len(whole) < 0.2
    assert sandbox.control("release", {"hold": kept["hold"]})[0]["share_per_mille"] == 100
    assert {row["billId"] for row in walk(account, "trade/fills", **past_hour(2))} == whole


def test_the_control_api_lists_what_exists_held_or_not(sandbox: Sandbox) -> None:
    account = sandbox.accounts[5]
    span = {name: str(value) for name, value in past_hour(2).items()}
    hold = sandbox.control("late", {"share_per_mille": 300, "account": account["account"]})
    seen = sandbox.fills(account=account["account"], **span)
    existing = sandbox.fills(account=account["account"], all="true", **span)
    sandbox.control("release", {"hold": hold["hold"]})
    assert 0 < len(seen) < len(existing)
    assert sandbox.fills(account=account["account"], **span) == existing


def test_an_expired_token_fault_is_mended_by_a_refresh() -> None:
    with running("--accounts", "1", "--fills-per-hour", "10", "--oauth", "all") as sandbox:
        account = sandbox.accounts[0]
        plan(sandbox, "expired_token")
        first = {"Authorization": f"Bearer {account['access_token']}"}
        assert [httpx.get(sandbox.base_url + FILLS, headers=first).json()["code"] for _ in range(2)] == [
            "53002",
            "53002",
        ]
        form = {"grant_type": "refresh_token", "refresh_token": account["refresh_token"]}
        given = httpx.post(f"{sandbox.base_url}/v5/users/oauth/token", data=form).json()
        second = {"Authorization": f"Bearer {given['access_token']}"}
        assert httpx.get(sandbox.base_url + FILLS, headers=second).json()["code"] == "0"
