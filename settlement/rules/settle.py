"""The rulebook on one screen: fills in, the outcome of each fill out.

    attribution -> eligibility -> valuation -> rating -> split
    whose client?  does it earn?  fee in USDT  x tier %  up the tree

No I/O, no clock, no randomness: the same fills and facts give the same outcome, in whatever order or batches they come.
What a monthly cap leaves of it depends on what was earned before in the month: settlement/rules/cap.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from settlement.rules import eligibility, overrides, rating, valuation
from settlement.rules.attribution import Attribution, attribute
from settlement.rules.basis import Basis, bases_of
from settlement.rules.batch import Batch
from settlement.rules.facts import Facts
from settlement.rules.in_force import Codes, take
from settlement.rules.money import EXACT
from settlement.rules.reasons import Reason
from settlement.rules.split import totals


@dataclass(frozen=True)
class Outcome:
    """The outcome of each fill, in the order of the fills.

    `basis` are codes into `bases` (what many lines have in common). `amounts` has net_fee_usdt, commission_usdt and
    notional_usdt (decimal128(38, 12), null unless earned), price_id and notional_price_id (null for USDT).
    """

    basis: Codes
    bases: list[Basis]
    amounts: pa.Table

    def only(self, rows: npt.NDArray[np.bool_]) -> Outcome:
        """The outcome of some of the fills, with the bases that they have."""
        basis, used = pd.factorize(self.basis[rows])
        return Outcome(
            basis=basis.astype(np.int64),
            bases=[self.bases[code] for code in used],
            amounts=self.amounts.filter(pa.array(rows)),
        )

    def counts(self) -> dict[int, tuple[int, Decimal]]:
        """Lines and commission in USDT per basis (code into `bases`), for those that have lines."""
        table = pa.table({"basis": self.basis, "commission": self.amounts["commission_usdt"]})
        grouped = table.group_by("basis").aggregate([("basis", "count"), ("commission", "sum")]).to_pydict()
        return {
            basis: (lines, commission or Decimal(0))
            for basis, lines, commission in zip(
                grouped["basis"], grouped["basis_count"], grouped["commission_sum"], strict=True
            )
        }

    def payee_totals(self) -> Mapping[tuple[str, str], Decimal]:
        """What these lines give each payee: (root, payee) -> USDT."""
        splits = [basis.split for basis in self.bases if basis.split]
        split_code = np.cumsum([basis.split is not None for basis in self.bases]) - 1
        of_basis = np.where([basis.split is not None for basis in self.bases], split_code, -1)
        roots = [basis.root for basis in self.bases if basis.split]
        result: dict[tuple[str, str], Decimal] = {}
        for (code, payee), amount in totals(
            self.amounts["commission_usdt"].combine_chunks(), of_basis[self.basis], splits
        ).items():
            key = (roots[code], payee)
            result[key] = EXACT.add(result.get(key, Decimal(0)), amount)
        return result


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of all of them, one after the other, with each basis once; at least one is given."""
    position: dict[Basis, int] = {}
    codes = [
        np.array([position.setdefault(basis, len(position)) for basis in one.bases], dtype=np.int64)[one.basis]
        for one in outcomes
    ]
    amounts = pa.concat_tables([one.amounts for one in outcomes])
    return Outcome(basis=np.concatenate(codes), bases=list(position), amounts=amounts)


def settle(fills: pd.DataFrame, facts: Facts) -> Outcome:
    """Settles fills (columns of schemas.frames.FILL) by `facts`."""
    batch = Batch(fills)

    who = attribute(batch, facts)
    terms = rating.terms_in_force(batch.times, facts.terms)
    net_fee = valuation.net_fee(batch)
    checks = eligibility.checks_before_tier(batch, facts, who=who, terms=terms, net_fee=net_fee)

    root_names, roots = _roots(who)
    tiers = rating.tiers_of_roots(roots, root_names, batch.times, terms, facts)
    own = overrides.own_rates(batch, facts, roots=roots, names=root_names)
    how = valuation.contracts(batch, facts)
    max_age = take([version.max_age_seconds for version in facts.terms], terms, missing=0)
    fee_price = valuation.prices_at(batch.text("fee_currency"), batch.times, max_age, facts)
    notional_price = valuation.prices_at(how.currency, batch.times, max_age, facts)
    reason = eligibility.first_reason(
        [
            *checks,
            (Reason.TIER_UNKNOWN, ~tiers.known),
            (Reason.INSTRUMENT_UNKNOWN, ~how.known),
            (Reason.PRICE_MISSING, ~(fee_price.known & notional_price.known)),
        ],
        rows=len(batch),
    )

    basis, bases = bases_of(batch, facts, who=who, reason=reason, terms=terms, tiers=tiers, own=own)
    amounts = _amounts(
        batch, facts, net_fee=net_fee, how=how, prices=(fee_price, notional_price), basis=basis, bases=bases
    )
    return Outcome(basis=basis, bases=bases, amounts=amounts)


def _roots(who: Attribution) -> tuple[list[str], Codes]:
    codes, names = pd.factorize(np.array(who.roots(), dtype=object))
    return [str(name) for name in names], np.asarray(take(codes, who.path), dtype=np.int64)


def _amounts(  # noqa: PLR0913 - the steps before it
    batch: Batch,
    facts: Facts,
    *,
    net_fee: pa.Array,
    how: valuation.Contracts,
    prices: tuple[valuation.Prices, valuation.Prices],
    basis: Codes,
    bases: list[Basis],
) -> pa.Table:
    """Values and rates the earning rows only, then puts them back among the others as nulls."""
    earning = np.flatnonzero(np.array([one.split is not None for one in bases], dtype=bool)[basis])
    rows = pa.array(earning)
    fee_price, notional_price = (price.only(earning) for price in prices)
    net_fee_usdt = valuation.in_usdt(net_fee.take(rows), valuation.price_factor(fee_price, facts))
    commission = rating.commission(net_fee_usdt, [one.rate or Decimal(0) for one in bases], basis[earning])
    notional = valuation.notional(
        Batch(batch.fills.iloc[earning]), how.only(earning), valuation.price_factor(notional_price, facts)
    )
    compact = pa.table(
        {
            "net_fee_usdt": net_fee_usdt,
            "commission_usdt": commission,
            "notional_usdt": notional,
            "price_id": fee_price.ids(facts),
            "notional_price_id": notional_price.ids(facts),
        }
    )
    back = np.full(len(basis), len(earning), dtype=np.int64)
    back[earning] = np.arange(len(earning))
    return compact.take(pa.array(back, mask=back == len(earning)))
