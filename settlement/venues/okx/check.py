"""How accounts are: each is asked for its own configuration, and what stands in the way is named with its mend.

1. A host is asked for its time once: one that does not answer breaks every account there, and is not asked again.
2. `account/config` must answer, for the account's own user id, with the Read permission.
3. What works and will not for long needs attention: a clock that is off, a key that OKX ends when it lies idle, tokens
   that nobody has refreshed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from settlement.errors import Refused
from settlement.pipeline.venue import VenueError
from settlement.program.venue_accounts import OAuthTokens, VenueAccount
from settlement.store.venue_accounts import Health, Unopened
from settlement.venues.okx import endpoints
from settlement.venues.okx.endpoints import Endpoint
from settlement.venues.okx.errors import Action, OkxError
from settlement.venues.okx.session import OkxSession

OK, ATTENTION, BROKEN = "ok", "attention", "broken"
HOST_ATTEMPTS = 3
HOST_WAIT_SECONDS = 0.3
SKEW_NOTICED = timedelta(seconds=10)
BUDGETS = (endpoints.FILLS, endpoints.FILLS_HISTORY, endpoints.CONFIG, endpoints.TRADE_FEE, endpoints.ORDER)
READ = "read_only"
MORE_THAN_READ = frozenset({"trade", "withdraw"})

# OKX: an access token lives an hour, its refresh token three days from the same moment.
ACCESS_LIFE = timedelta(hours=1)
REFRESH_LIFE = timedelta(days=3)
REFRESH_NOTICED = timedelta(days=1)
MEND_TOKENS = "let the user authorise again, then add the account with the new tokens"
MEND_CONNECTION = "check base_url and this machine's connection; settlement accounts add replaces base_url"
# For errors that name no mend of their own.
MENDS = {
    Action.REAUTHORISE: MEND_TOKENS,
    Action.BACK_OFF: "wait a minute: somebody else uses the limit of this account",
    Action.RETRY: "try again in a few minutes: OKX is busy or cannot be reached",
}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many requests an account may still make at once, of how many, in how many seconds."""

    path: str
    remaining: int
    limit: int
    seconds: int


@dataclass(frozen=True, kw_only=True)
class AccountCheck:
    """How one account is; `ip` are the addresses its key is bound to, `main_account` the one a sub-account belongs to."""

    health: Health
    base_url: str = ""
    model: str = ""
    ip: str | None = None
    main_account: str | None = None
    clock_ahead_ms: int | None = None
    tokens_until: str | None = None
    budgets: tuple[Budget, ...] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class _Host:
    """A host's clock less ours, or why it does not answer."""

    ahead: timedelta = timedelta()
    error: OkxError | None = None


async def check_accounts(session: OkxSession, accounts: Sequence[VenueAccount], *, now: datetime) -> list[AccountCheck]:
    """Each account's check, in the order given; at most as many requests at once as the session allows."""
    urls = sorted({account.base_url for account in accounts})
    hosts = dict(zip(urls, await asyncio.gather(*(_ask_host(session, url) for url in urls)), strict=True))
    return await asyncio.gather(*(_check(session, account, hosts[account.base_url], now) for account in accounts))


def unopened_check(unopened: Unopened) -> AccountCheck:
    """The check of an account that could not even be opened."""
    refusal = unopened.refusal
    return AccountCheck(
        health=Health(
            venue=unopened.venue,
            account=unopened.account,
            condition=BROKEN,
            found=refusal.what,
            next_step=refusal.mend,
        )
    )


async def _ask_host(session: OkxSession, base_url: str) -> _Host:
    client = session.public(base_url)
    try:
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(HOST_ATTEMPTS),
            wait=wait_fixed(HOST_WAIT_SECONDS),
            retry=retry_if_exception_type(OkxError),
            reraise=True,
        ):
            with attempt:
                return _Host(ahead=await client.clock.measure(client.server_time))
    except OkxError as error:
        return _Host(error=error)
    raise AssertionError("tenacity ends with an answer or an error")


async def _check(session: OkxSession, account: VenueAccount, host: _Host, now: datetime) -> AccountCheck:
    if host.error is not None:
        return _account_check(account, _refused(account, host.error))
    client = session.client(account)
    try:
        answer = await client.get(endpoints.CONFIG)
    except (VenueError, Refused) as error:
        health, told = _refused(account, error), {}
    else:
        # Its tokens may have been renewed on the way.
        account = client.account or account
        told = answer.data[0] if answer.data and isinstance(answer.data[0], dict) else {}
        health = _judge(account, told, host=host, now=now)
    budgets = [await _budget(session, account, endpoint) for endpoint in BUDGETS]
    return _account_check(account, health, told=told, ahead=host.ahead, budgets=budgets)


def _refused(account: VenueAccount, error: VenueError | Refused) -> Health:
    """An account that could not be asked: too many requests pass, everything else is broken."""
    action = error.action if isinstance(error, OkxError) else Action.REFUSE
    code = f" ({error.code})" if isinstance(error, VenueError) and error.code else ""
    condition = ATTENTION if action is Action.BACK_OFF else BROKEN
    return _health(account, condition, error.what + code, error.mend or MENDS.get(action, MEND_CONNECTION))


def _judge(account: VenueAccount, told: dict[str, Any], *, host: _Host, now: datetime) -> Health:
    """What the account's configuration says, the worst first."""
    uid, permissions = _text(told, "uid"), _permissions(told)
    level = _text(told, "level")
    if uid != account.account:
        found = (
            f"the credentials are those of {uid}, not of {account.account}" if uid else "it does not tell its user id"
        )
        mend = "add the account that the credentials belong to, and disable this one"
        return _health(account, BROKEN, found, mend, permissions=permissions, level=level)
    if permissions and READ not in permissions:
        mend = "give the key the Read permission at OKX"
        found = "the key has no Read permission"
        return _health(account, BROKEN, found, mend, permissions=permissions, level=level)
    for found, mend in _warnings(account, told, host=host, now=now):
        return _health(account, ATTENTION, found, mend, permissions=permissions, level=level)
    found = f"answers as {uid}" + (f", level {level}" if level else "")
    return _health(account, OK, found, "", permissions=permissions, level=level)


def _warnings(account: VenueAccount, told: dict[str, Any], *, host: _Host, now: datetime) -> Iterable[tuple[str, str]]:
    until = _refresh_until(account)
    if until is not None and until - now < REFRESH_NOTICED:
        state = "has ended" if until <= now else "ends"
        yield f"the refresh token {state} at {_time(until)}", MEND_TOKENS
    if abs(host.ahead) >= SKEW_NOTICED:
        side = "behind" if host.ahead > timedelta() else "ahead of"
        found = f"this machine's clock is {abs(host.ahead).total_seconds():.0f} s {side} OKX's"
        yield found, "set the clock (NTP); until then requests are corrected"
    risky = sorted(MORE_THAN_READ & set(_permissions(told)))
    if risky and not _text(told, "ip") and not isinstance(account.credentials, OAuthTokens):
        found = (
            f"the key may {' and '.join(risky)} and is bound to no IP address: OKX ends it after 14 days without use"
        )
        yield found, "bind it to this machine's IP address, or make a key that may only read"


def _refresh_until(account: VenueAccount) -> datetime | None:
    tokens = account.credentials
    if not isinstance(tokens, OAuthTokens) or tokens.expires_at is None:
        return None
    return tokens.expires_at - ACCESS_LIFE + REFRESH_LIFE


async def _budget(session: OkxSession, account: VenueAccount, endpoint: Endpoint) -> Budget:
    remaining, limit, seconds = await session.limits.remaining(endpoint, who=account.account)
    return Budget(path=endpoint.path, remaining=remaining, limit=limit, seconds=seconds)


def _account_check(
    account: VenueAccount,
    health: Health,
    *,
    told: dict[str, Any] | None = None,
    ahead: timedelta | None = None,
    budgets: Sequence[Budget] = (),
) -> AccountCheck:
    told, until = told or {}, _refresh_until(account)
    main = _text(told, "mainUid")
    return AccountCheck(
        health=health,
        base_url=account.base_url,
        model="oauth" if isinstance(account.credentials, OAuthTokens) else "api",
        ip=_text(told, "ip") or None,
        main_account=main if main and main != account.account else None,
        clock_ahead_ms=None if ahead is None else round(ahead / timedelta(milliseconds=1)),
        tokens_until=_time(until) if until else None,
        budgets=tuple(budgets),
    )


def _health(  # noqa: PLR0913 - how an account is, in the words of its row
    account: VenueAccount,
    condition: str,
    found: str,
    next_step: str,
    *,
    permissions: Sequence[str] = (),
    level: str = "",
) -> Health:
    return Health(
        venue=account.venue,
        account=account.account,
        condition=condition,
        found=found,
        next_step=next_step,
        permissions=", ".join(permissions) or None,
        level=level or None,
    )


def _permissions(told: dict[str, Any]) -> list[str]:
    return [part.strip() for part in _text(told, "perm").split(",") if part.strip()]


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    return str(value).strip() if value is not None else ""


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
