"""OAuth: an access token that has ended is renewed once, whoever needs it, and the new pair is kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from urllib.parse import parse_qs

import pytest
from cryptography.fernet import Fernet

from settlement.program.venue_accounts import ApiKey, Credentials, OAuthTokens, VenueAccount
from settlement.store import venue_accounts
from settlement.store.database import Database
from settlement.store.vault import Vault
from settlement.venues.okx.endpoints import FILLS, TOKEN_PATH, Endpoint
from settlement.venues.okx.errors import Action, OkxError
from settlement.venues.okx.renewal import renewer
from settlement.venues.okx.session import OkxSession
from tests.venues.okx_client.wire import KEY, Reply, Request, Wire, ask, refusal, rows, serving, without_waits

TRANSFER = Endpoint(path="/api/v5/asset/transfer", requests=60, seconds=1, method="POST")
OLD = OAuthTokens(access_token="access-0", refresh_token="refresh-0", client_id="app-1", client_secret="app-secret")  # noqa: S106 - opens nothing
CLIENTS = 8


@dataclass
class Tokens:
    """A venue that knows one pair at a time; `refusing` is what it answers to a refresh instead."""

    pair: int = 1
    refusing: Reply | None = None
    extra: dict[str, object] = field(default_factory=lambda: {"expires_in": 3600})
    accepting: bool = True
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, request: Request) -> Reply:
        if request.path == TOKEN_PATH:
            return self.refusing or self._refresh(request)
        good = request.headers.get("Authorization") == f"Bearer access-{self.pair}"
        return rows("here") if good and self.accepting else refusal("53002", 401)

    def _refresh(self, request: Request) -> Reply:
        form = parse_qs(request.body.decode())
        time.sleep(0.05)
        with self._lock:
            # Pair 1 follows pair 0, the test's.
            if form["refresh_token"] != [f"refresh-{self.pair - 1}"]:
                return refusal("53005", 400)
            document = {"access_token": f"access-{self.pair}", "refresh_token": f"refresh-{self.pair}", **self.extra}
            return Reply(body=json.dumps(document).encode())


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An account in the database, and the wire to its venue."""

    database: Database
    vault: Vault
    wire: Wire
    venue: Tokens

    def add(self, credentials: Credentials) -> VenueAccount:
        account = self.wire.account(credentials=credentials)
        with self.database.transaction() as connection:
            venue_accounts.add(
                connection,
                account,
                vault=self.vault,
                pull_from=None,
                instrument_types=["SPOT"],
                added_by="test",
                now=datetime.now(UTC),
            )
        return account

    def stored(self) -> Credentials:
        with self.database.transaction() as connection:
            [account] = venue_accounts.active(connection, vault=self.vault, venue="okx")
        return account.credentials

    def refreshes(self) -> list[Request]:
        return self.wire.of(TOKEN_PATH)

    def read(self, redis_url: str, account: VenueAccount, *, clients: int = 1) -> list[object]:
        async def asking(session: OkxSession) -> list[object]:
            answers = await asyncio.gather(*(session.client(account).get(FILLS) for _ in range(clients)))
            return [row for answer in answers for row in answer.data]

        return ask(redis_url, asking, renew=renewer(self.database, self.vault))

    def refused(self, redis_url: str, account: VenueAccount) -> OkxError:
        with pytest.raises(OkxError) as raised:
            self.read(redis_url, account)
        return raised.value


@pytest.fixture
def kept(database: Database) -> Iterator[Kept]:
    venue = Tokens()
    with serving(venue) as wire:
        vault = Vault([Fernet(Fernet.generate_key())], where="the test")
        yield Kept(database=database, vault=vault, wire=wire, venue=venue)


def test_of_many_who_find_the_token_ended_one_renews_it(kept: Kept, redis_url: str) -> None:
    account = kept.add(OLD)
    begun = datetime.now(UTC)
    assert kept.read(redis_url, account, clients=CLIENTS) == ["here"] * CLIENTS
    [refresh] = kept.refreshes()
    assert parse_qs(refresh.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["refresh-0"],
        "client_id": ["app-1"],
        "client_secret": ["app-secret"],
    }
    stored = kept.stored()
    assert isinstance(stored, OAuthTokens)
    assert (stored.access_token, stored.refresh_token) == ("access-1", "refresh-1")
    assert (stored.client_id, stored.client_secret) == ("app-1", "app-secret")
    assert stored.expires_at is not None
    assert timedelta(minutes=59) < stored.expires_at - begun < timedelta(minutes=61)


def test_a_client_keeps_the_new_token(kept: Kept, redis_url: str) -> None:
    account = kept.add(OLD)

    async def asking(session: OkxSession) -> None:
        own = session.client(account)
        for _ in range(3):
            await own.get(FILLS)

    ask(redis_url, asking, renew=renewer(kept.database, kept.vault))
    sent = [request.headers["Authorization"] for request in kept.wire.of(FILLS.path)]
    assert sent == ["Bearer access-0", *["Bearer access-1"] * 3]


def test_a_pair_that_somebody_has_stored_since_is_taken_without_asking(kept: Kept, redis_url: str) -> None:
    before = kept.wire.account(credentials=OLD)
    kept.add(OAuthTokens(access_token="access-1", refresh_token="refresh-1"))  # noqa: S106 - opens nothing
    assert kept.read(redis_url, before) == ["here"]
    assert kept.refreshes() == []


def test_a_request_that_changes_something_is_sent_again_with_the_new_token(kept: Kept, redis_url: str) -> None:
    account = kept.add(OLD)

    async def asking(session: OkxSession) -> list[object]:
        return (await session.client(account).post(TRANSFER, {"amt": "1"})).data

    assert ask(redis_url, asking, renew=renewer(kept.database, kept.vault)) == ["here"]
    assert len(kept.wire.of(TRANSFER.path)) == 2


@pytest.mark.parametrize(
    "answer",
    [
        refusal("53005", 400),
        refusal("53001", 401),
        refusal("53010", 400),
        refusal("53003"),
        Reply(body=b'{"error":"invalid_grant"}', status=400),
        Reply(body=b'{"code":"0","msg":"","data":[]}'),
    ],
    ids=lambda reply: reply.body.decode(),
)
def test_a_refresh_that_is_refused_parks_the_account(kept: Kept, answer: Reply, redis_url: str) -> None:
    account = kept.add(OLD)
    kept.venue.refusing = answer
    error = kept.refused(redis_url, account)
    assert (error.parks, error.retry_helps) == (True, False)
    assert "authorise again" in error.mend
    assert (len(kept.refreshes()), len(kept.wire.of(FILLS.path))) == (1, 1)
    assert kept.stored() == OLD
    shown = f"{error!r} {error}"
    assert [secret for secret in ("access-0", "refresh-0", "app-secret") if secret in shown] == []


@pytest.mark.parametrize(
    "answer",
    [
        Reply(body=b"<html>502</html>", status=502),
        Reply(body=b'{"message":"Bad gateway"}', status=502),
        Reply(body=b'{"message":"slow down"}', status=429),
        Reply(cut="before"),
        refusal("50026", 500),
    ],
    ids=lambda reply: reply.cut or reply.body.decode(),
)
def test_a_refresh_that_got_no_answer_parks_nobody(
    kept: Kept, answer: Reply, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waits(monkeypatch)
    account = kept.add(OLD)
    kept.venue.refusing = answer
    error = kept.refused(redis_url, account)
    assert (error.parks, error.retry_helps) == (False, True)
    assert kept.stored() == OLD


def test_a_new_token_that_is_refused_too_is_given_up(kept: Kept, redis_url: str) -> None:
    account = kept.add(OLD)
    kept.venue.accepting = False
    assert kept.refused(redis_url, account).action is Action.REAUTHORISE
    assert (len(kept.refreshes()), len(kept.wire.of(FILLS.path))) == (1, 2)


@pytest.mark.parametrize("extra", [{}, {"expires_in": "3600"}, {"expires_in": "soon"}, {"expires_in": 10**12}])
def test_a_life_that_cannot_be_read_loses_no_pair(kept: Kept, extra: dict[str, object], redis_url: str) -> None:
    account = kept.add(OLD)
    kept.venue.extra = extra
    assert kept.read(redis_url, account) == ["here"]
    stored = kept.stored()
    assert isinstance(stored, OAuthTokens)
    assert (stored.access_token, stored.refresh_token) == ("access-1", "refresh-1")


def test_the_pair_may_stand_in_an_envelope_and_keeps_a_refresh_token_that_is_not_told(
    kept: Kept, redis_url: str
) -> None:
    account = kept.add(OLD)
    kept.venue.refusing = rows({"access_token": "access-1", "expires_in": "600"})
    assert kept.read(redis_url, account) == ["here"]
    stored = kept.stored()
    assert isinstance(stored, OAuthTokens)
    assert (stored.access_token, stored.refresh_token) == ("access-1", "refresh-0")


def test_an_api_key_cannot_be_renewed(kept: Kept, redis_url: str) -> None:
    account = kept.add(KEY)
    error = kept.refused(redis_url, account)
    assert error.parks
    assert kept.refreshes() == []
    assert isinstance(kept.stored(), ApiKey)
