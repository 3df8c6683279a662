"""/v5/users/oauth/token: a new pair for a refresh token."""

from __future__ import annotations

from urllib.parse import parse_qsl

import orjson

from settlement.venues.okx.sandbox.accounts import CLIENT_ID
from settlement.venues.okx.sandbox.call import Answer, Call
from settlement.venues.okx.sandbox.codes import Refusal
from settlement.venues.okx.sandbox.exchange import Exchange
from settlement.venues.okx.sandbox.tokens import client_secret


async def give_tokens(exchange: Exchange, call: Call) -> Answer:
    """POST /v5/users/oauth/token with grant_type=refresh_token, as a form or as JSON."""
    asked = _parameters(call)
    if asked.get("grant_type") != "refresh_token":
        raise Refusal("51000", "grant_type")
    if asked.get("client_id", CLIENT_ID) != CLIENT_ID or asked.get("client_secret", "") not in {
        "",
        client_secret(exchange.seed),
    }:
        raise Refusal("53009")
    if not asked.get("refresh_token"):
        raise Refusal("50014", "refresh_token")
    pair = exchange.tokens.refresh(asked["refresh_token"])
    granted = {
        "access_token": pair.access,
        "refresh_token": pair.refresh,
        "token_type": "bearer",
        "expires_in": (pair.expires_ms - exchange.now_ms()) // 1000,
        "scope": "fast_api",
    }
    return Answer(body=orjson.dumps(granted))


def _parameters(call: Call) -> dict[str, str]:
    if b"json" in call.headers.get(b"content-type", b""):
        return {name: str(value) for name, value in call.document().items()}
    return {**call.query, **dict(parse_qsl(call.body.decode("latin-1")))}
