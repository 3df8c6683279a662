"""The vault keeps credentials from whoever holds the database only, or a moved row, or the wrong key."""
# ruff: noqa: S106 - what these secrets open does not exist

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from settlement import runtime
from settlement.errors import Refused
from settlement.program.venue_accounts import ApiKey, OAuthTokens, VenueAccount
from settlement.store.secret_key import KeyPlace, key_place, new_key, read_keys
from settlement.store.vault import Vault, api_key_id, open_vault

KEY = ApiKey(api_key="key-4f1c", secret="secret-9a2e", passphrase="phrase-77d0")
ACCOUNT = VenueAccount(venue="okx", account="900100200300", base_url="https://openapi.okx.com", credentials=KEY)
TOKENS = OAuthTokens(
    access_token="access-1b",
    refresh_token="refresh-2c",
    client_id="id-3d",
    expires_at=datetime(2026, 9, 14, 7, tzinfo=UTC),
)
WHERE = {"venue": "okx", "account": "900100200300", "base_url": "https://openapi.okx.com"}
PLAIN = ("key-4f1c", "secret-9a2e", "phrase-77d0", "access-1b", "refresh-2c", "id-3d")


def vault(*keys: str) -> Vault:
    return Vault([Fernet(key) for key in keys or (new_key(),)], where="the test")


def key_file(folder: Path, content: str, *, mode: int = 0o600) -> Path:
    path = folder / "keys"
    path.write_text(content)
    path.chmod(mode)
    return path


def named(file: Path) -> KeyPlace:
    return key_place(text=None, file=file, home=Path("unused"))


@pytest.mark.parametrize("credentials", [KEY, TOKENS, replace(TOKENS, expires_at=None, client_secret="x")])
def test_what_is_sealed_opens_for_its_own_account(credentials: ApiKey | OAuthTokens) -> None:
    safe = vault()
    assert safe.open(safe.seal(replace(ACCOUNT, credentials=credentials)), **WHERE) == credentials


def test_nothing_shows_in_what_is_sealed_or_printed() -> None:
    safe = vault()
    for account in (ACCOUNT, replace(ACCOUNT, credentials=TOKENS)):
        shown = f"{safe.seal(account)!r} {account!r} {safe!r} {api_key_id(account.credentials)}"
        assert [word for word in PLAIN if word in shown] == []


@pytest.mark.parametrize("name", ["venue", "account", "base_url"])
def test_a_row_whose_ciphertext_or_host_was_swapped_does_not_open(name: str) -> None:
    safe = vault()
    with pytest.raises(Refused, match="sealed for another account or another host"):
        safe.open(safe.seal(ACCOUNT), **(WHERE | {name: "https://elsewhere.example"}))


def test_another_key_is_told_as_such_and_shows_nothing() -> None:
    sealed = vault().seal(ACCOUNT)
    with pytest.raises(Refused, match="not the one these credentials were sealed with") as refused:
        vault().open(sealed, **WHERE)
    assert "SETTLEMENT_SECRET_KEY" in refused.value.mend
    assert "900100200300" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_truncated_a_changed_and_an_empty_ciphertext_are_refused() -> None:
    safe = vault()
    sealed = safe.seal(ACCOUNT)
    middle = len(sealed) // 2
    changed = sealed[:middle] + (b"A" if sealed[middle : middle + 1] != b"A" else b"B") + sealed[middle + 1 :]
    for damaged in (sealed[:-10], changed, b"", b"\x00\xff"):
        with pytest.raises(Refused):
            safe.open(damaged, **WHERE)


def test_after_a_rotation_old_ciphertexts_open_and_resealed_ones_need_the_new_key_only() -> None:
    old, new = new_key(), new_key()
    sealed = vault(old).seal(ACCOUNT)
    rotated = vault(new, old)
    assert rotated.open(sealed, **WHERE) == KEY
    assert vault(new).open(rotated.reseal(sealed), **WHERE) == KEY
    assert vault(new).open(rotated.seal(ACCOUNT), **WHERE) == KEY
    with pytest.raises(Refused):
        vault(new).reseal(sealed)


def test_the_key_of_the_variable_goes_before_the_file(tmp_path: Path) -> None:
    key = new_key()
    place = key_place(text=f"{key},{new_key()}", file=tmp_path / "missing", home=tmp_path)
    assert open_vault(place).open(vault(key).seal(ACCOUNT), **WHERE) == KEY
    assert key not in repr(place)
    assert open_vault(place).number_of_keys == 2


def test_the_default_file_is_made_at_first_use_for_its_owner_only(tmp_path: Path) -> None:
    place = key_place(text=None, file=None, home=tmp_path / "home")
    assert not place.exists()
    sealed = open_vault(place).seal(ACCOUNT)
    assert stat.S_IMODE((tmp_path / "home" / "secret.key").stat().st_mode) == 0o600
    assert open_vault(place).open(sealed, **WHERE) == KEY
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["secret.key"]


def test_processes_that_make_the_default_file_at_once_agree_on_one_key(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from settlement.store.secret_key import key_place, read_keys\n"
        "sys.stdin.readline()\n"
        "print(read_keys(key_place(text=None, file=None, home=pathlib.Path(sys.argv[1])))[0].encrypt(b'x').decode())\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    tokens = [process.communicate(timeout=60)[0].strip() for process in started]
    key = Fernet((tmp_path / "secret.key").read_text().strip())
    assert [key.decrypt(token) for token in tokens] == [b"x"] * 4


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
def test_a_file_that_others_may_access_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, new_key(), mode=mode)
    with pytest.raises(Refused, match="others may access the secret key") as refused:
        read_keys(named(path))
    assert refused.value.where == str(path)
    assert refused.value.mend == f"run: chmod 600 {path}"


def test_what_is_no_regular_file_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("pipe", "folder"):
        with pytest.raises(Refused, match="not in a regular file"):
            read_keys(named(tmp_path / name))


def test_a_missing_file_that_was_named_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is missing"):
        read_keys(named(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["short", "x" * 44, "ключ", "", ",,"])
def test_a_malformed_key_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    good = new_key()
    for place in (
        named(key_file(tmp_path, text)),
        named(key_file(tmp_path, f"{text}\n" if not text.strip(",") else f"{good},{text}\n")),
        key_place(text=text, file=None, home=tmp_path),
    ):
        with pytest.raises(Refused) as refused:
            read_keys(place)
        assert good not in str(refused.value)
        assert not text.strip(",") or text not in str(refused.value)


def test_the_settings_name_the_key_and_never_show_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = new_key()
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", key)
    assert key not in repr(runtime.settings()) + repr(runtime.secret_key_place()) + repr(runtime.vault())
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", "")
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY_FILE", str(key_file(tmp_path, key)))
    assert runtime.vault().open(vault(key).seal(ACCOUNT), **WHERE) == KEY
