"""Small worlds for Hypothesis: brokers, clients, terms and a market, most of it good, all of it changing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from hypothesis import strategies as st

from settlement.rules.facts import PayoutTerms, RateKey, Terms, Tier
from tests.rules.drawn_names import (
    ACCOUNTS,
    BOUNDARIES,
    BROKERS,
    CALM_HISTORIES,
    CODES,
    HISTORIES,
    INSTRUMENTS,
    LONG_AGO,
    MAX_AGES,
    PRICE_TIMES,
    PRODUCT_NAMES,
    SHARES,
    TIERS,
    mostly,
    pick,
    text_of,
)
from tests.rules.reference import Row, World


@st.composite
def broker_rows(draw: st.DrawFn) -> list[Row]:
    """A tree that may change shape: a broker's parent is always one of those before it."""
    rows: list[Row] = []
    for position, broker_id in enumerate(BROKERS):
        for dated in draw(CALM_HISTORIES):
            above = BROKERS[max(0, position - 2) : position] or [""]
            parent = draw(mostly(above, ["", "", "", "", "ghost"], of=4)) if position else ""
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
ROOT_KEYS = [{"broker_id": broker_id} for broker_id in BROKERS[:3]]
TIER_NAMES = mostly(TIERS, "T9", of=6)
TIER_ROWS = st.one_of(st.just([]), keyed_rows(ROOT_KEYS, {"tier": TIER_NAMES}, ends=True))
REVIEW_ROWS = st.one_of(st.just([]), keyed_rows(ROOT_KEYS, {"tier": TIER_NAMES}, ends=False))

OVERRIDE_KEYS = [
    {**root, "kind": kind, "product": product, "liquidity": liquidity}
    for root in ROOT_KEYS
    for kind in ("rate", "floor", "cap")
    for product, liquidity in (("all", "all"), ("spot", "all"), ("all", "maker"), ("futures", "taker"))
    if kind != "cap" or (product, liquidity) == ("all", "all")
]
OVERRIDE_VALUES = pick("0", "0.000001", "0.25", "0.5", "1")
OVERRIDE_ROWS = st.one_of(
    st.just([]),
    st.lists(st.sampled_from(range(len(OVERRIDE_KEYS))), unique=True, max_size=9).flatmap(
        lambda chosen: keyed_rows([OVERRIDE_KEYS[number] for number in chosen], {"value": OVERRIDE_VALUES}, ends=True)
    ),
)

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


PAYOUT = PayoutTerms(minimum=Decimal(10), quantum=Decimal("0.000001"), auto_approve_limit=Decimal(10_000), hold_hours=0)
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
                payout=PAYOUT,
                tiers=tuple(
                    Tier(name=name, min_volume={}, min_clients={}, rates=draw(rates_of_tier(products)))
                    for name in names
                ),
            )
        )
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
    overrides=OVERRIDE_ROWS,
    reviews=REVIEW_ROWS,
    instruments=instrument_rows(),
    prices=price_rows(),
)
