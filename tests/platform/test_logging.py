import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from settlement.config import Settings
from settlement.logging import configure_logging, mask_account
from settlement.store.database import Database


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def read_events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_object_with_its_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))
    structlog.get_logger("test").info("window settled", window="2026-09-14T06:00:00Z", lines=408)
    [event] = read_events(capsys)
    assert event["event"] == "window settled"
    assert event["level"] == "info"
    assert event["lines"] == 408
    assert str(event["timestamp"]).endswith("Z")


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("account", "44705892343619584", "***9584"),
        ("account", "12345", "***"),
        ("payee", "client:okx:44705892343619584", "client:okx:***9584"),
        ("payload", {"legs": [{"account": "44705892343619584"}]}, {"legs": [{"account": "***9584"}]}),
        ("url", "redis://user:secret@host:6379/0", "redis://user:***@host:6379/0"),
        ("payee", "B01", "B01"),
        ("error", "Refused: okx 44705892343619584: no such account", "Refused: okx ***9584: no such account"),
        ("error", "line okx:44705892343619584:b1 has no fill", "line okx:***9584:b1 has no fill"),
        (
            "error",
            "UniqueViolation: line_pkey\nDETAIL:  Key (venue, account)=(okx, desk-7) already exists.\nHINT: no",
            "UniqueViolation: line_pkey\nDETAIL: (not logged)\nHINT: no",
        ),
        ("args", ("fills.csv", "desk", "44705892343619584"), ["fills.csv", "desk", "***9584"]),
        ("took", "1234567890.25 USDT of run 12345678", "1234567890.25 USDT of run 12345678"),
    ],
)
def test_accounts_and_passwords_are_masked(
    capsys: pytest.CaptureFixture[str], field: str, value: object, shown: object
) -> None:
    configure_logging(Settings(log_format="json"))
    structlog.get_logger("test").warning("seen", **{field: value})
    assert read_events(capsys)[0][field] == shown


def test_records_of_libraries_come_out_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))
    logging.getLogger("celery").warning("lost %s", "client:okx:44705892343619584")
    [event] = read_events(capsys)
    assert event["event"] == "lost client:okx:***9584"
    assert event["level"] == "warning"


def test_an_error_of_the_database_shows_no_row(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))
    insert = text("INSERT INTO settlement_window (window_start, status) VALUES (now(), :account)")
    account = f"desk-{7}"
    try:
        with database.transaction() as connection:
            connection.execute(insert, {"account": account})
    except IntegrityError:
        logging.getLogger("celery").exception("task failed")
    [event] = read_events(capsys)
    assert "settlement_window" in str(event["exception"])
    assert account not in str(event)


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="WARNING", log_format="json"))
    structlog.get_logger("test").info("quiet")
    structlog.get_logger("test").warning("loud")
    assert [event["event"] for event in read_events(capsys)] == ["loud"]


def test_console_lines_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings())
    structlog.get_logger("test").warning("window late", window="06:00")
    assert "window late" in capsys.readouterr().err


def test_a_mask_keeps_at_most_the_last_four() -> None:
    assert mask_account("123456789") == "***6789"
    assert mask_account("12345678") == "***"
