"""Accounts as somebody hands them in: one JSON object, a list, JSON lines, or an object with `accounts` (and `broker`).

1. An account names `account`, `base_url` and what opens it: `api_key`, `secret` and `passphrase`, or `access_token` and
   `refresh_token`. `venue` is okx if it is not said; an object with `accounts` passes its `venue` and `base_url` on.
2. `base_url` is https, or http on loopback; it holds no user, no password and no path.
3. Keys that are not known are ignored. The first fault refuses everything, by the account's position and the key's name;
   no value that opens something is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import pyarrow as pa

from schemas.text_columns import parse_times
from settlement.errors import InputRefused
from settlement.logging import mask_account
from settlement.program.venue_accounts import ApiKey, Credentials, OAuthTokens, Role, VenueAccount

DEFAULT_VENUE = "okx"
VENUES = (DEFAULT_VENUE,)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
API_KEY = ("api_key", "secret", "passphrase")
TOKENS = ("access_token", "refresh_token")
INHERITED = ("venue", "base_url", "demo", "pull_from")
MEND_JSON = "give an object, a list of objects or JSON lines"

_ACCOUNT = re.compile(r"[\x21-\x7e]{1,64}")
_SENDABLE = re.compile(r"[\x20-\x7e]{1,4096}")  # goes into HTTP headers


@dataclass(frozen=True, kw_only=True)
class AccountEntry:
    """An account to add; `pull_from` is where its fills are expected from, None: not said."""

    account: VenueAccount
    pull_from: datetime | None = None


def parse_accounts(content: bytes, *, source: str) -> list[AccountEntry]:
    """Every account of a document, each once; raises `InputRefused` at the first fault."""
    found: dict[tuple[str, str], AccountEntry] = {}
    for position, value in enumerate(_flatten(_documents(content, source)), 1):
        entry = _Fields(value, source=source, position=position).entry()
        key = (entry.account.venue, entry.account.account)
        if found.setdefault(key, entry) != entry:
            where = f"{source}, account {position} ({mask_account(key[1])})"
            raise InputRefused("is named twice with different content", where=where, mend="keep one of them")
    if not found:
        raise InputRefused("holds no account", where=source, mend=MEND_JSON)
    return list(found.values())


def _documents(content: bytes, source: str) -> list[Any]:
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError:
        lines = [(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
        return [_line(line, where=f"{source} line {number}") for number, line in lines]
    return whole if isinstance(whole, list) else [whole]


def _line(line: bytes, *, where: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        raise InputRefused("is not JSON", where=where, mend=MEND_JSON) from None


def _flatten(documents: list[Any]) -> Iterator[Any]:
    """Each account's object: those of an object with `accounts` with what they inherit, its `broker` with its role."""
    for document in documents:
        if not isinstance(document, dict) or not {"accounts", "broker"} & document.keys():
            yield document
            continue
        inherited = {name: document[name] for name in INHERITED if name in document}
        accounts = document.get("accounts", [])
        yield from ([_inherit(inherited, each) for each in accounts] if isinstance(accounts, list) else [accounts])
        if document.get("broker") is not None:
            yield _inherit(inherited | {"role": "broker"}, document["broker"])


def _inherit(inherited: Mapping[str, Any], value: Any) -> Any:
    return {**inherited, **value} if isinstance(value, dict) else value


class _Fields:
    """One object, read key by key."""

    def __init__(self, value: Any, *, source: str, position: int) -> None:
        self.where = f"{source}, account {position}"
        if not isinstance(value, dict):
            raise self.refusal("is not an object", mend=MEND_JSON)
        self.value = value
        name = value.get("account")
        if isinstance(name, str | int):
            self.where += f" ({mask_account(str(name))})"

    def refusal(self, what: str, *, mend: str) -> InputRefused:
        return InputRefused(what, where=self.where, mend=mend)

    def entry(self) -> AccountEntry:
        venue = self.text("venue", default=DEFAULT_VENUE)
        if venue not in VENUES:
            raise self.refusal("venue is not one that fills can be pulled from", mend=f"it is {' or '.join(VENUES)}")
        account = VenueAccount(
            venue=venue,
            account=self.account_id(),
            base_url=self.base_url(),
            role=self.role(),
            demo=self.flag("demo"),
            credentials=self.credentials(),
        )
        return AccountEntry(account=account, pull_from=self.time("pull_from"))

    def account_id(self) -> str:
        number = self.value.get("account")
        if isinstance(number, int) and not isinstance(number, bool):
            return str(number)
        account = self.text("account")
        if not _ACCOUNT.fullmatch(account):
            raise self.refusal("account is not an account's id", mend="write the user id as the venue shows it")
        return account

    def role(self) -> Role:
        role = self.text("role", default="client")
        if role == "client":
            return "client"
        if role == "broker":
            return "broker"
        raise self.refusal("role is not known", mend="it is client, or broker for the broker's own key")

    def base_url(self) -> str:
        written = self.text("base_url").rstrip("/")
        try:
            parts = urlsplit(written)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise self.refusal("base_url is not a URL", mend="write it like https://openapi.okx.com") from None
        if parts.scheme != "https" and (parts.scheme, host in LOOPBACK) != ("http", True):
            raise self.refusal("base_url is not https", mend="only a server on this machine may be http")
        if "@" in parts.netloc:
            raise self.refusal("base_url holds a user or a password", mend="give the scheme and the host only")
        if parts.path or "?" in written or "#" in written:
            raise self.refusal("base_url holds a path", mend="give the scheme and the host only")
        name = f"[{host}]" if ":" in host else host
        if not re.fullmatch(r"[a-z0-9.:\[\]-]+", name):
            raise self.refusal("base_url names no host", mend="write it like https://openapi.okx.com")
        return f"{parts.scheme}://{name}" + (f":{port}" if port is not None else "")

    def credentials(self) -> Credentials:
        has_key = any(self.value.get(name) for name in API_KEY)
        has_tokens = any(self.value.get(name) for name in TOKENS)
        if has_key and has_tokens:
            raise self.refusal(
                "holds an API key and OAuth tokens", mend="give either api_key, secret, passphrase or the tokens"
            )
        if has_tokens:
            return OAuthTokens(
                **{name: self.text(name) for name in TOKENS},
                client_id=self.text("client_id", default=""),
                client_secret=self.text("client_secret", default=""),
                expires_at=self.time("expires_at"),
            )
        return ApiKey(**{name: self.text(name) for name in API_KEY})

    def text(self, name: str, *, default: str | None = None) -> str:
        value = self.value.get(name)
        if value in (None, ""):
            if default is None:
                raise self.refusal(f"{name} is missing", mend=f"give {name} as text")
            return default
        if not isinstance(value, str) or not _SENDABLE.fullmatch(value) or value != value.strip():
            raise self.refusal(
                f"{name} is not plain text", mend="write it in quotes, without spaces around it or unusual characters"
            )
        return value

    def flag(self, name: str) -> bool:
        value = self.value.get(name) or False
        if not isinstance(value, bool):
            raise self.refusal(f"{name} is neither true nor false", mend=f"write {name} without quotes")
        return value

    def time(self, name: str) -> datetime | None:
        value = self.value.get(name)
        if value in (None, ""):
            return None
        moment: datetime | None = parse_times(pa.array([str(value)]))[0][0].as_py()
        if moment is None:
            raise self.refusal(
                f"{name} is not a time", mend="write it like 2026-09-14T06:00:00Z or as epoch milliseconds"
            )
        return moment
