"""The envelope is read leniently, and what is none is an answer that did not arrive."""

from __future__ import annotations

import pytest

from settlement.venues.okx.envelope import data_of
from settlement.venues.okx.errors import Action, OkxError

PROXY = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b'{"code":"0","msg":"","data":[{"uid":"1"}]}', [{"uid": "1"}]),
        (b'{"code":0,"data":[1]}', [1]),
        (b'{"code":"0","msg":""}', []),
        (b'{"inTime":"1","code":"0","new":{"x":[]},"data":[],"outTime":"2"}', []),
        (b' {"data": ["a"], "code": "0"}\n', ["a"]),
    ],
)
def test_an_answer_gives_its_rows(body: bytes, data: list[object]) -> None:
    assert data_of(body, status=200) == data


@pytest.mark.parametrize(
    ("body", "status", "action", "code"),
    [
        (b'{"code":"50011","msg":"Too Many Requests","data":[]}', 200, Action.BACK_OFF, "50011"),
        (b'{"code":"50011","msg":"Too Many Requests","data":[]}', 429, Action.BACK_OFF, "50011"),
        (b'{"msg":"Requests too frequent.","code":50011}', 429, Action.BACK_OFF, "50011"),
        (b'{"code":"50119","msg":"API key does not exist"}', 200, Action.PARK, "50119"),
        (b'{"code":"1","msg":"Operation failed.","data":[{"sCode":"58350"}]}', 200, Action.REFUSE, "1"),
        (b'{"code":"0","msg":"","data":[]}', 500, Action.RETRY, ""),
        (b'{"code":"0","msg":"","data":{}}', 200, Action.RETRY, ""),
        (b'{"code":"0","msg":"","data":null}', 200, Action.RETRY, ""),
        (b'{"code":"0","msg":"","data":[{"bil', 200, Action.RETRY, ""),
        (b'{"code":"0","msg":"","data":[{"bil', 503, Action.RETRY, ""),
        (b"", 200, Action.RETRY, ""),
        (b"[]", 200, Action.RETRY, ""),
        (b'{"error":"x"}', 200, Action.RETRY, ""),
        (b'{"message":"rate limited"}', 429, Action.BACK_OFF, ""),
        (b'{"message":"forbidden"}', 403, Action.ALERT, ""),
        (PROXY, 200, Action.RETRY, ""),
        (PROXY, 502, Action.RETRY, ""),
        (PROXY, 429, Action.BACK_OFF, ""),
        (b"\xff\xfe", 200, Action.RETRY, ""),
    ],
)
def test_every_other_answer_is_an_error(body: bytes, status: int, action: Action, code: str) -> None:
    with pytest.raises(OkxError) as refused:
        data_of(body, status=status)
    assert (refused.value.action, refused.value.code, refused.value.status) == (action, code, status)


def test_what_a_proxy_wrote_is_not_repeated() -> None:
    with pytest.raises(OkxError) as refused:
        data_of(PROXY, status=502)
    assert str(refused.value) == "OKX answers HTTP 502"
