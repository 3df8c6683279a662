"""Worked cases as aligned text: what differs from an ordinary fill, a bar, and what its line must say.

    settles_as('''
        tag,   executed_at           | broker_id, reason
        ALPHA, 2026-09-14T08:00:00Z  | alpha,
    ''')

An ordinary fill is a taker's buy of 2 BTC-USDT at 100 that was charged 1 USDT, through the API, under the code ALPHA,
by account 1; it earns. Each case is settled by the rules and by the reference, and both must say what the table says.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from settlement.program.terms import parse_terms
from settlement.rules.facts import Terms
from tests.rules.outcomes import settled
from tests.rules.reference import Line, Row, World, settle_one
from tests.rules.world import table

ORDINARY: Row = {
    "venue": "okx", "account": "1", "bill_id": "1", "instrument": "BTC-USDT", "instrument_type": "SPOT",
    "liquidity": "taker", "price": "100", "size": "2", "fee": "-1", "fee_currency": "USDT", "tag": "ALPHA",
    "executed_at": "2026-09-14T08:00:00Z", "channel": "api",
}  # fmt: skip

TERMS = parse_terms(
    """
    name = "first"
    effective_from = 2026-01-01T00:00:00Z
    entry_tier = "T1"
    [eligibility]
    excluded_account_classes = ["msa"]
    [review]
    volume_window = "rolling_30d"
    acquisition = "new_clients"
    groups = "all"
    [payout]
    minimum = "10"
    quantum = "0.000001"
    auto_approve_limit = "10000"
    hold_hours = 0
    [[tiers]]
    name = "T1"
    min_volume = "0"
    min_clients = 0
    rates.spot = "0.25"
    rates.futures = { maker = "0.2", taker = "0.23", affiliated_maker = "0.05", affiliated_taker = "0.075" }
    rates.options = "0.1"
    [[tiers]]
    name = "T2"
    min_volume = "1000000"
    min_clients = 5
    rates.spot = "0.3"
    rates.futures = { maker = "0.25", taker = "0.28", affiliated_taker = "0.075" }
    rates.options = "0.15"
    """,
    source="the examples' terms",
    terms_id=1,
)


def terms(**changes: Any) -> Terms:
    """The examples' terms with some fields changed."""
    return replace(TERMS, **changes)


def world(*versions: Terms, **tables: str) -> World:
    """The ordinary world with some tables replaced; a row without effective_from has been there for ever."""
    changed = {name: rows(text) for name, text in tables.items()}
    return replace(ORDINARY_WORLD, **changed, **({"terms": versions} if versions else {}))


def rows(text: str) -> list[Row]:
    """A table of facts, of the venue okx unless it says otherwise."""
    return [{"venue": "okx", "effective_from": "2026-01-01T00:00:00Z", **row} for row in table(text)]


ORDINARY_WORLD = World(
    terms=(TERMS,),
    brokers=rows(
        """
        broker_id,  parent_id,  share,  status,  own_accounts
        alpha,      ,           ,       active,  okx:9001
        alpha-1,    alpha,      0.4,    active,  okx:9002;okx:9003
        alpha-1-x,  alpha-1,    0.3333, active,
        beta,       ,           ,       active,
        """
    ),
    codes=rows(
        """
        code,   broker_id
        ALPHA,  alpha
        ONE,    alpha-1
        X,      alpha-1-x
        BETA,   beta
        """
    ),
    clients=[],
    vip_levels=rows(
        """
        account, level
        1,       0
        2,       0
        9001,    0
        9002,    0
        """
    ),
)

NO_TERMS = replace(ORDINARY_WORLD, terms=())


def settles_as(text: str, world: World = ORDINARY_WORLD, **common: str) -> None:
    """Each case of the table: the ordinary fill, with `common` and its own columns, settles as the table says."""
    fills, expected = _cases(text, common)
    lines = settled(fills, world)
    for case, line, wanted in zip(fills, lines, expected, strict=True):
        assert _shown(line, wanted) == _normal(wanted), case
    assert lines == [settle_one(fill, world) for fill in fills]


def line_of(world: World = ORDINARY_WORLD, **columns: str) -> Line:
    """The line of the ordinary fill with some columns changed, by the rules; the reference agrees."""
    fill = {**ORDINARY, **columns}
    [line] = settled([fill], world)
    assert line == settle_one(fill, world)
    return line


def _cases(text: str, common: Row) -> tuple[list[Row], list[Row]]:
    header, *cases = [_halves(line) for line in text.strip().splitlines()]
    fills = [{**ORDINARY, **common, **dict(zip(header[0], case[0], strict=True))} for case in cases]
    return fills, [dict(zip(header[1], case[1], strict=True)) for case in cases]


def _halves(line: str) -> list[list[str]]:
    return [[cell.strip() for cell in half.split(",")] for half in line.split("|")]


def _shown(line: Line, wanted: Row) -> Row:
    return {name: _text(getattr(line, name)) for name in wanted}


def _normal(wanted: Row) -> Row:
    return {name: " ".join(_number(word) for word in cell.split()) for name, cell in wanted.items()}


def _number(word: str) -> str:
    return _text(Decimal(word)) if word.replace(".", "").replace("-", "").isdigit() else word


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        plain = format(value, "f")
        return (plain.rstrip("0").rstrip(".") or "0") if "." in plain else plain
    if isinstance(value, dict):
        return " ".join(f"{payee}={_text(amount)}" for payee, amount in value.items())
    return "" if value is None else str(value)
