"""OAuth tokens: an access token lives an hour, a refresh token three days, and refreshing ends the old pair.

Source: OKX API documents, "OAuth broker", "Refresh token".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from settlement.program.venue_accounts import OAuthTokens
from settlement.venues.okx.endpoints import TOKEN_PATH
from settlement.venues.okx.errors import OkxError, broken_answer, error_of

TIMEOUT_SECONDS = 15
LIFE_SECONDS = 3600
LIFE_DIGITS_MAX = 9
# What stands in between has answered, not OKX: it says nothing of the tokens.
NOT_REFUSED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT})


def refresh_tokens(base_url: str, tokens: OAuthTokens) -> OAuthTokens:
    """A new pair; the old one has ended then, so the caller stores the new one before anything else. Raises OkxError.

    Never tried again here: whether OKX has answered a first try is not known, and it would have ended the pair.
    """
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens.refresh_token,
        "client_id": tokens.client_id,
        "client_secret": tokens.client_secret,
    }
    try:
        response = httpx.post(
            base_url + TOKEN_PATH, data={name: value for name, value in form.items() if value}, timeout=TIMEOUT_SECONDS
        )
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise broken_answer(f"the tokens could not be refreshed: {type(error).__name__}") from None
    return _tokens_of(response, before=tokens)


def _tokens_of(response: httpx.Response, *, before: OAuthTokens) -> OAuthTokens:
    document = _document(response)
    if not document.get("access_token"):
        raise _refusal(response.status_code, document)
    return OAuthTokens(
        access_token=str(document["access_token"]),
        refresh_token=str(document.get("refresh_token") or before.refresh_token),
        client_id=before.client_id,
        client_secret=before.client_secret,
        expires_at=datetime.now(UTC) + timedelta(seconds=_life_seconds(document.get("expires_in"))),
    )


def _life_seconds(told: Any) -> int:
    """What cannot be read must not lose the new pair: the old one has ended."""
    written = str(told)
    return int(written) if written.isdecimal() and len(written) < LIFE_DIGITS_MAX else LIFE_SECONDS


def _document(response: httpx.Response) -> dict[str, Any]:
    """The tokens stand at the top of the answer, or in the first row of an envelope."""
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        raise broken_answer("the answer to a refresh is no JSON", status=response.status_code) from None
    rows = document.get("data") if isinstance(document, dict) else None
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        document |= rows[0]
    return document if isinstance(document, dict) else {}


def _refusal(status: int, document: dict[str, Any]) -> OkxError:
    code = str(document.get("code") or document.get("error_code") or "")
    if code in {"", "0"} and (status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in NOT_REFUSED):
        return error_of(status=status, code="")
    refused = code not in {"", "0"}
    return error_of(status=status if refused else HTTPStatus.UNAUTHORIZED, code=code if refused else "53005")
