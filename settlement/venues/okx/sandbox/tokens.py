"""OAuth tokens: an access token and a refresh token an account; refreshing gives a new pair and ends the old one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from settlement.venues.okx.sandbox.accounts import CLIENT_ID
from settlement.venues.okx.sandbox.codes import Refusal

if TYPE_CHECKING:
    pass

REFRESH_SECONDS = 3 * 86_400


@dataclass(kw_only=True)
class Pair:
    """What an account was given last."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_ms: int
    refresh_expires_ms: int


class Tokens:
    """The pair in force of each account, and whose every token is or was."""

    def __init__(self, *, seed: int, seconds: int, now_ms: Callable[[], int]) -> None:
        self._seed, self._seconds, self._now_ms = seed, seconds, now_ms
        self._pairs: dict[str, Pair] = {}
        self._issued: dict[str, int] = {}
        self._owner: dict[str, str] = {}
        self.refreshed = 0

    def issue(self, uid: str) -> Pair:
        """A new pair for the account; the one before is worth nothing from now on."""
        number = self._issued[uid] = self._issued.get(uid, 0) + 1
        now = self._now_ms()
        access, refresh = (
            hashlib.sha256(f"{kind} {self._seed} {uid} {number}".encode()).hexdigest() for kind in ("access", "refresh")
        )
        self._pairs[uid] = Pair(
            access=access,
            refresh=refresh,
            expires_ms=now + self._seconds * 1000,
            refresh_expires_ms=now + REFRESH_SECONDS * 1000,
        )
        self._owner[access] = self._owner[refresh] = uid
        return self._pairs[uid]

    def owner(self, access: str) -> str:
        """Whose access token it is; refused if it is nobody's, ended by a newer pair (53000) or expired (53002)."""
        uid = self._owner.get(access)
        if uid is None or self._pairs[uid].access != access:
            raise Refusal("53000")
        pair = self._pairs[uid]
        if pair.expires_ms <= self._now_ms():
            raise Refusal("53002")
        return uid

    def expire(self, uid: str) -> None:
        """Ends the life of the access token; the refresh token stays good."""
        if uid in self._pairs:
            self._pairs[uid].expires_ms = 0

    def refresh(self, token: str) -> Pair:
        """A new pair for a refresh token; refused if it is not the last one given or has expired."""
        uid = self._owner.get(token)
        if uid is None or self._pairs[uid].refresh != token:
            raise Refusal("53005")
        if self._pairs[uid].refresh_expires_ms <= self._now_ms():
            raise Refusal("53002", status=400)
        self.refreshed += 1
        return self.issue(uid)

    def credentials(self, uid: str, base_url: str) -> dict[str, Any]:
        """What `settlement accounts add` takes."""
        pair = self._pairs.get(uid) or self.issue(uid)
        return {
            "venue": "okx",
            "account": uid,
            "base_url": base_url,
            "access_token": pair.access,
            "refresh_token": pair.refresh,
            "client_id": CLIENT_ID,
            "client_secret": client_secret(self._seed),
            "expires_at": pair.expires_ms,
        }


def client_secret(seed: int) -> str:
    """The app's own secret."""
    return hashlib.sha256(f"client secret {seed}".encode()).hexdigest()[:32]
