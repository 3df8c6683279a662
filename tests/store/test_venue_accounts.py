"""Venue accounts as they stand in PostgreSQL: added, replaced, parked, opened, and sealed at rest."""
# ruff: noqa: S106 - what these secrets open does not exist

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from settlement.errors import Refused
from settlement.pipeline import accounts as use_cases
from settlement.program.account_documents import AccountEntry
from settlement.program.venue_accounts import ApiKey, OAuthTokens, VenueAccount
from settlement.store import venue_accounts
from settlement.store.database import Database
from settlement.store.secret_key import new_key
from settlement.store.vault import Vault
from settlement.store.venue_accounts import Health, Outcome, StoredAccount

NOW = datetime(2026, 9, 14, 6, 40, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TYPES = ("SPOT", "SWAP")
SECRETS = ("api-key-", "secret-", "phrase-", "access-", "refresh-", "client-secret-")


@pytest.fixture
def vault() -> Vault:
    return Vault([Fernet(new_key())], where="the test")


def park(database: Database, **fault: Any) -> bool:
    with database.transaction() as connection:
        return venue_accounts.park(connection, venue="okx", **fault)


def account(name: str = "1001", *, key: str = "a") -> VenueAccount:
    credentials = ApiKey(api_key=f"api-key-{name}{key}", secret=f"secret-{key}", passphrase=f"phrase-{key}")
    return VenueAccount(venue="okx", account=name, base_url="https://openapi.okx.com", credentials=credentials)


def tokens(number: int) -> OAuthTokens:
    return OAuthTokens(
        access_token=f"access-{number}",
        refresh_token=f"refresh-{number}",
        client_secret="client-secret-1",
        expires_at=NOW,
    )


def oauth(number: int = 1) -> VenueAccount:
    return replace(account("2002"), credentials=tokens(number))


def add(
    database: Database, vault: Vault, *entries: VenueAccount, pull_from: datetime | None = None, now: datetime = NOW
) -> list[Outcome]:
    return use_cases.add(
        database,
        vault,
        [AccountEntry(account=entry, pull_from=pull_from) for entry in entries],
        instrument_types={"okx": TYPES},
        added_by="ana",
        now=now,
    )


def stored(database: Database, name: str = "1001") -> StoredAccount:
    [found] = [each for each in use_cases.list_accounts(database) if each.account == name]
    return found


def opened(database: Database, vault: Vault, names: Sequence[str] | None = None) -> list[VenueAccount]:
    with database.transaction() as connection:
        return venue_accounts.active(connection, vault=vault, venue="okx", accounts=names)


def test_an_account_is_added_once_and_stands_as_it_was_given(database: Database, vault: Vault) -> None:
    assert add(database, vault, account()) == [Outcome.ADDED]
    assert add(database, vault, account(), now=NOW + 5 * HOUR) == [Outcome.UNCHANGED]
    found = stored(database)
    assert (found.status, found.model, found.role, found.added_by) == ("active", "api", "client", "ana")
    assert found.pull_from == NOW.replace(minute=0, second=0)
    assert opened(database, vault) == [account()]


def test_each_type_of_a_client_is_expected_and_nothing_of_a_broker(
    database: Database, vault: Vault, superuser: psycopg.Connection
) -> None:
    add(database, vault, account(), replace(account("9"), role="broker"))
    add(database, vault, account())
    rows = superuser.execute("SELECT account, instrument_type FROM harvest ORDER BY 2").fetchall()
    assert rows == [("1001", "SPOT"), ("1001", "SWAP")]


def test_other_credentials_replace_those_that_stand_and_make_the_account_active(
    database: Database, vault: Vault
) -> None:
    add(database, vault, account(), pull_from=NOW - 9 * HOUR)
    use_cases.disable(database, venue="okx", account="1001", reason="left", now=NOW)
    assert stored(database).status_reason == "left"
    assert opened(database, vault) == []
    assert add(database, vault, account(key="b")) == [Outcome.REPLACED]
    assert opened(database, vault) == [account(key="b")]
    assert stored(database).pull_from == NOW - 9 * HOUR
    assert stored(database).status_reason is None


def test_the_same_credentials_make_a_parked_account_active(database: Database, vault: Vault) -> None:
    add(database, vault, account())
    park(database, account="1001", reason="the API key is not known", now=NOW)
    assert add(database, vault, account()) == [Outcome.REPLACED]
    assert stored(database).status == "active"


def test_a_fault_found_with_old_credentials_does_not_park_the_account(database: Database, vault: Vault) -> None:
    add(database, vault, account())
    add(database, vault, account(key="b"), now=NOW + HOUR)
    fault = {"account": "1001", "reason": "bad key"}
    assert not park(database, **fault, now=NOW + 2 * HOUR, known_since=NOW)
    assert park(database, **fault, now=NOW + 2 * HOUR, known_since=NOW + HOUR)
    assert not park(database, **fault, now=NOW + 2 * HOUR)
    use_cases.enable(database, venue="okx", account="1001", now=NOW + 3 * HOUR)
    assert stored(database).status == "active"


def test_a_disabled_account_is_not_parked(database: Database, vault: Vault) -> None:
    add(database, vault, account())
    use_cases.disable(database, venue="okx", account="1001", reason="left", now=NOW)
    assert not park(database, account="1001", reason="bad key", now=NOW)
    assert stored(database).status_reason == "left"


def test_an_account_that_was_never_added_is_refused(database: Database, vault: Vault) -> None:
    with pytest.raises(Refused, match="no such account"):
        use_cases.disable(database, venue="okx", account="7", reason="x", now=NOW)
    with pytest.raises(Refused, match="no such account"):
        use_cases.enable(database, venue="okx", account="7", now=NOW)
    with pytest.raises(Refused, match="no such account"):
        use_cases.open_for_check(database, vault, venue="okx", accounts=["7"])


def test_a_key_that_stands_for_another_account_is_refused_with_all_of_its_call(
    database: Database, vault: Vault
) -> None:
    add(database, vault, account())
    same_key = replace(account("1002"), credentials=account().credentials)
    with pytest.raises(Refused, match="that of account 1001 already"):
        add(database, vault, account("1003"), same_key)
    assert [each.account for each in use_cases.list_accounts(database)] == ["1001"]
    use_cases.disable(database, venue="okx", account="1001", reason="wrong id", now=NOW)
    assert add(database, vault, same_key) == [Outcome.ADDED]


def test_of_those_who_add_the_same_accounts_at_once_one_adds_each(database: Database, vault: Vault) -> None:
    everybody = [account(str(number)) for number in range(20)]
    with ThreadPoolExecutor(4) as threads:
        added = threads.map(lambda turn: add(database, vault, *everybody[::turn]), (1, -1, 1, -1))
        outcomes = [outcome for each in added for outcome in each]
    assert (outcomes.count(Outcome.ADDED), outcomes.count(Outcome.UNCHANGED)) == (20, 60)


def test_tokens_that_were_handed_in_before_do_not_replace_refreshed_ones(database: Database, vault: Vault) -> None:
    add(database, vault, oauth())
    with database.transaction() as connection:
        before = venue_accounts.locked_credentials(connection, vault, venue="okx", account="2002")
        assert before == tokens(1)
        venue_accounts.replace_tokens(connection, vault, venue="okx", account="2002", tokens=tokens(2))
    assert add(database, vault, oauth()) == [Outcome.UNCHANGED]
    assert opened(database, vault) == [oauth(2)]
    park(database, account="2002", reason="x", now=NOW)
    assert add(database, vault, oauth()) == [Outcome.REPLACED]
    assert opened(database, vault) == [oauth(2)]
    assert add(database, vault, oauth(3)) == [Outcome.REPLACED]
    assert opened(database, vault) == [oauth(3)]


def test_of_two_who_would_refresh_the_second_waits_and_sees_the_new_pair(database: Database, vault: Vault) -> None:
    add(database, vault, oauth())
    seen: list[object] = []

    def refresh() -> None:
        with database.transaction() as connection:
            seen.append(venue_accounts.locked_credentials(connection, vault, venue="okx", account="2002"))

    with database.transaction() as connection:
        venue_accounts.locked_credentials(connection, vault, venue="okx", account="2002")
        other = threading.Thread(target=refresh)
        other.start()
        wait_for_a_lock(database)
        assert seen == []
        venue_accounts.replace_tokens(connection, vault, venue="okx", account="2002", tokens=tokens(2))
    other.join(timeout=30)
    assert seen == [tokens(2)]


def wait_for_a_lock(database: Database) -> None:
    deadline = monotonic() + 30
    with database.owner_engine().connect() as connection:
        while monotonic() < deadline:
            waiting = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).scalar_one()
            connection.rollback()
            if waiting:
                return
            sleep(0.02)
    pytest.fail("nobody waits for the row's lock")


def test_a_row_that_does_not_open_does_not_hold_up_the_others(
    database: Database, vault: Vault, superuser: psycopg.Connection
) -> None:
    add(database, vault, account("1"), account("2"), account("3"))
    superuser.execute(
        "UPDATE venue_account SET sealed = (SELECT sealed FROM venue_account WHERE account = '2') WHERE account = '1'"
    )
    assert [each.account for each in opened(database, vault)] == ["2", "3"]
    with pytest.raises(Refused, match="sealed for another account"):
        opened(database, vault, ["1", "2"])
    with pytest.raises(Refused, match="not the one"):
        opened(database, Vault([Fernet(new_key())], where="another"))
    _, unopened = use_cases.open_for_check(database, vault, venue="okx", accounts=None)
    assert [each.account for each in unopened] == ["1"]


def test_an_account_sealed_with_a_lost_key_is_mended_by_adding_it_again(database: Database, vault: Vault) -> None:
    add(database, Vault([Fernet(new_key())], where="lost"), account(), oauth())
    assert add(database, vault, account(), oauth()) == [Outcome.REPLACED, Outcome.REPLACED]
    assert opened(database, vault) == [account(), oauth()]


def test_resealing_lets_the_old_key_go(database: Database) -> None:
    old, new = new_key(), new_key()
    add(database, Vault([Fernet(old)], where="old"), account(), oauth())
    assert use_cases.reseal(database, Vault([Fernet(new), Fernet(old)], where="both")) == 2
    assert opened(database, Vault([Fernet(new)], where="new")) == [account(), oauth()]


def test_nothing_that_opens_an_account_stands_in_the_database(
    database: Database, vault: Vault, superuser: psycopg.Connection
) -> None:
    add(database, vault, account(), oauth())
    [(dump,)] = superuser.execute(
        "SELECT string_agg(a::text || convert_from(sealed, 'UTF8'), ' ') FROM venue_account a"
    )
    assert "1001" in dump
    assert [word for word in SECRETS if word in dump] == []


def test_health_is_kept_and_replaced_by_the_next(database: Database, vault: Vault) -> None:
    add(database, vault, account(), oauth())
    for condition, moment in (("broken", NOW), ("ok", NOW + HOUR)):
        health = [
            Health(
                venue="okx",
                account=name,
                condition=condition,
                found="x",
                next_step="y",
                permissions="read_only",
                level="VIP2",
            )
            for name in ("1001", "2002")
        ]
        use_cases.record_health(database, health, now=moment)
    found = stored(database)
    assert (found.condition, found.checked_at, found.permissions, found.level) == (
        "ok",
        NOW + HOUR,
        "read_only",
        "VIP2",
    )
    use_cases.record_health(database, [], now=NOW)


def test_the_last_pull_of_an_account_is_that_of_its_slowest_type(
    database: Database, vault: Vault, superuser: psycopg.Connection
) -> None:
    add(database, vault, account())
    superuser.execute("UPDATE harvest SET pulled_at = %s WHERE instrument_type = 'SPOT'", [NOW])
    assert stored(database).pulled_at is None
    superuser.execute("UPDATE harvest SET pulled_at = %s WHERE instrument_type = 'SWAP'", [NOW - HOUR])
    assert stored(database).pulled_at == NOW - HOUR


def test_two_thousand_accounts_are_opened_in_a_moment(database: Database, vault: Vault) -> None:
    add(database, vault, *(account(str(number)) for number in range(10_000, 12_000)))
    begun = monotonic()
    assert len(opened(database, vault)) == 2000
    assert monotonic() - begun < 5
