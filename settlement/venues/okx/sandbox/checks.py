"""Who is asking, and may they? The checks in order; the first that fails is the refusal.

header missing  key unknown  passphrase  signature  timestamp  environment  IP  the user's state  permission
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from settlement.venues.okx.sandbox.codes import Refusal

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.accounts import Account
    from settlement.venues.okx.sandbox.call import Call
    from settlement.venues.okx.sandbox.exchange import Exchange
    from settlement.venues.okx.sandbox.handler import Endpoint

SKEW_MS: Final = 30_000
HEADERS: Final = (
    (b"ok-access-key", "50103"),
    (b"ok-access-passphrase", "50104"),
    (b"ok-access-sign", "50106"),
    (b"ok-access-timestamp", "50107"),
)
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_STATES: Final = {"revoked": "50119", "blocked": "50007", "frozen": "50100"}
_TOKEN_STATES: Final = {"revoked": "53003", "blocked": "50007", "frozen": "53004"}


def check(exchange: Exchange, call: Call, endpoint: Endpoint) -> Account:
    """The account that signed `call`, if it may use `endpoint`."""
    authorization = call.header(b"authorization")
    account = _bearer(exchange, authorization) if authorization else _signed(exchange, call)
    if (call.header(b"x-simulated-trading") == "1") is not account.demo:
        raise Refusal("50101")
    if account.ip and call.ip not in {part.strip() for part in account.ip.split(",")}:
        raise Refusal("50110", call.ip)
    if code := (_TOKEN_STATES if authorization else _STATES).get(account.status):
        raise Refusal(code)
    if endpoint.role and account.role != endpoint.role:
        raise Refusal("50030")
    if endpoint.needs not in account.perm.split(","):
        raise Refusal("50120")
    return account


def _bearer(exchange: Exchange, authorization: str) -> Account:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refusal("50114")
    return exchange.accounts.by_uid[exchange.tokens.owner(token.strip())]


def _signed(exchange: Exchange, call: Call) -> Account:
    for header, code in HEADERS:
        if not call.header(header):
            raise Refusal(code)
    account = exchange.accounts.by_key.get(call.header(b"ok-access-key"))
    if account is None or account.oauth:
        raise Refusal("50111")
    if not hmac.compare_digest(call.header(b"ok-access-passphrase").encode(), account.passphrase.encode()):
        raise Refusal("50105")
    timestamp = call.header(b"ok-access-timestamp")
    text = f"{timestamp}{call.method}{call.target}".encode() + call.body
    expected = base64.b64encode(hmac.digest(account.secret, text, "sha256"))
    if not hmac.compare_digest(call.header(b"ok-access-sign").encode(), expected):
        raise Refusal("50113")
    if abs(exchange.now_ms() - _instant_ms(timestamp)) > SKEW_MS:
        raise Refusal("50102")
    return account


def _instant_ms(timestamp: str) -> int:
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Refusal("50112")
    try:
        instant = datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal("50112") from None
    return round(instant.timestamp() * 1000)
