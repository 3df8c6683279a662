"""What drawn worlds and fills are made of: few names and few instants, so that everything meets everything.

Facts change at BOUNDARIES; fills happen on a boundary, a microsecond off it, or between. Most facts are good, so that
fills get past the early checks, and each check still fails often enough to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from tests.rules.reference import Row

LONG_AGO = datetime(2026, 8, 5, tzinfo=UTC)
BOUNDARIES = (
    datetime(2026, 9, 14, 8, 0, 1, 234_000, tzinfo=UTC),
    datetime(2026, 9, 14, 8, 30, tzinfo=UTC),
    datetime(2026, 9, 14, 8, 45, 0, 1, tzinfo=UTC),
)
MICROSECOND = timedelta(microseconds=1)
FILL_TIMES = tuple(
    boundary + step
    for boundary in BOUNDARIES
    for step in (-MICROSECOND, timedelta(0), MICROSECOND, timedelta(minutes=7))
)
MAX_AGES = (60, 3600, 7200)
PRICE_AGES = (
    timedelta(0),
    MICROSECOND,
    *(timedelta(seconds=age) + step for age in MAX_AGES for step in (-MICROSECOND, timedelta(0), MICROSECOND)),
)
PRICE_TIMES = tuple(instant - age for instant in FILL_TIMES for age in PRICE_AGES)

BROKERS = ("b0", "b1", "b2", "b3", "b4")
ACCOUNTS = (("okx", "1"), ("okx", "2"), ("okx", "11"), ("other", "1"))
CODES = ("ALPHA", "alpha", "Beta1", "b2")
TIERS = ("T1", "T2", "T3")
CURRENCIES = ("USDT", "USDC", "USD", "BTC", "ETH")
PRODUCT_NAMES = ("spot", "futures", "options", "events")
INSTRUMENTS = (
    ("SPOT", "BTC-USDT"), ("MARGIN", "BTC-USDT"), ("SPOT", "ETH-BTC"), ("MARGIN", "ETH-USDC"), ("SPOT", "BTCUSDT"),
    ("MARGIN", "BTCUSDT"), ("SPOT", "BTC-"), ("MARGIN", "-USDT"), ("SPOT", "BTC-USD-T"), ("SWAP", "BTC-USDT-SWAP"), ("SWAP", "BTC-USD-SWAP"),
    ("FUTURES", "ETH-USDT-261225"), ("FUTURES", "BTC-USDT-SWAP"), ("OPTION", "BTC-USD-261225-120000-C"),
    ("EVENTS", "RAIN-YES"),
)  # fmt: skip


def mostly(good: str | Sequence[str], rarely: str | Sequence[str], *, of: int = 10) -> st.SearchStrategy[str]:
    """One of `rarely` once in `of` draws, else one of `good`; one draw, and it shrinks towards the first of `good`."""
    usual, odd = _texts(good), _texts(rarely)
    return st.sampled_from([*usual * (len(odd) * (of - 1)), *odd * len(usual)])


def _texts(values: str | Sequence[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def pick(*values: str) -> st.SearchStrategy[str]:
    """One of a few texts."""
    return st.sampled_from(values)


def text_of(instant: datetime) -> str:
    """RFC 3339 in UTC."""
    return instant.isoformat().replace("+00:00", "Z")


def period(begins: datetime, ends: datetime | None = None) -> Row:
    return {"effective_from": text_of(begins), "effective_to": text_of(ends) if ends else ""}


def _histories() -> list[list[Row]]:
    """What can become of a key: one row for ever (mostly), a change, an end, an overlap, a gap, a late start, nothing."""
    one, two, three = BOUNDARIES
    for_ever = [[period(LONG_AGO)]] * 14
    changes = [[period(LONG_AGO), period(change)] for change in BOUNDARIES]
    ends = [[period(LONG_AGO, one)], [period(LONG_AGO, three)]]
    late = [[period(one)], [period(three)]]
    odd = [
        [period(LONG_AGO, one), period(one, two), period(two)],
        [period(LONG_AGO, two), period(one, three)],  # overlapping: the later start wins, also after it has ended
        [period(LONG_AGO), period(one, two)],  # an end that the older row without one does not fill
        [period(three), period(LONG_AGO, one), period(two, three)],  # a gap; rows in no order
        [],
    ]
    return [*for_ever, *changes * 2, *ends, *late, *odd]


HISTORIES = st.sampled_from(_histories())
CALM_HISTORIES = st.sampled_from([*_histories()[:1] * 60, *_histories()])

SHARES = st.one_of(
    pick("0", "1", "0.5", "0.3333", "0.0333", "0.55"),
    st.integers(0, 10**18).map(lambda part: format(Decimal(part).scaleb(-18), "f")),
)
