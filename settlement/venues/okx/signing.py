"""How a request proves whose it is.

sign = base64(HMAC-SHA256(secret, timestamp + METHOD + path with query + body)), over the very bytes that are sent. The
timestamp is ISO 8601 in UTC with three digits of milliseconds. Source: OKX API documents, "Making Requests", "Signature".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from settlement.program.venue_accounts import ApiKey, OAuthTokens, VenueAccount

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEMO_HEADER = {"x-simulated-trading": "1"}


def signature(*, secret: str, timestamp: str, method: str, target: bytes, body: bytes = b"") -> str:
    """The signature of a request; `target` is the path with its query string, as sent."""
    message = timestamp.encode() + method.encode() + target + body
    return base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()


def timestamp_of(instant: datetime) -> str:
    """An instant as OKX's headers want it."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(instant: datetime) -> str:
    """An instant as OKX's parameters want it: milliseconds since 1970."""
    return str((instant - EPOCH) // timedelta(milliseconds=1))


def headers_of(account: VenueAccount, *, method: str, target: bytes, body: bytes, now: datetime) -> dict[str, str]:
    """The headers that sign a request for `account`; `now` is OKX's time."""
    headers = dict(DEMO_HEADER) if account.demo else {}
    match account.credentials:
        case OAuthTokens(access_token=token):
            headers["Authorization"] = f"Bearer {token}"
        case ApiKey(api_key=key, secret=secret, passphrase=passphrase):
            timestamp = timestamp_of(now)
            headers |= {
                "OK-ACCESS-KEY": key,
                "OK-ACCESS-SIGN": signature(
                    secret=secret, timestamp=timestamp, method=method, target=target, body=body
                ),
                "OK-ACCESS-TIMESTAMP": timestamp,
                "OK-ACCESS-PASSPHRASE": passphrase,
            }
    return headers
