"""Fills for Hypothesis: one by one, with every odd combination."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from tests.rules.drawn_names import ACCOUNTS, CODES, CURRENCIES, FILL_TIMES, INSTRUMENTS, mostly, pick, text_of
from tests.rules.reference import Row

CHARGED = st.one_of(
    pick("-1", "0", "0.0001493", "-0.0012", "-8441.835102152325"),
    pick("-0.000000000001", "-0.0000000000005", "-0.0000000000015", "-0.000000000000000001"),
    st.integers(1, 10**15).map(lambda part: "-" + format(Decimal(part).scaleb(-9), "f")),
    st.integers(1, 10**23).map(lambda part: "-" + format(Decimal(part).scaleb(-18), "f")),
)
SIZES = st.one_of(
    pick("1", "0.000000000000000001", "3192.772", "99999999"),
    st.integers(1, 10**24).map(lambda part: format(Decimal(part).scaleb(-18), "f")),
)
TRADED_PRICES = st.one_of(
    pick("0", "0.5", "171.638394", "104794.4888165429"),
    st.integers(0, 10**12).map(lambda part: format(Decimal(part).scaleb(-8), "f")),
)
SUB_TYPES = [str(code) for code in (99, 100, 105, 128, 129, 211, 212, 213, 214, 323, 324, 329, 330, 375, 376, 377, 378)]

FILL_COLUMNS: dict[str, st.SearchStrategy[str]] = {
    "liquidity": pick("maker", "taker"),
    "price": TRADED_PRICES,
    "size": SIZES,
    "fee": CHARGED,
    "fee_currency": mostly(CURRENCIES, "DOGE", of=15),
    "tag": mostly(CODES, ["", "ALPHA ", "Alpha", "unknown"], of=4),
    "executed_at": st.sampled_from([text_of(time) for time in FILL_TIMES]),
    "fee_rate": mostly("", ["-0.001", "-0.0008", "-0.00079", "0.0001", "-0.0010000"], of=3),
    "fee_rebate": mostly("", ["0", "0.000000000000000001", "0.5", "1", "2"], of=8),
    "fee_discount": mostly("", "fee_card", of=12),
    "channel": mostly(["api", "api", "", "unknown"], ["web", "app"], of=20),
    "sub_type": mostly(["", "1", "204"], SUB_TYPES, of=8),
    "flags": mostly("", ["LATE", "LATE;ODD"], of=6),
}


@st.composite
def fills(draw: st.DrawFn) -> Row:
    """One fill with every odd combination."""
    venue, account = draw(st.sampled_from(ACCOUNTS))
    kind, instrument = draw(st.sampled_from(INSTRUMENTS))
    where = {"venue": venue, "account": account, "instrument_type": kind, "instrument": instrument}
    return {**where, **{name: draw(column) for name, column in FILL_COLUMNS.items()}}


BATCHES = st.lists(fills(), min_size=20, max_size=30)
