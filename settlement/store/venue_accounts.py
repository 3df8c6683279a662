"""Venue accounts in PostgreSQL. What opens them is stored sealed; only the vault sees it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text

from settlement.errors import Refused
from settlement.program.venue_accounts import ApiKey, Credentials, OAuthTokens, Role, VenueAccount
from settlement.store.vault import Vault, api_key_id

MEND_UNKNOWN = "settlement accounts list shows those that there are"

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """What adding an account came to."""

    ADDED = "added"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, kw_only=True)
class StoredAccount:
    """An account as it stands, without what opens it.

    `pulled_at` is when the instrument type that was pulled least recently was pulled, None until each was.
    """

    venue: str
    account: str
    role: Role
    model: str
    demo: bool
    base_url: str
    status: str
    status_reason: str | None
    status_at: datetime
    pull_from: datetime
    added_by: str
    added_at: datetime
    pulled_at: datetime | None
    error: str | None
    condition: str | None
    found: str | None
    next_step: str | None
    permissions: str | None
    level: str | None
    checked_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Health:
    """What an account said of itself when it was asked."""

    venue: str
    account: str
    condition: str
    found: str
    next_step: str = ""
    permissions: str | None = None
    level: str | None = None


def begin_adding(connection: Connection) -> None:
    """Lets one transaction at a time add accounts: of two that add the same one, the second finds it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('venue_account', 0))"))


def add(  # noqa: PLR0913 - an account, how it is kept and what is expected of it
    connection: Connection,
    account: VenueAccount,
    *,
    vault: Vault,
    pull_from: datetime | None,
    instrument_types: Sequence[str],
    added_by: str,
    now: datetime,
) -> Outcome:
    """Stores an account, or replaces what opens it and makes it active again.

    Without `pull_from`, a standing account keeps its own and a new one gets the start of the current hour. Tokens that
    were handed in before do not replace those that came of refreshing them. Only a client's account is harvested.
    """
    standing = _locked(connection, venue=account.venue, account=account.account)
    handed_in = api_key_id(account.credentials)
    if standing is not None:
        account = _with_newer_tokens(account, standing, vault=vault)
    values = _values(account, vault=vault, now=now) | {"api_key_id": handed_in}
    if standing is None:
        begin = pull_from or now.replace(minute=0, second=0, microsecond=0)
        connection.execute(_INSERT, values | {"pull_from": begin, "added_by": added_by})
        outcome = Outcome.ADDED
    elif _is_same(standing, account, vault=vault, pull_from=pull_from):
        outcome = Outcome.UNCHANGED
    else:
        connection.execute(_REPLACE, values | {"pull_from": pull_from})
        outcome = Outcome.REPLACED
    if account.role == "client":
        parameters = {"venue": account.venue, "account": account.account, "types": list(instrument_types)}
        connection.execute(_EXPECT_HARVEST, parameters)
    return outcome


def listed(connection: Connection, *, venue: str | None = None) -> list[StoredAccount]:
    """Every account, whatever its status, without what opens it."""
    rows = connection.execute(_LIST, {"venue": venue})
    return [StoredAccount(**row) for row in rows.mappings()]


def active(
    connection: Connection,
    *,
    vault: Vault,
    venue: str,
    accounts: Sequence[str] | None = None,
    role: Role | None = None,
) -> list[VenueAccount]:
    """Active accounts, opened: all of the venue, or those of `accounts` and of `role`.

    An account that does not open is left out and logged, so that it does not hold up the others; where it was asked
    for by name, or none opens at all, `Refused` is raised.
    """
    parameters = {"venue": venue, "accounts": None if accounts is None else list(accounts), "role": role}
    rows = connection.execute(_ACTIVE, parameters).all()
    opened, refusals = _opened(rows, vault)
    if refusals and (accounts is not None or not opened):
        raise refusals[0][1]
    for row, refusal in refusals:
        log.error("account does not open", venue=row.venue, account=row.account, what=refusal.what, mend=refusal.mend)
    return opened


@dataclass(frozen=True, kw_only=True)
class Unopened:
    """An account whose credentials do not open, and why."""

    venue: str
    account: str
    refusal: Refused


def open_each(
    connection: Connection, *, vault: Vault, venue: str | None = None, accounts: Sequence[str] | None = None
) -> tuple[list[VenueAccount], list[Unopened]]:
    """Accounts whatever their status, or all that are not disabled: those that open, and those that do not."""
    parameters = {"venue": venue, "accounts": None if accounts is None else list(accounts)}
    opened, refusals = _opened(connection.execute(_EACH, parameters).all(), vault)
    return opened, [Unopened(venue=row.venue, account=row.account, refusal=refusal) for row, refusal in refusals]


def same_key_elsewhere(connection: Connection, account: VenueAccount) -> str | None:
    """Another account of the venue, not disabled, that the same API key stands for."""
    found: str | None = connection.execute(
        text(
            "SELECT min(account) FROM venue_account WHERE venue = :venue AND api_key_id = :api_key_id"
            " AND account <> :account AND status <> 'disabled'"
        ),
        {"venue": account.venue, "account": account.account, "api_key_id": api_key_id(account.credentials)},
    ).scalar_one()
    return found


def park(  # noqa: PLR0913 - which account, why, and how old that knowledge is
    connection: Connection,
    *,
    venue: str,
    account: str,
    reason: str,
    now: datetime,
    known_since: datetime | None = None,
) -> bool:
    """Parks an active account; says whether it did.

    Whoever found the fault with credentials read at `known_since` does not park an account that was given others since.
    """
    result = connection.execute(
        text(
            "UPDATE venue_account SET status = 'parked', status_reason = :reason, status_at = :now"
            " WHERE venue = :venue AND account = :account AND status = 'active'"
            " AND (CAST(:known_since AS timestamptz) IS NULL OR status_at <= :known_since)"
        ),
        {"venue": venue, "account": account, "reason": reason, "now": now, "known_since": known_since},
    )
    return result.rowcount > 0


def disable(connection: Connection, *, venue: str, account: str, reason: str, now: datetime) -> bool:
    """Takes an account out of use; says whether there is such an account."""
    return _set_status(connection, venue=venue, account=account, status="disabled", reason=reason, now=now)


def enable(connection: Connection, *, venue: str, account: str, now: datetime) -> bool:
    """Makes a parked or disabled account active; says whether there is such an account."""
    return _set_status(connection, venue=venue, account=account, status="active", reason=None, now=now)


def locked_credentials(connection: Connection, vault: Vault, *, venue: str, account: str) -> Credentials:
    """What opens the account, with its row locked: of several who would refresh its tokens, one does."""
    row = _locked(connection, venue=venue, account=account)
    if row is None:
        raise unknown_account(venue, account)
    return vault.open(row.sealed, venue=venue, account=account, base_url=row.base_url)


def replace_tokens(connection: Connection, vault: Vault, *, venue: str, account: str, tokens: OAuthTokens) -> None:
    """Stores the pair that a refresh gave, for the account's host as it stands."""
    row = _locked(connection, venue=venue, account=account)
    if row is None:
        raise unknown_account(venue, account)
    sealed = vault.seal(VenueAccount(venue=venue, account=account, base_url=row.base_url, credentials=tokens))
    _store_sealed(connection, row, sealed)


def reseal(connection: Connection, vault: Vault) -> int:
    """Puts all credentials under the vault's newest key; returns how many there are."""
    rows = connection.execute(text("SELECT * FROM venue_account ORDER BY venue, account FOR UPDATE")).all()
    for row in rows:
        _store_sealed(connection, row, vault.reseal(row.sealed))
    return len(rows)


def record_health(connection: Connection, found: Sequence[Health], *, now: datetime) -> None:
    """Keeps what accounts said of themselves; the next time replaces it."""
    if found:
        connection.execute(_RECORD_HEALTH, [vars(health) | {"now": now} for health in found])


def unknown_account(venue: str | None, account: str) -> Refused:
    """The refusal of an account that was never added."""
    return Refused("no such account", where=f"{venue or ''} {account}".strip(), mend=MEND_UNKNOWN)


def _locked(connection: Connection, *, venue: str, account: str) -> Row[Any] | None:
    return connection.execute(
        text("SELECT * FROM venue_account WHERE venue = :venue AND account = :account FOR UPDATE"),
        {"venue": venue, "account": account},
    ).one_or_none()


def _values(account: VenueAccount, *, vault: Vault, now: datetime) -> dict[str, Any]:
    return {
        "venue": account.venue,
        "account": account.account,
        "role": account.role,
        "model": "api" if isinstance(account.credentials, ApiKey) else "oauth",
        "base_url": account.base_url,
        "demo": account.demo,
        "sealed": vault.seal(account),
        "now": now,
    }


def _with_newer_tokens(account: VenueAccount, standing: Row[Any], *, vault: Vault) -> VenueAccount:
    if not isinstance(account.credentials, OAuthTokens) or standing.api_key_id != api_key_id(account.credentials):
        return account
    with suppress(Refused):
        return replace(account, credentials=_open(standing, vault).credentials)
    return account


def _is_same(standing: Row[Any], account: VenueAccount, *, vault: Vault, pull_from: datetime | None) -> bool:
    if standing.status != "active" or pull_from not in (None, standing.pull_from):
        return False
    try:
        return _open(standing, vault) == account
    except Refused:
        return False  # sealed with a key that is lost, say: to add the account again is the mend


def _open(row: Row[Any], vault: Vault) -> VenueAccount:
    credentials = vault.open(row.sealed, venue=row.venue, account=row.account, base_url=row.base_url)
    return VenueAccount(
        venue=row.venue,
        account=row.account,
        base_url=row.base_url,
        credentials=credentials,
        role=row.role,
        demo=row.demo,
    )


def _opened(rows: Sequence[Row[Any]], vault: Vault) -> tuple[list[VenueAccount], list[tuple[Row[Any], Refused]]]:
    opened, refusals = [], []
    for row in rows:
        try:
            opened.append(_open(row, vault))
        except Refused as refusal:
            refusals.append((row, refusal))
    return opened, refusals


def _set_status(  # noqa: PLR0913 - the columns of a status
    connection: Connection, *, venue: str, account: str, status: str, reason: str | None, now: datetime
) -> bool:
    result = connection.execute(
        text(
            "UPDATE venue_account SET status = :status, status_reason = :reason, status_at = :now"
            " WHERE venue = :venue AND account = :account"
        ),
        {"venue": venue, "account": account, "status": status, "reason": reason, "now": now},
    )
    return result.rowcount > 0


def _store_sealed(connection: Connection, row: Row[Any], sealed: bytes) -> None:
    connection.execute(
        text("UPDATE venue_account SET sealed = :sealed WHERE venue = :venue AND account = :account"),
        {"sealed": sealed, "venue": row.venue, "account": row.account},
    )


_INSERT = text(
    "INSERT INTO venue_account (venue, account, role, model, base_url, demo, sealed, api_key_id, status_at, pull_from,"
    " added_by, added_at) VALUES (:venue, :account, :role, :model, :base_url, :demo, :sealed, :api_key_id, :now,"
    " :pull_from, :added_by, :now)"
)
_REPLACE = text(
    "UPDATE venue_account SET role = :role, model = :model, base_url = :base_url, demo = :demo, sealed = :sealed,"
    " api_key_id = :api_key_id, status = 'active', status_reason = NULL, status_at = :now,"
    " pull_from = coalesce(:pull_from, pull_from) WHERE venue = :venue AND account = :account"
)
_EXPECT_HARVEST = text(
    "INSERT INTO harvest (venue, account, instrument_type)"
    " SELECT :venue, :account, unnest(CAST(:types AS text[])) ON CONFLICT DO NOTHING"
)
_LIST = text(
    "SELECT a.venue, a.account, role, model, demo, base_url, status, status_reason, status_at, pull_from, added_by,"
    " added_at, h.pulled_at, h.error, condition, found, next_step, permissions, level, checked_at"
    " FROM venue_account a LEFT JOIN venue_account_health USING (venue, account) LEFT JOIN LATERAL ("
    "   SELECT CASE WHEN bool_and(pulled_at IS NOT NULL) THEN min(pulled_at) END AS pulled_at, max(error) AS error"
    "   FROM harvest WHERE venue = a.venue AND account = a.account) h ON true"
    " WHERE CAST(:venue AS text) IS NULL OR a.venue = :venue ORDER BY a.venue, a.account"
)
_ACTIVE = text(
    "SELECT * FROM venue_account WHERE venue = :venue AND status = 'active'"
    " AND (CAST(:accounts AS text[]) IS NULL OR account = ANY(:accounts))"
    " AND (CAST(:role AS text) IS NULL OR role = :role) ORDER BY account"
)
_EACH = text(
    "SELECT * FROM venue_account WHERE (CAST(:venue AS text) IS NULL OR venue = :venue)"
    " AND (account = ANY(CAST(:accounts AS text[])) OR CAST(:accounts AS text[]) IS NULL AND status <> 'disabled')"
    " ORDER BY venue, account"
)
_RECORD_HEALTH = text(
    "INSERT INTO venue_account_health (venue, account, checked_at, condition, found, next_step, permissions, level)"
    " VALUES (:venue, :account, :now, :condition, :found, :next_step, :permissions, :level)"
    " ON CONFLICT (venue, account) DO UPDATE SET checked_at = excluded.checked_at, condition = excluded.condition,"
    " found = excluded.found, next_step = excluded.next_step, permissions = excluded.permissions,"
    " level = excluded.level"
)
