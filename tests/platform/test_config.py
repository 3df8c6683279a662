from pathlib import Path

import pytest

from settlement import runtime
from settlement.config import unknown_variables, without_password
from settlement.errors import Refused


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "HOME", "LOG_LEVEL", "LOG_FORMAT"):
        monkeypatch.delenv(f"SETTLEMENT_{name}", raising=False)


def test_with_nothing_set_the_home_is_in_the_current_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    configured = runtime.settings()
    assert configured.home == tmp_path / ".settlement"
    assert (configured.database_url, configured.redis_url) == (None, None)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", "")
    assert runtime.settings().database_url is None


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SETTLEMENT_DATABASE_URL", "mysql://root:secret@host/x", "must start with postgresql://"),
        ("SETTLEMENT_REDIS_URL", "host:6379:secret", "must start with redis://"),
        ("SETTLEMENT_LOG_LEVEL", "secret", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ],
)
def test_a_bad_value_is_refused_by_its_name_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Refused) as refused:
        runtime.settings()
    assert refused.value.where == variable
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_secrets_do_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", "postgresql://me:hunter2@host/name")
    assert "hunter2" not in repr(runtime.settings())
    assert runtime.database_url() == "postgresql://me:hunter2@host/name"


def test_a_log_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_LOG_LEVEL", "debug")
    assert runtime.settings().log_level == "DEBUG"


def test_a_variable_that_is_no_setting_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABSE_URL", "postgresql://host/name")
    assert unknown_variables() == ["SETTLEMENT_DATABSE_URL"]


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://host:6379/3", "redis://host:6379/3"),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
    ],
)
def test_celery_is_given_the_same_redis_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, url: str, broker: str
) -> None:
    monkeypatch.setenv("SETTLEMENT_REDIS_URL", url)
    assert runtime.broker_url() == broker


def test_passwords_in_urls_are_masked() -> None:
    assert without_password("at redis://user:secret@host/0 now") == "at redis://user:***@host/0 now"
