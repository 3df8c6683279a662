"""The vault: credentials of venue accounts, encrypted at rest (Fernet: AES-128-CBC and HMAC-SHA256).

1. What is sealed names its venue, account and host: a ciphertext that was moved to another row, or a row that was pointed
   to another host, does not open.
2. The newest key seals; every key that is given opens, so that keys can be rotated.
3. No text of an error and no repr holds anything of a key or of credentials.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from settlement.errors import Refused
from settlement.logging import mask_account
from settlement.program.venue_accounts import ApiKey, Credentials, OAuthTokens, VenueAccount
from settlement.store.secret_key import KeyPlace, read_keys

FORMAT = 1
MEND_WRONG_KEY = "set the key of that time in SETTLEMENT_SECRET_KEY or its file, or add the account again"
MEND_MOVED = "add the account again: settlement accounts add --from-json FILE"


class Vault:
    """Seals and opens credentials with the keys it was made of."""

    def __init__(self, keys: Sequence[Fernet], *, where: str) -> None:
        self._keys = MultiFernet(keys)
        self.number_of_keys, self.where = len(keys), where

    def __repr__(self) -> str:
        return f"Vault({self.number_of_keys} keys of {self.where})"

    def seal(self, account: VenueAccount) -> bytes:
        """The account's credentials, encrypted together with whose they are."""
        document = {"format": FORMAT, **_bound_to(account.venue, account.account, account.base_url)}
        return self._keys.encrypt(orjson.dumps(document | _written(account.credentials)))

    def open(self, sealed: bytes, *, venue: str, account: str, base_url: str) -> Credentials:
        """The credentials, if a key opens them and they were sealed for just this account at this host."""
        where = f"credentials of {venue} {mask_account(account)}"
        try:
            document = orjson.loads(self._keys.decrypt(sealed))
        except (InvalidToken, orjson.JSONDecodeError):
            raise Refused(
                "the secret key is not the one these credentials were sealed with, or they were damaged",
                where=where,
                mend=MEND_WRONG_KEY,
            ) from None
        bound = _bound_to(venue, account, base_url)
        if {name: document.get(name) for name in bound} != bound:
            raise Refused("they were sealed for another account or another host", where=where, mend=MEND_MOVED)
        return _read(document)

    def reseal(self, sealed: bytes) -> bytes:
        """The same content under the newest key; raises `Refused` where no key opens it."""
        try:
            return self._keys.rotate(sealed)
        except InvalidToken:
            raise Refused(
                "the secret key is not the one some credentials were sealed with", where=self.where, mend=MEND_WRONG_KEY
            ) from None


def open_vault(place: KeyPlace) -> Vault:
    """The vault with the keys of `place`; makes the default key file at first use."""
    return Vault(read_keys(place), where=place.describe())


def api_key_id(credentials: Credentials) -> str:
    """A digest that tells API keys apart and opens nothing; of tokens, that of the refresh token as it was handed in."""
    named = credentials.api_key if isinstance(credentials, ApiKey) else credentials.refresh_token
    return hashlib.sha256(b"venue credentials " + named.encode()).hexdigest()[:32]


def _bound_to(venue: str, account: str, base_url: str) -> dict[str, str]:
    return {"venue": venue, "account": account, "base_url": base_url}


def _written(credentials: Credentials) -> dict[str, Any]:
    model = "api" if isinstance(credentials, ApiKey) else "oauth"
    return {"model": model, "credentials": vars(credentials)}


def _read(document: dict[str, Any]) -> Credentials:
    values = document["credentials"]
    if document["model"] == "api":
        return ApiKey(**values)
    expires_at = values.pop("expires_at")
    return OAuthTokens(**values, expires_at=datetime.fromisoformat(expires_at) if expires_at else None)
