"""The basis of a line: everything but its own amounts, so that a million lines name a few hundred of them.

`product` is always filled. The broker is set from attribution on; tier, rate, terms and split only on earned lines.
Flags stand on every line they apply to, several joined by ";".
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd

from settlement.rules.attribution import TAG_OVERRIDES_LINK, Attribution
from settlement.rules.batch import Batch
from settlement.rules.facts import Facts
from settlement.rules.in_force import KEY_SEPARATOR, NONE, Coded, Codes, take
from settlement.rules.overrides import OwnRates, applied, value_of
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


class _Case(NamedTuple):
    """One combination of what a basis is made of, as codes; -1 is none. The last seven count for earned lines only."""

    path: int
    reason: int
    product: int
    flags: int
    overrides: int
    terms: int
    tier: int
    liquidity: int
    affiliated: int
    client: int
    own_rate: int
    floor: int


@dataclass(frozen=True)
class _Names:
    """What the codes of a case stand for."""

    facts: Facts
    who: Attribution
    tiers: Tiers
    products: Coded
    flags: Coded
    liquidity: Coded
    clients: list[tuple[str, Decimal]]

    def basis(self, case: _Case) -> Basis:
        path = self.who.paths[case.path]
        flags = [TAG_OVERRIDES_LINK] if case.overrides > 0 else []
        plain = Basis(
            root=path.root if path.brokers else "",
            broker_id=path.brokers[-1] if path.brokers else None,
            reason=Reason(case.reason),
            product=str(self.products.names[case.product]),
            flags=";".join(flags if case.flags == NONE else [*flags, str(self.flags.names[case.flags])]),
        )
        return plain if plain.reason else self._earned(plain, case)

    def _earned(self, plain: Basis, case: _Case) -> Basis:
        path, version = self.who.paths[case.path], self.facts.terms[case.terms]
        rebated = [] if case.client == NONE else [self.clients[case.client]]
        return Basis(
            root=plain.root,
            broker_id=plain.broker_id,
            reason=plain.reason,
            product=plain.product,
            flags=plain.flags,
            tier=self.tiers.names[case.tier],
            rate=self._rate(plain.product, case),
            terms_id=version.terms_id,
            split=Split(
                payees=(*path.brokers, *(payee for payee, _ in rebated)),
                shares=(*path.shares, *(share for _, share in rebated)),
            ),
        )

    def _rate(self, product: str, case: _Case) -> Decimal:
        terms_rate = rate(
            self.facts.terms[case.terms],
            tier=self.tiers.names[case.tier],
            product_name=product,
            liquidity=str(self.liquidity.names[case.liquidity]),
            affiliated=case.affiliated > 0,
        )
        return applied(terms_rate, own=value_of(self.facts, case.own_rate), floor=value_of(self.facts, case.floor))


def bases_of(  # noqa: PLR0913 - the steps before it
    batch: Batch, facts: Facts, *, who: Attribution, reason: Codes, terms: Codes, tiers: Tiers, own: OwnRates
) -> tuple[Codes, list[Basis]]:
    """A code per fill into the distinct bases."""
    client, clients = _rebated_clients(batch, facts, who)
    affiliated = take(facts.clients["affiliated"].to_numpy(dtype=bool), who.link_row, missing=False).astype(np.int64)
    names = _Names(facts, who, tiers, batch.products, batch.text("flags"), batch.text("liquidity"), clients)
    always = [who.path, reason, batch.products.codes, names.flags.codes, who.overrides.astype(np.int64)]
    if_earned = [terms, tiers.code, names.liquidity.codes, affiliated, client, own.rate, own.floor]
    earned = reason == Reason.EARNED
    codes, cases = _distinct([*always, *(np.where(earned, column, NONE) for column in if_earned)])
    return _merge_equal(codes, [names.basis(case) for case in cases])


def _rebated_clients(batch: Batch, facts: Facts, who: Attribution) -> tuple[Codes, list[tuple[str, Decimal]]]:
    """The client step of each fill's split: a code into (payee, share), -1 for none."""
    shares = facts.clients["rebate_share"]
    has_share = take(shares.notna().to_numpy(dtype=bool), who.link_row, missing=False)
    width = len(facts.clients) + 1
    case = np.where(who.link_names_broker & has_share, batch.accounts.codes * width + who.link_row, NONE)
    codes, distinct = pd.factorize(case)
    clients: list[tuple[str, Decimal]] = []
    position = np.full(len(distinct), NONE, dtype=np.int64)
    for number, value in enumerate(distinct.tolist()):
        if value != NONE:
            venue, account = str(batch.accounts.names[value // width]).split(KEY_SEPARATOR)
            position[number] = len(clients)
            clients.append((f"client:{venue}:{account}", shares.iloc[value % width]))
    return position[codes], clients


def _distinct(columns: list[Codes]) -> tuple[Codes, list[_Case]]:
    """The distinct combinations of the columns, and each row's code into them."""
    codes, first = pd.factorize(columns[0])
    cases = [np.asarray(first)]
    for column in columns[1:]:
        width = int(column.max(initial=NONE)) + 2
        codes, seen = pd.factorize(codes * width + column + 1)
        before, value = np.divmod(np.asarray(seen), width)
        cases = [*(known[before] for known in cases), value - 1]
    return codes.astype(np.int64), [_Case(*case) for case in zip(*(known.tolist() for known in cases), strict=True)]


def _merge_equal(codes: Codes, bases: list[Basis]) -> tuple[Codes, list[Basis]]:
    # Different cases can come to the same basis (maker and taker at one rate): storage wants each once.
    position = {basis: number for number, basis in enumerate(dict.fromkeys(bases))}
    return np.array([position[basis] for basis in bases], dtype=np.int64)[codes], list(position)
