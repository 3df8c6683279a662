"""The doctor on accounts: which are out of use and why, which are unwell, and whether the secret key opens them."""
# ruff: noqa: S106 - what these secrets open does not exist

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from settlement.cli.doctor import _guarded, _secrets
from settlement.pipeline import accounts
from settlement.pipeline.doctor import Check, Condition, examine
from settlement.program.account_documents import AccountEntry
from settlement.program.venue_accounts import ApiKey, VenueAccount
from settlement.store import venue_accounts
from settlement.store.database import Database
from settlement.store.secret_key import new_key
from settlement.store.vault import Vault
from settlement.store.venue_accounts import Health

NOW = datetime(2026, 9, 14, 12, 0, tzinfo=UTC)
KEY = new_key()


def add(database: Database, *names: str) -> None:
    entries = [
        AccountEntry(
            account=VenueAccount(
                venue="okx",
                account=name,
                base_url="https://openapi.okx.com",
                credentials=ApiKey(api_key=f"k{name}", secret="s", passphrase="p"),
            )
        )
        for name in names
    ]
    vault = Vault([Fernet(KEY)], where="the test")
    accounts.add(database, vault, entries, instrument_types={"okx": ("SPOT",)}, added_by="ana", now=NOW)


def checks(database: Database) -> dict[str, Check]:
    return {check.name: check for check in examine(database, now=NOW) if "account" in check.name}


def secrets(database: Database) -> dict[str, Check]:
    return {check.name: check for check in _guarded("secret key", lambda: _secrets(database))}


def test_accounts_are_counted_and_parked_ones_named_with_the_reason(database: Database) -> None:
    assert checks(database)["accounts"].found == "none"
    add(database, "1", "2", "3")
    with database.transaction() as connection:
        venue_accounts.park(connection, venue="okx", account="2", reason="the passphrase is wrong", now=NOW)
    accounts.disable(database, venue="okx", account="3", reason="left", now=NOW)
    found = checks(database)
    assert found["accounts"].found == "1 active, 1 disabled, 1 parked"
    assert found["parked accounts"].condition is Condition.ATTENTION
    assert found["parked accounts"].found == "the passphrase is wrong: okx 2"
    assert "settlement accounts enable" in found["parked accounts"].next_step


def test_an_account_that_was_found_broken_is_named_until_it_is_given_other_credentials(database: Database) -> None:
    names = [str(number) for number in range(7)]
    add(database, *names)
    accounts.record_health(
        database,
        [Health(venue="okx", account=name, condition="broken", found="no key", next_step="mend it") for name in names],
        now=NOW,
    )
    found = checks(database)["accounts, broken when checked"]
    assert (found.condition, found.next_step) == (Condition.ATTENTION, "mend it")
    assert found.found == "no key: okx 0, okx 1, okx 2 and 4 more"
    for name in names:
        accounts.enable(database, venue="okx", account=name, now=NOW + timedelta(minutes=1))
    assert "accounts, broken when checked" not in checks(database)


def test_the_key_is_not_made_by_looking(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SETTLEMENT_SECRET_KEY", raising=False)
    monkeypatch.delenv("SETTLEMENT_SECRET_KEY_FILE", raising=False)
    monkeypatch.setenv("SETTLEMENT_HOME", str(tmp_path))
    assert secrets(database)["secret key"].condition is Condition.OK
    assert list(tmp_path.iterdir()) == []
    add(database, "1")
    missing = secrets(database)["secret key"]
    assert missing.condition is Condition.BROKEN
    assert missing.found == f"{tmp_path / 'secret.key'} is missing, and 1 accounts need it"


def test_a_key_that_opens_all_is_well_and_one_that_does_not_is_broken(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(database, "1", "2")
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", KEY)
    assert secrets(database)["credentials"].found == "all 2 open"
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", new_key())
    broken = secrets(database)["credentials"]
    assert broken.condition is Condition.BROKEN
    assert broken.found.startswith("2 of 2 do not open, okx 1: the secret key is not the one")


def test_a_key_file_that_others_may_read_is_broken(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(KEY)
    (tmp_path / "keys").chmod(0o644)
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY_FILE", str(tmp_path / "keys"))
    found = secrets(database)["secret key"]
    assert found.condition is Condition.BROKEN
    assert found.next_step == f"run: chmod 600 {tmp_path / 'keys'}"
    assert KEY not in found.found + found.next_step
