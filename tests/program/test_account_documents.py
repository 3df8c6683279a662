"""Accounts are handed in as JSON of several shapes; a fault names the account, the key and the mend, never a value."""
# ruff: noqa: S106 - what these secrets open does not exist

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from settlement.errors import InputRefused
from settlement.program.account_documents import AccountEntry, parse_accounts
from settlement.program.venue_accounts import ApiKey, OAuthTokens

KEYS = {"api_key": "AK-SECRET-1", "secret": "SK-SECRET-2", "passphrase": "PP-SECRET-3"}
ONE = {"account": "900100200300", "base_url": "https://openapi.okx.com", **KEYS}
TOKENS = {"access_token": "AT-SECRET-4", "refresh_token": "RT-SECRET-5"}


def parsed(document: Any) -> list[AccountEntry]:
    return parse_accounts(orjson.dumps(document), source="accounts.json")


def refused(document: Any) -> str:
    with pytest.raises(InputRefused) as refusal:
        parsed(document)
    assert "SECRET" not in str(refusal.value)
    assert refusal.value.mend
    return f"{refusal.value.where}: {refusal.value.what}"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ONE.items() if key != name}


def test_one_object_is_one_account_with_its_defaults() -> None:
    [entry] = parsed(ONE | {"later": {"unknown": 1}})
    account = entry.account
    assert (account.venue, account.account, account.role, account.demo) == ("okx", "900100200300", "client", False)
    assert account.credentials == ApiKey(api_key="AK-SECRET-1", secret="SK-SECRET-2", passphrase="PP-SECRET-3")
    assert entry.pull_from is None
    assert "SECRET" not in repr(entry)


def test_tokens_make_an_oauth_account() -> None:
    document = {"account": 7, "base_url": "https://x.example", **TOKENS, "client_id": "c", "expires_at": 1767225600000}
    [entry] = parsed(document)
    assert entry.account.account == "7"
    assert entry.account.credentials == OAuthTokens(
        access_token="AT-SECRET-4",
        refresh_token="RT-SECRET-5",
        client_id="c",
        expires_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_an_object_of_accounts_passes_its_host_on_and_its_broker_is_one() -> None:
    document = {
        "base_url": "http://127.0.0.1:8080/", "venue": "okx", "account": "1", **KEYS,
        "accounts": [{"account": "1", **KEYS}, {"account": "2", **KEYS, "base_url": "http://localhost:1"}],
        "broker": {"account": "3", **KEYS},
    }  # fmt: skip
    told = [(entry.account.account, entry.account.role, entry.account.base_url) for entry in parsed(document)]
    assert told == [
        ("1", "client", "http://127.0.0.1:8080"),
        ("2", "client", "http://localhost:1"),
        ("3", "broker", "http://127.0.0.1:8080"),
    ]


def test_a_list_and_json_lines_are_read_and_the_same_twice_is_one() -> None:
    assert len(parsed([ONE, ONE, ONE | {"account": "2"}])) == 2
    lines = b"\n".join(orjson.dumps(ONE | {"account": str(number)}) for number in range(3)) + b"\n\n"
    assert len(parse_accounts(lines, source="-")) == 3


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-09-14T06:00:00Z", datetime(2026, 9, 14, 6, tzinfo=UTC)),
        ("2026-09-14T08:00:00+02:00", datetime(2026, 9, 14, 6, tzinfo=UTC)),
        (1767225600000, datetime(2026, 1, 1, tzinfo=UTC)),
        ("1767225600000", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_pull_from_is_rfc_3339_or_epoch_milliseconds(written: object, read: datetime) -> None:
    assert parsed(ONE | {"pull_from": written})[0].pull_from == read


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://openapi.okx.com/", "https://openapi.okx.com"),
        ("https://EEA.okx.com:8443", "https://eea.okx.com:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("http://127.0.0.1", "http://127.0.0.1"),
    ],
)
def test_hosts_that_are_taken(url: str, read: str) -> None:
    assert parsed(ONE | {"base_url": url})[0].account.base_url == read


@pytest.mark.parametrize(
    "url",
    [
        "http://openapi.okx.com", "http://127.0.0.1.example.org", "http://localhost@example.org", "ftp://localhost", "okx.com",
        "https://me:SECRET@openapi.okx.com", "https://SECRET@openapi.okx.com", "https://openapi.okx.com/api/v5",
        "https://openapi.okx.com?x=1", "https://openapi.okx.com#x", "https://", "https://okx.com:port", "https://[::1",
        "https://a b", "https://okx.com\\@evil.example", "file:///etc/passwd", "https://okx.com:99999",
    ],
)  # fmt: skip
def test_hosts_that_are_refused(url: str) -> None:
    assert "base_url" in refused(ONE | {"base_url": url})


@pytest.mark.parametrize("name", ["account", "base_url", "api_key", "secret", "passphrase"])
@pytest.mark.parametrize("value", [None, "", 1.5, ["x"], "line\nSECRET", "SECRET ", "sécret"])
def test_a_missing_or_unusable_key_is_named(name: str, value: object) -> None:
    assert f"{name} is" in refused(ONE | {name: value})
    assert f"{name} is missing" in refused(without(name))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"role": "owner"}, "role is not known"),
        ({"demo": "yes"}, "demo is neither true nor false"),
        ({"venue": "elsewhere"}, "venue is not one that fills can be pulled from"),
        ({"pull_from": "yesterday"}, "pull_from is not a time"),
        ({"pull_from": "2026-09-14T06:00:00"}, "pull_from is not a time"),
        (TOKENS, "holds an API key and OAuth tokens"),
        ({"account": "9001 0020"}, "account is not an account's id"),
        ({"account": True}, "account is not plain text"),
    ],
)
def test_what_cannot_be_used_is_refused(more: dict[str, Any], told: str) -> None:
    assert told in refused(ONE | more)


def test_half_a_pair_of_tokens_is_refused() -> None:
    document = {"account": "1", "base_url": "https://x.example", "access_token": "AT-SECRET-4"}
    assert "refresh_token is missing" in refused(document)


def test_a_fault_is_named_by_position_and_masked_account() -> None:
    assert refused([ONE, ONE | {"account": "900100200399", "secret": ""}]) == (
        "accounts.json, account 2 (***0399): secret is missing"
    )
    assert refused([ONE, ONE | {"secret": "another-SECRET"}]).startswith(
        "accounts.json, account 2 (***0300): is named twice"
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"accounts": []}', b'{"accounts": {}}', b'{"accounts": "SECRET"}', b"[1]", b"null", b"SECRET", b"{", b"\xff",
     b'{"account": "1"}\nSECRET', b'{"accounts": [], "broker": "SECRET"}'],
)  # fmt: skip
def test_what_holds_no_account_is_refused(content: bytes) -> None:
    with pytest.raises(InputRefused) as refusal:
        parse_accounts(content, source="accounts.json")
    assert "SECRET" not in str(refusal.value)
    assert refusal.value.where.startswith("accounts.json")
