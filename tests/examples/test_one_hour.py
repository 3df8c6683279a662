"""One hour of a small program from beginning to end: who earned what, and why the others did not."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from tests.rules.examples import TERMS, settles_as, terms, world
from tests.rules.outcomes import settled
from tests.rules.world import table

# beta is promoted by an administrator, alpha-1's share rises, and new terms net fee discounts, all at 08:30.
HOUR = world(
    TERMS,
    terms(
        terms_id=2, effective_from=TERMS.effective_from.replace(month=9, day=14, hour=8, minute=30), fee_discount="net"
    ),
    brokers="""
        broker_id, parent_id, share,  status,    own_accounts, effective_from
        alpha,     ,          ,       active,    okx:9001,     2026-01-01T00:00:00Z
        alpha-1,   alpha,     0.4,    active,    ,             2026-01-01T00:00:00Z
        alpha-1,   alpha,     0.55,   active,    ,             2026-09-14T08:30:00Z
        beta,      ,          ,       active,    ,             2026-01-01T00:00:00Z
        gamma,     ,          ,       suspended, ,             2026-01-01T00:00:00Z
    """,
    codes="""
        code,  broker_id
        ALPHA, alpha
        ONE,   alpha-1
        BETA,  beta
        GAMMA, gamma
    """,
    clients="""
        account, broker_id, affiliated, account_class, rebate_share
        1,       beta,      true,       ,              0.1
        2,       alpha-1,   false,      ,
        3,       beta,      false,      msa,
    """,
    vip_levels="""
        account, level
        1,       5
        2,       0
        3,       0
        4,       6
        9001,    0
    """,
    tiers="broker_id, tier, effective_from\nbeta, T2, 2026-09-14T08:30:00Z",
    instruments="""
        instrument_type, instrument,    contract_type, contract_value, contract_multiplier, contract_value_currency, settle_currency
        SWAP,            BTC-USDT-SWAP, linear,        0.01,           1,                   BTC,                     USDT
    """,
    prices="""
        currency, ts,                   price_usdt
        BTC,      2026-09-14T07:45:00Z, 100000
        BTC,      2026-09-14T08:20:00Z, 100500.123456789
    """,
)

CASES = """
    account, tag,   executed_at,          instrument_type, instrument,    fee,       fee_currency, fee_rebate, channel | broker_id, reason,             tier, net_fee_usdt,        commission_usdt,      shares,                                             flags
    1,       ,      2026-09-14T08:00:00Z, SPOT,            BTC-USDT,      -10,       USDT,         ,           api     | beta,      ,                   T1,   10,                  2.5,                  beta=2.25 client:okx:1=0.25,
    1,       ALPHA, 2026-09-14T08:10:00Z, SPOT,            BTC-USDT,      -0.00001,  BTC,          ,           api     | alpha,     ,                   T1,   1,                   0.25,                 alpha=0.25,                                         TAG_OVERRIDES_LINK
    2,       ONE,   2026-09-14T08:29:59Z, SWAP,            BTC-USDT-SWAP, -0.00001,  BTC,          ,           unknown | alpha-1,   ,                   T1,   1.005001234568,      0.231150283951,       alpha=0.138690170371 alpha-1=0.09246011358,
    2,       ONE,   2026-09-14T08:30:00Z, SWAP,            BTC-USDT-SWAP, -0.00001,  BTC,          ,           unknown | alpha-1,   ,                   T1,   1.005001234568,      0.231150283951,       alpha=0.104017627778 alpha-1=0.127132656173,
    1,       ,      2026-09-14T08:10:00Z, SPOT,            BTC-USDT,      -10,       USDT,         1,          api     | beta,      FEE_DISCOUNT,       ,     ,                    ,                     ,
    1,       ,      2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      -10,       USDT,         1,          api     | beta,      ,                   T2,   9,                   2.7,                  beta=2.43 client:okx:1=0.27,
    1,       ,      2026-09-14T08:30:00Z, SWAP,            BTC-USDT-SWAP, -10,       USDT,         ,           api     | beta,      ,                   T2,   10,                  0.75,                 beta=0.675 client:okx:1=0.075,
    1,       ,      2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      0.0001493, USDT,         ,           api     | beta,      NO_NET_FEE,         ,     ,                    ,                     ,
    3,       ,      2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      -10,       USDT,         ,           api     | beta,      ACCOUNT_EXCLUDED,   ,     ,                    ,                     ,
    4,       ALPHA, 2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      -10,       USDT,         ,           api     | alpha,     VIP_EXCLUDED,       ,     ,                    ,                     ,
    5,       ALPHA, 2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      -10,       USDT,         ,           api     | alpha,     VIP_UNKNOWN,        ,     ,                    ,                     ,
    5,       ,      2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      -10,       USDT,         ,           api     | ,          UNATTRIBUTED,       ,     ,                    ,                     ,
    9001,    ALPHA, 2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      -10,       USDT,         ,           api     | alpha,     OWN_ACCOUNT,        ,     ,                    ,                     ,
    2,       GAMMA, 2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      -10,       USDT,         ,           api     | gamma,     BROKER_INACTIVE,    ,     ,                    ,                     ,                                                   TAG_OVERRIDES_LINK
    2,       ,      2026-09-14T08:30:00Z, SPOT,            BTC-USDT,      -10,       USDT,         ,           unknown | alpha-1,   NON_API_CHANNEL,    ,     ,                    ,                     ,
    1,       ,      2026-09-14T08:30:00Z, SWAP,            SOL-USDT-SWAP, -10,       USDT,         ,           api     | beta,      INSTRUMENT_UNKNOWN, ,     ,                    ,                     ,
    1,       ,      2026-09-14T08:30:00Z, SPOT,            SOL-USDC,      -10,       USDT,         ,           api     | beta,      PRICE_MISSING,      ,     ,                    ,                     ,
"""  # fmt: skip


def test_each_fill_of_the_hour_settles_as_the_table_says() -> None:
    settles_as(CASES, HOUR)


def test_what_the_hour_owes_is_the_commission_of_its_lines_to_the_last_digit() -> None:
    cases = table("\n".join(line.partition("|")[0].rstrip(" ") for line in CASES.strip().splitlines()))
    ordinary = {"venue": "okx", "liquidity": "taker", "price": "100", "size": "2"}
    lines = settled([{**ordinary, **case} for case in cases], HOUR)
    owed: Counter[str] = Counter()
    for line in lines:
        owed.update(line.shares)  # type: ignore[arg-type] - a counter of decimals
    assert owed == {
        "alpha": Decimal("0.492707798149"),
        "alpha-1": Decimal("0.219592769753"),
        "beta": Decimal("5.355"),
        "client:okx:1": Decimal("0.595"),
    }
    assert sum(owed.values()) == sum(line.commission_usdt or 0 for line in lines)
