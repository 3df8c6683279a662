"""Accounts at a venue, and what opens them: an API key (API broker), or OAuth tokens (OAuth broker, Fast API)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Role = Literal["client", "broker"]


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key of the account's owner; nothing of it shows where the object is printed."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class OAuthTokens:
    """A pair of tokens; refreshing gives a new pair and ends this one. `expires_at` is that of the access token."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    client_id: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    expires_at: datetime | None = None


Credentials = ApiKey | OAuthTokens


@dataclass(frozen=True, kw_only=True)
class VenueAccount:
    """One account as it is asked for its fills. `base_url` is the venue's host for it: keys are not portable."""

    venue: str
    account: str
    base_url: str
    credentials: Credentials
    role: Role = "client"
    demo: bool = False
