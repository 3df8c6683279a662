"""Small worlds and fills for Hypothesis: few names and few instants, so that everything meets everything.

Facts change at BOUNDARIES; fills happen on a boundary, a microsecond off it, or between. Most facts are good, so that
fills get past the early checks, and each check still fails often enough to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from hypothesis import strategies as st

from settlement.rules.facts import PayoutTerms, RateKey, Terms, Tier
from tests.rules.reference import Row, World

Value = TypeVar("Value")

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
PRICE_TIMES = tuple(
    instant - age
    for instant in FILL_TIMES
    for age in (timedelta(0), MICROSECOND, *(timedelta(seconds=age) + step for age in MAX_AGES for step in (-MICROSECOND, timedelta(0), MICROSECOND)))
)  # fmt: skip

BROKERS = ("b0", "b1", "b2", "b3", "b4")
ACCOUNTS = (("okx", "1"), ("okx", "2"), ("okx", "11"), ("other", "1"))
CODES = ("ALPHA", "alpha", "Beta1", "b2")
TIERS = ("T1", "T2", "T3")
CURRENCIES = ("USDT", "USDC", "USD", "BTC", "ETH")
PRODUCT_NAMES = ("spot", "futures", "options", "events")
INSTRUMENTS = (
    ("SPOT", "BTC-USDT"), ("MARGIN", "BTC-USDT"), ("SPOT", "ETH-BTC"), ("MARGIN", "ETH-USDC"), ("SPOT", "BTCUSDT"),
    ("SPOT", "BTC-"), ("MARGIN", "-USDT"), ("SPOT", "BTC-USD-T"), ("SWAP", "BTC-USDT-SWAP"), ("SWAP", "BTC-USD-SWAP"),
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


def _period(begins: datetime, ends: datetime | None = None) -> Row:
    return {"effective_from": text_of(begins), "effective_to": text_of(ends) if ends else ""}


def _histories() -> list[list[Row]]:
    """What can become of a key: one row for ever (mostly), a change, an end, an overlap, a gap, a late start, nothing."""
    one, two, three = BOUNDARIES
    for_ever = [[_period(LONG_AGO)]] * 14
    changes = [[_period(LONG_AGO), _period(change)] for change in BOUNDARIES]
    ends = [[_period(LONG_AGO, one)], [_period(LONG_AGO, three)]]
    late = [[_period(one)], [_period(three)]]
    odd = [
        [_period(LONG_AGO, one), _period(one, two), _period(two)],
        [_period(LONG_AGO, two), _period(one, three)],  # overlapping: the later start wins, also after it has ended
        [_period(LONG_AGO), _period(one, two)],  # an end that the older row without one does not fill
        [_period(three), _period(LONG_AGO, one), _period(two, three)],  # a gap; rows in no order
        [],
    ]
    return [*for_ever, *changes * 2, *ends, *late, *odd]


HISTORIES = st.sampled_from(_histories())
CALM_HISTORIES = st.sampled_from([*_histories()[:1] * 60, *_histories()])


PLAIN_SHARES = pick("0", "1", "0.5", "0.3333", "0.0333", "0.55")
SHARES = st.one_of(PLAIN_SHARES, st.integers(0, 10**18).map(lambda part: format(Decimal(part).scaleb(-18), "f")))


@st.composite
def broker_rows(draw: st.DrawFn) -> list[Row]:
    """A tree that may change shape: a broker's parent is always one of those before it."""
    rows: list[Row] = []
    for position, broker_id in enumerate(BROKERS):
        for dated in draw(CALM_HISTORIES):
            parent = (
                draw(mostly(BROKERS[max(0, position - 2) : position], ["", "", "", "", "ghost"], of=4))
                if position
                else ""
            )
            rows.append(
                {
                    "broker_id": broker_id,
                    "parent_id": parent,
                    "share": draw(SHARES) if parent else "",
                    "status": draw(mostly("active", ["suspended", "Active"], of=40)),
                    "own_accounts": draw(mostly("", ["okx:1", "okx:2;other:1", "other:2;okx:11"], of=8)),
                    **dated,
                }
            )
    return rows


BROKER_IDS = mostly(BROKERS, "ghost", of=40)


@st.composite
def keyed_rows(
    draw: st.DrawFn, keys: Sequence[Row], columns: dict[str, st.SearchStrategy[str]], *, ends: bool
) -> list[Row]:
    """Rows of one effective-dated table: each key has its history of rows with drawn `columns`."""
    dates = [(key, dated) for key in keys for dated in draw(HISTORIES)]
    return [
        {
            **key,
            **{name: draw(column) for name, column in columns.items()},
            "effective_from": dated["effective_from"],
            **({"effective_to": dated["effective_to"]} if ends else {}),
        }
        for key, dated in dates
    ]


ACCOUNT_KEYS = [{"venue": venue, "account": account} for venue, account in ACCOUNTS]
CODE_ROWS = keyed_rows([{"code": code} for code in CODES], {"broker_id": BROKER_IDS}, ends=True)
CLIENT_ROWS = keyed_rows(
    ACCOUNT_KEYS,
    {
        "broker_id": BROKER_IDS,
        "affiliated": pick("", "true", "false"),
        "account_class": mostly("", ["msa", "MSA", "retail"], of=4),
        "rebate_share": st.one_of(st.just(""), SHARES),
    },
    ends=True,
)
VIP_ROWS = keyed_rows(ACCOUNT_KEYS, {"level": mostly(["0", "2", "5"], ["6", "9"], of=5)}, ends=False)
FEE_RATE_KEYS = [
    {"venue": venue, "account": account, "product": product, "liquidity": liquidity}
    for venue, account in ACCOUNTS[:2]
    for product in ("spot", "futures")
    for liquidity in ("maker", "taker")
]
FEE_RATE_ROWS = keyed_rows(FEE_RATE_KEYS, {"rate": pick("-0.001", "-0.0008", "0.0001")}, ends=False)
ROOT_KEYS = [{"broker_id": broker_id} for broker_id in BROKERS[:2]]
TIER_NAMES = mostly(TIERS, "T9", of=8)
TIER_ROWS = st.one_of(st.just([]), keyed_rows(ROOT_KEYS, {"tier": TIER_NAMES}, ends=True))
REVIEW_ROWS = st.one_of(st.just([]), keyed_rows(ROOT_KEYS, {"tier": TIER_NAMES}, ends=False))

RATES = st.one_of(
    st.sampled_from([Decimal(0), Decimal(1), Decimal("0.25")]),
    st.integers(0, 1_000_000).map(lambda part: Decimal(part).scaleb(-6)),
)


@st.composite
def rates_of_tier(draw: st.DrawFn, products: Sequence[str]) -> dict[RateKey, Decimal]:
    return {
        (product, liquidity, affiliated): draw(RATES)
        for product in products
        for liquidity in ("maker", "taker")
        for affiliated in (False, True)
    }


TERMS_STARTS = st.sampled_from(
    [
        *[[LONG_AGO], [LONG_AGO, *BOUNDARIES[:1]], [LONG_AGO, *BOUNDARIES], [LONG_AGO, *BOUNDARIES[2:]]] * 4,
        list(BOUNDARIES[:1]),
        [],
    ]
)


@st.composite
def terms_versions(draw: st.DrawFn) -> tuple[Terms, ...]:
    """Up to three versions, each with rules of its own; sometimes none."""
    versions = []
    for terms_id, begins in enumerate(sorted(draw(TERMS_STARTS)), 1):
        products = draw(st.sets(st.sampled_from(PRODUCT_NAMES), min_size=3).map(sorted))
        names = TIERS[: draw(st.integers(2, 3))]
        versions.append(
            Terms(
                terms_id=terms_id * 7,
                name=f"terms {terms_id}",
                effective_from=begins,
                entry_tier=draw(st.sampled_from(names)),
                max_vip=draw(st.sampled_from([5, 5, 6])),
                excluded_account_classes=frozenset(draw(st.sampled_from([("msa",), ("msa", "retail"), ()]))),
                fee_discount=draw(pick("net", "exclude")),
                max_age_seconds=draw(st.sampled_from(MAX_AGES)),
                volume_window="rolling_30d",
                acquisition="new_clients",
                groups="all",
                payout=PayoutTerms(minimum=Decimal(10), quantum=Decimal("0.000001"), auto_approve_limit=Decimal(10_000), hold_hours=0),
                tiers=tuple(
                    Tier(name=name, min_volume={"all": Decimal(step)}, min_clients={"all": step}, rates=draw(rates_of_tier(products)))
                    for step, name in enumerate(names)
                ),
            )
        )  # fmt: skip
    return tuple(versions)


@st.composite
def instrument_rows(draw: st.DrawFn) -> list[Row]:
    """Instruments whose contract values change, and whose ids say nothing; some are not loaded."""
    rows: list[Row] = []
    for kind, name in INSTRUMENTS:
        pair = kind in {"SPOT", "MARGIN"}
        for dated in draw(HISTORIES) if draw(mostly("loaded", "", of=2 if pair else 8)) else []:
            venue = draw(mostly("okx", "other"))
            row = {
                "venue": venue,
                "instrument_type": kind,
                "instrument": name,
                "effective_from": dated["effective_from"],
            }
            if pair:
                row |= {"base_currency": "BTC", "quote_currency": draw(pick("USDT", "BTC", "USDC", ""))}
            else:
                row |= {
                    "contract_type": "" if kind == "EVENTS" else draw(pick("linear", "inverse")),
                    "contract_value": draw(pick("1", "0.01", "100", "0.0001", "9.9", "0.000000000000000001")),
                    "contract_multiplier": draw(pick("1", "0.1", "10", "0.999999999999999999")),
                    "contract_value_currency": draw(pick("BTC", "USD", "ETH")),
                    "settle_currency": draw(pick("USDT", "BTC", "USDC")),
                }
            rows.append(row)
    return _distinct(rows, "venue", "instrument_type", "instrument", "effective_from")


PRICE_HISTORIES = st.one_of(
    st.just([*BOUNDARIES, LONG_AGO, *(boundary - timedelta(hours=1) for boundary in BOUNDARIES)]),
    st.lists(st.sampled_from(PRICE_TIMES), unique=True, max_size=10),
)


@st.composite
def price_rows(draw: st.DrawFn) -> list[Row]:
    """Prices with holes, some exactly as old as may be, in no order."""
    rows = [
        {"currency": currency, "ts": text_of(ts), "price_usdt": draw(price)}
        for currency, price in (
            ("USDC", pick("1", "0.9998", "1.000123456789012345")),
            ("USD", pick("1", "0.5")),
            ("BTC", pick("104794.4888165429", "0.1", "99999.999999999999999999")),
            ("ETH", pick("9.9", "3424.353095", "2.5")),
        )
        for ts in draw(PRICE_HISTORIES)
    ]
    return rows[::-1]


def _distinct(rows: list[Row], *key: str) -> list[Row]:
    return list({tuple(row[name] for name in key): row for row in rows}.values())


WORLDS = st.builds(
    World,
    terms=terms_versions(),
    brokers=broker_rows(),
    codes=CODE_ROWS,
    clients=CLIENT_ROWS,
    vip_levels=VIP_ROWS,
    fee_rates=FEE_RATE_ROWS,
    tiers=TIER_ROWS,
    reviews=REVIEW_ROWS,
    instruments=instrument_rows(),
    prices=price_rows(),
)

CHARGED = st.one_of(
    pick("-1", "0", "0.0001493", "-0.0012", "-8441.835102152325", "-0.000000000001", "-0.0000000000005", "-0.0000000000015", "-0.000000000000000001"),
    st.integers(1, 10**15).map(lambda part: "-" + format(Decimal(part).scaleb(-9), "f")),
    st.integers(1, 10**23).map(lambda part: "-" + format(Decimal(part).scaleb(-18), "f")),
)  # fmt: skip
SIZES = st.one_of(
    pick("1", "0.000000000000000001", "3192.772", "99999999"),
    st.integers(1, 10**24).map(lambda part: format(Decimal(part).scaleb(-18), "f")),
)
TRADED_PRICES = st.one_of(
    pick("0", "0.5", "171.638394", "104794.4888165429"),
    st.integers(0, 10**12).map(lambda part: format(Decimal(part).scaleb(-8), "f")),
)
SUB_TYPES = (
    "99",
    "100",
    "105",
    "128",
    "129",
    "211",
    "212",
    "213",
    "214",
    "323",
    "324",
    "329",
    "330",
    "375",
    "376",
    "377",
    "378",
)

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
