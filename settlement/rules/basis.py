"""The basis of a line: everything but its own amounts, so that a million lines name a few hundred of them.

`product` is always filled. The broker is set from attribution on; tier, rate, terms and split only on earned lines.
Flags stand on every line they apply to, several joined by ";".
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd

from settlement.rules.attribution import TAG_OVERRIDES_LINK, Attribution
from settlement.rules.batch import Batch
from settlement.rules.facts import Facts
from settlement.rules.in_force import NONE, Codes, take
from settlement.rules.rating import Tiers, rate
from settlement.rules.reasons import Reason
from settlement.rules.split import Split


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Why a line came out as it did."""

    root: str
    broker_id: str | None
    reason: Reason
    product: str
    tier: str | None = None
    rate: Decimal | None = None
    terms_id: int | None = None
    split: Split | None = None
    flags: str = ""


@dataclass(frozen=True)
class _Column:
    """One thing that lines have in common, as codes; `size` is one more than the largest."""

    codes: Codes
    size: int


def bases_of(
    batch: Batch, facts: Facts, *, who: Attribution, reason: Codes, terms: Codes, tiers: Tiers
) -> tuple[Codes, list[Basis]]:
    """A code per fill into the distinct bases."""
    earned = reason == Reason.EARNED
    products = batch.products
    liquidity = batch.text("liquidity")
    flags = batch.text("flags")
    client, clients = _rebated_clients(batch, facts, who)
    affiliated = take(facts.clients["affiliated"].to_numpy(dtype=bool), who.link_row, missing=False)
    columns = [
        _Column(who.path + 1, len(who.paths) + 1),
        _Column(reason, len(Reason)),
        _Column(products.codes + 1, len(products.values) + 1),
        _Column(flags.codes + 1, len(flags.values) + 1),
        _Column(who.overrides.astype(np.int64), 2),
        # Only an earned line depends on the rest.
        _Column(np.where(earned, terms, NONE) + 1, len(facts.terms) + 1),
        _Column(np.where(earned, tiers.code, NONE) + 1, len(tiers.names) + 1),
        _Column(np.where(earned, liquidity.codes, NONE) + 1, len(liquidity.values) + 1),
        _Column(np.where(earned, affiliated, False).astype(np.int64), 2),
        _Column(np.where(earned, client, NONE) + 1, len(clients) + 1),
    ]
    codes, cases = _distinct(columns)
    bases = []
    for case in cases:
        path = who.paths[case[0] - 1]
        product = str(products.values[case[2] - 1])
        own_flags = [str(flags.values[case[3] - 1])] if case[3] else []
        common = {
            "root": path.root if path.brokers else "",
            "broker_id": path.brokers[-1] if path.brokers else None,
            "product": product,
            "flags": ";".join([TAG_OVERRIDES_LINK] * case[4] + own_flags),
        }
        if case[1] != Reason.EARNED:
            bases.append(Basis(reason=Reason(case[1]), **common))
            continue
        version, tier = facts.terms[case[5] - 1], tiers.names[case[6] - 1]
        rebated = [clients[case[9] - 1]] if case[9] else []
        bases.append(
            Basis(
                reason=Reason.EARNED,
                tier=tier,
                rate=rate(
                    version,
                    tier=tier,
                    product_name=product,
                    liquidity=str(liquidity.values[case[7] - 1]),
                    affiliated=bool(case[8]),
                ),
                terms_id=version.terms_id,
                split=Split(
                    payees=(*path.brokers, *(payee for payee, _ in rebated)),
                    shares=(*path.shares, *(share for _, share in rebated)),
                ),
                **common,
            )
        )
    return _merge_equal(codes, bases)


def _rebated_clients(batch: Batch, facts: Facts, who: Attribution) -> tuple[Codes, list[tuple[str, Decimal]]]:
    """The client step of each fill's split: a code into (payee, share), -1 for none."""
    shares = facts.clients["rebate_share"]
    has_share = shares.notna().to_numpy(dtype=bool)
    takes_part = who.link_names_broker & np.asarray(take(has_share, who.link_row, missing=False), dtype=bool)
    accounts = batch.accounts
    width = len(facts.clients) + 1
    case = np.where(takes_part, accounts.codes * width + who.link_row, NONE)
    codes, distinct = pd.factorize(case)
    clients = []
    remap = np.full(len(distinct), NONE, dtype=np.int64)
    for position, value in enumerate(distinct.tolist()):
        if value >= 0:
            venue, account = str(accounts.values[value // width]).split("\x1f")
            remap[position] = len(clients)
            clients.append((f"client:{venue}:{account}", shares.iloc[value % width]))
    return remap[codes], clients


def _distinct(columns: list[_Column]) -> tuple[Codes, list[list[int]]]:
    """The distinct combinations of the columns, and each row's code into them."""
    combined = columns[0].codes
    for column in columns[1:]:
        combined, seen = pd.factorize(combined * column.size + column.codes)
        column_cases = np.asarray(seen)
        cases = (
            np.column_stack([column_cases // column.size, column_cases % column.size])
            if column is columns[1]
            else np.column_stack([cases[column_cases // column.size], column_cases % column.size])
        )
    return combined.astype(np.int64), cases.tolist()


def _merge_equal(codes: Codes, bases: list[Basis]) -> tuple[Codes, list[Basis]]:
    # Different cases can come to the same basis (maker and taker at one rate): storage wants each once.
    position = {basis: number for number, basis in reversed(list(enumerate(bases)))}
    order = {basis: number for number, basis in enumerate(position)}
    remap = np.array([order[basis] for basis in bases], dtype=np.int64)
    return remap[codes], list(order)
