"""The sandbox's accounts: keys derived from the seed and the account, and a state that can be changed to rehearse trouble."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from settlement.errors import Refused

BROKER_ACCOUNT: Final = "700000000000000001"
CLIENT_ID: Final = "settlement-sandbox"
EDITABLE: Final = frozenset({"perm", "ip", "demo", "status", "level", "affiliated", "msa", "capped", "tag"})
STATUSES: Final = frozenset({"active", "revoked", "blocked", "frozen"})


@dataclass(kw_only=True)
class Account:
    """One user of the sandbox. `vip` is the fee level that is charged; `level` what OKX calls it."""

    uid: str
    api_key: str
    secret: bytes = field(repr=False)
    passphrase: str = field(repr=False)
    role: str = "client"
    oauth: bool = False
    vip: int = 0
    level: str = "Lv1"
    tag: str = ""
    affiliated: bool = False
    msa: bool = False
    capped: bool = False
    perm: str = "read_only,trade"
    ip: str = ""
    demo: bool = False
    status: str = "active"

    def credentials(self, base_url: str) -> dict[str, Any]:
        """What `settlement accounts add` takes."""
        return {
            "venue": "okx",
            "account": self.uid,
            "base_url": base_url,
            "api_key": self.api_key,
            "secret": self.secret.decode(),
            "passphrase": self.passphrase,
        }

    def state(self) -> dict[str, Any]:
        """What the control API shows; no secret is in it."""
        shown = {name: getattr(self, name) for name in sorted(EDITABLE)}
        return {"account": self.uid, "role": self.role, "oauth": self.oauth, **shown}

    def edit(self, changes: Mapping[str, Any]) -> None:
        """Changes the state; ValueError says what cannot be changed to what."""
        if unknown := sorted(set(changes) - EDITABLE):
            raise ValueError(f"{', '.join(unknown)}: give only {', '.join(sorted(EDITABLE))}")
        for name, value in changes.items():
            kind = type(getattr(self, name))
            if not isinstance(value, kind):
                raise ValueError(f"{name} must be of type {kind.__name__}")  # noqa: TRY004 - one error for the caller
        if changes.get("status", "active") not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(sorted(STATUSES))}")
        for name, value in changes.items():
            setattr(self, name, value)
        if "level" in changes:
            digits = "".join(filter(str.isdigit, self.level))
            self.vip = min(int(digits or 0), 7) if self.level.lower().startswith("vip") else 0


def make_account(uid: str, *, seed: int, vip: int = 0, **more: Any) -> Account:
    """An account whose keys follow from `seed` and `uid`."""
    digest = hashlib.sha256(f"okx sandbox {seed} {uid}".encode()).hexdigest()
    key = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    secret = hashlib.sha256(f"secret {digest}".encode()).hexdigest()[:32].upper()
    word = hashlib.sha256(f"passphrase {digest}".encode()).hexdigest()[:10]
    return Account(
        uid=uid,
        api_key=key,
        secret=secret.encode(),
        passphrase=f"Rehearse-{word}",
        vip=vip,
        level=f"VIP{vip}" if vip else f"Lv{1 + int(digest[:4], 16) % 5}",
        **more,
    )


class Accounts:
    """All accounts, by user id and by key."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self.by_uid = {account.uid: account for account in accounts}
        self.by_key = {account.api_key: account for account in self.by_uid.values()}

    def clients(self) -> list[Account]:
        """Everybody but the broker."""
        return [account for account in self.by_uid.values() if account.role == "client"]

    @property
    def broker(self) -> Account:
        """The broker's own account."""
        return next(account for account in self.by_uid.values() if account.role == "broker")

    def add_oauth(self, uids: Iterable[str]) -> None:
        """Lets these accounts come with tokens instead of keys; "all" means everybody."""
        wanted = set(uids)
        if unknown := sorted(wanted - {"all"} - set(self.by_uid)):
            raise Refused(f"no account {unknown[0]} is served", where="--oauth", mend="name one that is, or all")
        for account in self.clients():
            account.oauth = "all" in wanted or account.uid in wanted
