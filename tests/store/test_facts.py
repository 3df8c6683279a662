"""Facts read out for the rules: the rows that stand, those that can be in force, at full precision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pyarrow as pa
import pytest

from schemas.frames import AMOUNT, TIMESTAMP
from settlement.pipeline.load_terms import read_document
from settlement.rules.facts import Facts
from settlement.store.database import Database
from settlement.store.facts import load_facts

HOUR = datetime(2026, 9, 14, 8, tzinfo=UTC)
FIRST, SECOND = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 9, 2, tzinfo=UTC)

# Each statement has one load, numbered from 1: the odd ones of FIRST, the even ones of SECOND.
FILL_TABLES = """
INSERT INTO load (kind, source, loaded_by, loaded_at) VALUES
    ('registry', '', '', '2026-09-01'), ('registry', '', '', '2026-09-02');
INSERT INTO broker (broker_id, name, model, parent_id, share, status, effective_from, own_accounts, load_id) VALUES
    ('a', 'A', 'api', NULL, NULL, 'active', '2026-01-01', '{okx:1,okx:2}', 1),
    ('b', 'B', 'api', 'a', 0.123456789012345678, 'active', '2026-01-01T00:00:00.123456Z', '{}', 1),
    ('later', 'L', 'api', NULL, NULL, 'active', '2026-09-14T09:00:00Z', '{}', 1);
INSERT INTO broker_code (code, broker_id, effective_from, effective_to, load_id) VALUES
    ('old', 'a', '2026-01-01', '2026-02-01', 1), ('later', 'a', '2027-01-01', NULL, 1);
INSERT INTO client_link (venue, account, broker_id, effective_from, affiliated, account_class, rebate_share, load_id) VALUES
    ('okx', '1', 'a', '2026-01-01', true, 'msa', 0.1, 1), ('okx', '2', 'a', '2026-01-01', false, NULL, NULL, 1);
INSERT INTO vip_level (venue, account, level, effective_from, load_id, replaced_by_load) VALUES
    ('okx', '1', 3, '2026-01-01', 1, 2), ('okx', '1', 4, '2026-01-01', 2, NULL);
INSERT INTO fee_rate (venue, account, product, liquidity, rate, effective_from, load_id) VALUES
    ('okx', '1', 'spot', 'maker', -0.0008, '2026-01-01', 1);
INSERT INTO tier_override (broker_id, tier, effective_from, load_id) VALUES ('a', 'T3', '2026-01-01', 1);
INSERT INTO broker_override (broker_id, kind, product, liquidity, value, effective_from, load_id, replaced_by_load) VALUES
    ('a', 'rate', 'all', 'all', 0.123456, '2026-01-01', 1, 2), ('a', 'rate', 'all', 'all', 0.3, '2026-01-01', 2, NULL),
    ('a', 'floor', 'spot', 'all', 0.2, '2026-09-14T09:00:00Z', 1, NULL);
INSERT INTO tier_review (broker_id, tier, effective_from, volume_usdt, clients, reviewed_at) VALUES
    ('a', 'T1', '2026-08-01', 5, 1, '2026-08-01'), ('a', 'T2', '2026-09-01', 5, 1, '2026-09-02');
INSERT INTO instrument (venue, instrument, instrument_type, contract_value, effective_from, load_id) VALUES
    ('okx', 'AAA-USDT-SWAP', 'SWAP', 0.01, '1970-01-01', 1);
INSERT INTO price (currency, ts, price_usdt, load_id) VALUES
    ('BTC', '2026-09-14T06:59:59.999Z', 1, 1), ('BTC', '2026-09-14T07:00:00Z', 104794.488816542900000001, 1),
    ('BTC', '2026-09-14T08:59:59.999Z', 3, 1), ('BTC', '2026-09-14T09:00:00Z', 4, 1);
"""


@pytest.fixture
def filled(superuser: psycopg.Connection) -> psycopg.Connection:
    superuser.execute(FILL_TABLES)
    return superuser


def facts(database: Database, *, as_of: datetime | None = None) -> Facts:
    with database.transaction() as connection:
        return load_facts(connection, start=HOUR, end=HOUR + timedelta(hours=1), as_of=as_of)


@pytest.mark.usefixtures("filled")
def test_columns_have_the_types_that_the_rules_read(database: Database) -> None:
    read = facts(database)
    amounts = {"share", "rebate_share", "rate", "contract_value", "contract_multiplier", "price_usdt", "value"}
    for frame in (value for value in vars(read).values() if hasattr(value, "dtypes")):
        for name, dtype in frame.dtypes.items():
            if name in amounts:
                assert dtype.pyarrow_dtype == AMOUNT
            elif name in {"effective_from", "effective_to", "ts"}:
                assert dtype.pyarrow_dtype == TIMESTAMP
            elif name in {"row_id", "price_id", "level"}:
                assert dtype.pyarrow_dtype == pa.int64()
            else:
                assert dtype.pyarrow_dtype == (pa.bool_() if name == "affiliated" else pa.string())


@pytest.mark.usefixtures("filled")
def test_values_keep_every_digit_and_nothing_is_null_that_is_not(database: Database) -> None:
    read = facts(database)
    brokers = read.brokers.set_index("broker_id")
    assert brokers.loc["b", "share"] == Decimal("0.123456789012345678")
    assert brokers.loc["b", "effective_from"] == datetime(2026, 1, 1, microsecond=123456, tzinfo=UTC)
    assert brokers["own_accounts"].to_dict() == {"a": "okx:1;okx:2", "b": ""}
    assert brokers["parent_id"].isna().to_dict() == {"a": True, "b": False}
    clients = read.clients.set_index("account")
    assert clients["affiliated"].to_dict() == {"1": True, "2": False}
    assert clients["rebate_share"].isna().to_dict() == {"1": False, "2": True}
    assert read.fee_rates["rate"].to_list() == [Decimal("-0.0008")]
    assert read.overrides["value"].to_list() == [Decimal("0.3")]
    assert read.prices["price_usdt"].to_list()[0] == Decimal("104794.488816542900000001")


@pytest.mark.usefixtures("filled")
def test_only_rows_that_stand_and_can_be_in_force_are_read_but_every_code(database: Database) -> None:
    read = facts(database)
    assert set(read.brokers["broker_id"]) == {"a", "b"}
    assert set(read.codes["code"]) == {"old", "later"}
    assert read.vip_levels["level"].to_list() == [4]
    assert read.reviews["tier"].to_list() == ["T1", "T2"]


@pytest.mark.usefixtures("filled")
def test_prices_reach_back_as_far_as_the_terms_let_them_be_used(database: Database, filled: psycopg.Connection) -> None:
    assert facts(database).prices["ts"].dt.hour.to_list() == [7, 8]
    document = read_document("guide")[0].replace("max_age_seconds = 3600", "max_age_seconds = 3601")
    filled.execute(
        "INSERT INTO program_terms (name, effective_from, document, load_id) VALUES ('x', '2020-01-01', %s, 1)",
        [document],
    )
    read = facts(database)
    assert read.terms[0].max_age_seconds == 3601
    assert read.prices["ts"].dt.hour.to_list() == [6, 7, 8]


def test_an_empty_database_gives_empty_frames_of_the_same_types(database: Database) -> None:
    read = facts(database)
    assert read.terms == ()
    assert len(read.prices) == 0
    assert read.prices.dtypes["price_usdt"].pyarrow_dtype == AMOUNT


def test_terms_come_in_the_order_of_their_times_with_their_numbers(
    database: Database, filled: psycopg.Connection
) -> None:
    guide = read_document("guide")[0]
    for since in ("2026-03-01T00:00:00Z", "2026-01-01T00:00:00Z"):
        document = guide.replace("2020-01-01T00:00:00Z", since)
        filled.execute(
            "INSERT INTO program_terms (name, effective_from, document, load_id) VALUES ('x', %s, %s, 1)",
            [since, document],
        )
    assert [(terms.terms_id, terms.effective_from.month) for terms in facts(database).terms] == [(2, 1), (1, 3)]


@pytest.mark.usefixtures("filled")
def test_what_was_known_at_a_recorded_time_can_be_read_again(database: Database) -> None:
    minute = timedelta(minutes=1)
    assert len(facts(database, as_of=FIRST - minute).vip_levels) == 0
    then = facts(database, as_of=FIRST + minute)
    assert then.vip_levels["level"].to_list() == [3]
    assert then.overrides["value"].to_list() == [Decimal("0.123456")]
    assert then.reviews["tier"].to_list() == ["T1"]
    assert len(then.brokers) == 2
    now = facts(database, as_of=SECOND + minute)
    assert now.vip_levels["level"].to_list() == [4]
    assert now.reviews["tier"].to_list() == ["T1", "T2"]
