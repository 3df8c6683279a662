"""One fill taken through the rules again, keeping what every step found on its way.

The steps are those of `settlement.rules.settle`, called one by one; its own result comes along as `basis` and `amounts`, as
far as a monthly cap leaves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from schemas.frames import FILL
from settlement.reports.reckoned_cap import ReckonedCap, reckon_cap
from settlement.rules import eligibility, overrides, rating, valuation
from settlement.rules.attribution import Attribution, attribute
from settlement.rules.batch import Batch
from settlement.rules.cap import capped
from settlement.rules.in_force import NONE, InForce, coded, joined, microseconds, take
from settlement.rules.reasons import Reason
from settlement.rules.settle import Outcome, settle
from settlement.store.copying import copy_out
from settlement.store.facts import load_facts

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from settlement.rules.basis import Basis
    from settlement.rules.facts import Facts, Terms

COLUMNS = ", ".join(FILL.names)
ONE_FILL = f"SELECT {COLUMNS} FROM fill WHERE venue = %(venue)s AND account = %(account)s AND bill_id = %(bill_id)s"  # noqa: S608 - a constant


@dataclass(frozen=True, kw_only=True)
class Reckoning:
    """What the rules say about one fill; every column has one row."""

    fill: dict[str, Any]
    facts: Facts
    who: Attribution
    terms: Terms | None
    net_fee: Any
    applies: dict[Reason, bool]
    tier: str
    own: overrides.OwnRates
    contracts: valuation.Contracts
    fee_price: valuation.Prices
    notional_price: valuation.Prices
    cap: ReckonedCap | None
    basis: Basis
    amounts: dict[str, Any]

    @property
    def volume_currency(self) -> str:
        """The currency that the notional is reckoned in; "?" if the instrument does not tell."""
        code = int(self.contracts.currency.codes[0])
        return str(self.contracts.currency.names[code]) if code != NONE else "?"

    def row(self, frame: pd.DataFrame, position: Any) -> dict[str, Any] | None:
        """A row of a fact frame by its position, None for -1."""
        number = int(position)
        if number == NONE:
            return None
        return {str(name): None if value is pd.NA else value for name, value in frame.iloc[number].to_dict().items()}

    def in_force(self, frame: pd.DataFrame, **key: str) -> dict[str, Any] | None:
        """The row of an effective-dated frame that is in force for `key` at execution."""
        if frame.empty:
            return None
        columns = [coded(pd.Series([value], dtype=object)) for value in key.values()]
        wanted = joined(*columns) if len(columns) > 1 else columns[0]
        moment = microseconds(pd.Series([self.fill["executed_at"]], dtype="timestamp[us, tz=UTC][pyarrow]"))
        return self.row(frame, InForce(frame, key=list(key)).rows_at(wanted, moment)[0])


def reckon(
    connection: Connection, key: dict[str, str], *, window: tuple[datetime, datetime], as_of: datetime | None
) -> Reckoning:
    """Settles the stored fill with this key by the facts known at `as_of` (None: now)."""
    facts = load_facts(connection, start=window[0], end=window[1], as_of=as_of)
    table = pa.concat_tables(copy_out(connection, ONE_FILL, schema=FILL, parameters=key))
    fills: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    batch = Batch(fills)
    who = attribute(batch, facts)
    terms = rating.terms_in_force(batch.times, facts.terms)
    net_fee = valuation.net_fee(batch)
    roots = np.zeros(1, dtype=np.int64)
    tiers = rating.tiers_of_roots(roots, who.roots(), batch.times, terms, facts)
    own = overrides.own_rates(batch, facts, roots=roots, names=who.roots())
    contracts = valuation.contracts(batch, facts)
    max_age = take([version.max_age_seconds for version in facts.terms], terms, missing=0)
    fee_price = valuation.prices_at(batch.text("fee_currency"), batch.times, max_age, facts)
    notional_price = valuation.prices_at(contracts.currency, batch.times, max_age, facts)
    checks = [
        *eligibility.checks_before_tier(batch, facts, who=who, terms=terms, net_fee=net_fee),
        (Reason.TIER_UNKNOWN, ~tiers.known),
        (Reason.INSTRUMENT_UNKNOWN, ~contracts.known),
        (Reason.PRICE_MISSING, ~(fee_price.known & notional_price.known)),
    ]
    outcome: Outcome = settle(fills, facts)
    cap = reckon_cap(connection, fills, outcome, facts, window_start=window[0])
    if cap is not None:
        outcome = capped(fills, outcome, facts, earned={cap.client: cap.earned_before})
    basis = outcome.bases[int(outcome.basis[0])]
    return Reckoning(
        fill=table.to_pylist()[0],
        facts=facts,
        who=who,
        terms=facts.terms[int(terms[0])] if terms[0] != NONE else None,
        net_fee=net_fee[0].as_py(),
        applies={
            **{reason: bool(applies[0]) for reason, applies in checks},
            Reason.CAP_REACHED: basis.reason is Reason.CAP_REACHED,
        },
        tier=tiers.names[int(tiers.code[0])] if tiers.code[0] != NONE else "",
        own=own,
        contracts=contracts,
        fee_price=fee_price,
        notional_price=notional_price,
        cap=cap,
        basis=basis,
        amounts=outcome.amounts.to_pylist()[0],
    )
