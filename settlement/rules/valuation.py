"""Valuation: what fee was really paid, and what volume was traded, in USDT.

1. Fees keep the venue's sign: negative is charged, positive is a rebate to the client; never the absolute value.
   net_fee = -fee - fee_rebate, in the fee currency; net_fee_usdt = net_fee x price, half-even to 12 decimals.
2. USDT is 1. Every other currency, stablecoins and USD too, needs a price: the latest one with ts <= executed_at that is
   not older than the terms' max_age_seconds (exactly that old is good).
3. Notional in USDT, half-even to 12 decimals, by the same price rule:
   spot and margin   size x price in the quote currency (of the instrument, else the part of the id after the hyphen)
   contracts         with face = size x contract value x contract multiplier:
     linear, events  face x price in the settle currency
     inverse         face in USD
     options         face in the contract value's currency (the underlying, not the premium)
   Linear or inverse comes from the instrument, never from its id; contract values are effective-dated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from settlement.rules.batch import Batch, array_of
from settlement.rules.facts import Facts
from settlement.rules.in_force import NONE, Coded, Codes, coded, joined, microseconds, take
from settlement.rules.money import AMOUNT, EXACT, difference, fit, product

STABLE_UNIT = "USDT"
_PAIR = re.compile(r"^[^-]+-([^-]+)$")
_SIBLING = {"SPOT": "MARGIN", "MARGIN": "SPOT"}
_MICROSECONDS = 1_000_000
_CONTRACT_FACE = pa.decimal256(76, 36)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Contracts:
    """Per fill: the instrument row (-1: none), whether its notional can be told, and how."""

    row: Codes
    known: Mask
    currency: Coded
    by_price: Mask
    contract: pa.Array

    def only(self, rows: Codes) -> Contracts:
        """The same for some of the fills."""
        return Contracts(
            row=self.row[rows],
            known=self.known[rows],
            currency=Coded(self.currency.codes[rows], self.currency.names),
            by_price=self.by_price[rows],
            contract=self.contract.take(pa.array(rows)),
        )


@dataclass(frozen=True)
class Prices:
    """Per fill: the row in the price table (-1: USDT itself, or none) and whether the currency can be valued."""

    row: Codes
    known: Mask

    def only(self, rows: Codes) -> Prices:
        """The same for some of the fills."""
        return Prices(row=self.row[rows], known=self.known[rows])

    def ids(self, facts: Facts) -> pa.Array:
        """price_id of each row, null for USDT."""
        return array_of(facts.prices["price_id"], pa.int64()).take(pa.array(self.row, mask=self.row == NONE))


def net_fee(batch: Batch) -> pa.Array:
    """-fee - fee_rebate in the fee currency, as decimal128(38, 18)."""
    fee, rebate = batch.amount("fee"), batch.amount("fee_rebate")
    charged = pc.negate(fee)
    if rebate.null_count == len(rebate):
        return charged
    return difference(charged, pc.fill_null(rebate, pa.scalar(0, AMOUNT)))


def in_usdt(amount: pa.Array, price: pa.Array) -> pa.Array:
    """Amount x price, half-even to 12 decimals."""
    return product(amount, price, rounding="half_to_even")


def prices_at(currencies: Coded, times: Codes, max_age_seconds: Codes, facts: Facts) -> Prices:
    """The price in force for each currency at each time, not older than `max_age_seconds`."""
    row = facts.in_force("prices", start="ts").rows_at(currencies, times)
    age = times - take(microseconds(facts.prices["ts"]), row)
    row = np.where((row != NONE) & (age <= max_age_seconds * _MICROSECONDS), row, NONE)
    is_unit = currencies.matches([STABLE_UNIT])
    return Prices(row=np.where(is_unit, NONE, row), known=is_unit | (row != NONE))


def price_factor(prices: Prices, facts: Facts) -> pa.Array:
    """The price of each fill as a decimal; 1 for USDT."""
    table = fit(pa.concat_arrays([array_of(facts.prices["price_usdt"], AMOUNT), pa.array([1], AMOUNT)]))
    unit = len(table) - 1
    return table.take(pa.array(np.where(prices.row == NONE, unit, prices.row)))


def contracts(batch: Batch, facts: Facts) -> Contracts:
    """How to reckon each fill's notional: currency, contract value, and whether the price is a factor."""
    instrument_type = batch.text("instrument_type")
    rows = _instrument_rows(batch, facts)
    table = facts.instruments
    pair = instrument_type.matches(["SPOT", "MARGIN"])
    option, event = instrument_type.matches(["OPTION"]), instrument_type.matches(["EVENTS"])
    inverse = _of_row(coded(table["contract_type"]).matches(["inverse"]), rows) & ~option & ~event
    linear = (_of_row(coded(table["contract_type"]).matches(["linear"]), rows) & ~option) | event

    names = _Names()
    currency = np.full(len(batch), NONE, dtype=np.int64)
    for applies, column in ((pair, "quote_currency"), (option, "contract_value_currency"), (linear, "settle_currency")):
        currency = np.where(applies, take(names.codes(table[column]), rows), currency)
    currency = np.where(inverse, names.code("USD"), currency)
    ids = batch.text("instrument")
    quotes = np.array([names.code(_quote_of(str(name))) for name in ids.names], dtype=np.int64)
    currency = np.where(pair & (currency == NONE), take(quotes, ids.codes), currency)
    value = fit(_contract_values(facts))
    # Appended: 1 for pairs, null for what is not loaded.
    one, unknown = len(table), len(table) + 1
    contract = value.take(pa.array(np.where(pair, one, np.where(rows == NONE, unknown, rows))))
    known = (currency != NONE) & pc.is_valid(contract).to_numpy(zero_copy_only=False)
    return Contracts(
        row=rows, known=known, currency=Coded(currency, names.index()), by_price=pair | linear, contract=contract
    )


def notional(batch: Batch, how: Contracts, price: pa.Array) -> pa.Array:
    """Traded volume in USDT, decimal128(38, 12)."""
    traded = batch.amount("price")
    priced = pc.if_else(pa.array(how.by_price), traded, pa.scalar(1, traded.type))
    return product(batch.amount("size"), how.contract, priced, price, rounding="half_to_even")


def _instrument_rows(batch: Batch, facts: Facts) -> Codes:
    venue, types, instrument = batch.text("venue"), batch.text("instrument_type"), batch.text("instrument")
    table = facts.in_force("instruments")
    rows = table.rows_at(joined(venue, types, instrument), batch.times)
    # A pair is the same pair on margin: its quote currency may come from either row.
    missing = (rows == NONE) & types.matches(_SIBLING)
    if missing.any():
        siblings = Coded(types.codes, pd.Index([_SIBLING.get(str(name), "") for name in types.names], dtype=object))
        rows = np.where(missing, table.rows_at(joined(venue, siblings, instrument), batch.times), rows)
    return rows


def _contract_values(facts: Facts) -> pa.Array:
    value = array_of(facts.instruments["contract_value"], AMOUNT)
    multiplier = array_of(facts.instruments["contract_multiplier"], AMOUNT)
    face = [
        None if one is None or other is None else EXACT.multiply(one, other)
        for one, other in zip(value.to_pylist(), multiplier.to_pylist(), strict=True)
    ]
    return pa.array([*face, Decimal(1), None], _CONTRACT_FACE)


def _of_row(table: Mask, rows: Codes) -> Mask:
    return np.asarray(take(table, rows, missing=False), dtype=bool)


def _quote_of(instrument: str) -> str:
    pair = _PAIR.match(instrument)
    return pair.group(1) if pair else ""


class _Names:
    """Names met on the way, as codes; the empty name is none."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {"": NONE}

    def code(self, name: str) -> int:
        return self._codes.setdefault(name, len(self._codes) - 1)

    def codes(self, column: pd.Series[Any]) -> Codes:
        return np.array([self.code("" if name is pd.NA else str(name)) for name in column], dtype=np.int64)

    def index(self) -> pd.Index[str]:
        return pd.Index([name for name in self._codes if name], dtype=object)
