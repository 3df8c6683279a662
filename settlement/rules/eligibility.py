"""Eligibility: does this fill earn?

The checks run in the order of `reasons.Reason`, and the first that applies is the line's reason. An excluded line never
earns; a pending line is never guessed, a supplementary run settles it once the missing fact is loaded.

 1 UNATTRIBUTED         no broker code and no client link in force
 2 SYSTEM_TRADE         the venue made the trade, not the client
 3 NON_API_CHANNEL      not through the API. It was if the channel is `api`, or it is unknown and the tag is a broker code
                        (in force or not)
 4 BROKER_INACTIVE      the broker or one above it has no row in force, or is not active
 5 OWN_ACCOUNT          the account belongs to the broker or to one above it
 6 TERMS_MISSING        no program terms in force
 7 VIP_UNKNOWN          no VIP level in force
 8 VIP_EXCLUDED         the VIP level is above the terms' max_vip
 9 ACCOUNT_EXCLUDED     the client link's account class is excluded by the terms
10 PRODUCT_NOT_COVERED  the terms have no rate for the product
11 FEE_DISCOUNT         a fee discount was used and the terms exclude such fills
12 NO_NET_FEE           the net fee is zero or negative (maker rebate, zero fee)
13 TIER_UNKNOWN         the root's tier is not in the terms
14 INSTRUMENT_UNKNOWN   a contract whose instrument is not loaded
15 PRICE_MISSING        no price for the fee's or the notional's currency
16 CAP_REACHED          the client's monthly cap left nothing: of all lines of the month, not of one (cap.py)

A fill used a fee discount if it names one, or gave back part of the fee (fee_rebate > 0), or its fee rate is better for
the client (greater, in the venue's sign) than the scheduled one in force for its account, product and liquidity.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from settlement.rules.attribution import Attribution
from settlement.rules.batch import Batch, array_of
from settlement.rules.facts import Facts, Terms
from settlement.rules.in_force import KEY_SEPARATOR, NONE, Codes, coded, joined, positions, take
from settlement.rules.money import AMOUNT
from settlement.rules.products import SYSTEM_SUB_TYPES
from settlement.rules.reasons import Reason

Mask = npt.NDArray[np.bool_]


def first_reason(checks: Iterable[tuple[Reason, Mask]], *, rows: int) -> Codes:
    """The first reason that applies to each row, 0 where none does."""
    reason = np.zeros(rows, dtype=np.int64)
    for code, applies in sorted(checks, key=lambda check: check[0]):
        reason[(reason == Reason.EARNED) & applies] = code
    return reason


def checks_before_tier(
    batch: Batch, facts: Facts, *, who: Attribution, terms: Codes, net_fee: pa.Array
) -> list[tuple[Reason, Mask]]:
    """Checks 1 to 12. `terms` is the position in facts.terms of the version in force, -1 for none."""
    vip_row = _vip_rows(batch, facts)
    level = take(facts.vip_levels["level"].to_numpy(dtype=np.int64), vip_row)
    return [
        (Reason.UNATTRIBUTED, ~who.attributed),
        (Reason.SYSTEM_TRADE, _system_trade(batch)),
        (Reason.NON_API_CHANNEL, ~_through_api(batch, who)),
        (
            Reason.BROKER_INACTIVE,
            ~take(np.array([path.active for path in who.paths], dtype=bool), who.path, missing=False),
        ),
        (Reason.OWN_ACCOUNT, _own_account(batch, who)),
        (Reason.TERMS_MISSING, terms == NONE),
        (Reason.VIP_UNKNOWN, vip_row == NONE),
        (Reason.VIP_EXCLUDED, level > _per_terms(facts.terms, terms, lambda version: version.max_vip)),
        (Reason.ACCOUNT_EXCLUDED, _account_excluded(facts, who, terms)),
        (Reason.PRODUCT_NOT_COVERED, ~_product_covered(batch, facts.terms, terms)),
        (
            Reason.FEE_DISCOUNT,
            fee_discount_used(batch, facts)
            & (_per_terms(facts.terms, terms, lambda version: version.fee_discount == "exclude") == 1),
        ),
        (Reason.NO_NET_FEE, pc.less_equal(net_fee, pa.scalar(0, net_fee.type)).to_numpy(zero_copy_only=False)),
    ]


def fee_discount_used(batch: Batch, facts: Facts) -> Mask:
    """True where a fee discount instrument was used, by any of its three signs."""
    named = batch.text("fee_discount").codes != NONE
    rebate, rate = batch.amount("fee_rebate"), batch.amount("fee_rate")
    given_back = pc.fill_null(pc.greater(rebate, pa.scalar(0, rebate.type)), False).to_numpy(zero_copy_only=False)
    scheduled_row = _scheduled_rate_rows(batch, facts)
    scheduled = array_of(facts.fee_rates["rate"], AMOUNT).take(pa.array(scheduled_row, mask=scheduled_row == NONE))
    better = pc.fill_null(pc.greater(rate, scheduled), False).to_numpy(zero_copy_only=False)
    used: Mask = named | given_back | better
    return used


def _vip_rows(batch: Batch, facts: Facts) -> Codes:
    return facts.in_force("vip_levels").rows_at(batch.accounts, batch.times)


def _system_trade(batch: Batch) -> Mask:
    result = np.zeros(len(batch), dtype=bool)
    for venue, system_types in SYSTEM_SUB_TYPES.items():
        result |= batch.text("venue").matches([venue]) & batch.text("sub_type").matches(system_types)
    return result


def _through_api(batch: Batch, who: Attribution) -> Mask:
    channel = batch.text("channel")
    unknown = (channel.codes == NONE) | channel.matches(["unknown"])
    through: Mask = channel.matches(["api"]) | (unknown & who.tag_is_code)
    return through


def _own_account(batch: Batch, who: Attribution) -> Mask:
    accounts = batch.accounts
    width = max(1, len(accounts.names))
    own_pairs = [
        path_code * width + account_code
        for path_code, path in enumerate(who.paths)
        for own in path.own_accounts
        for account_code in positions([own.replace(":", KEY_SEPARATOR, 1)], accounts.names)
        if account_code >= 0
    ]
    owned: Mask = np.isin(who.path * width + accounts.codes, own_pairs)
    return owned


def _account_excluded(facts: Facts, who: Attribution, terms: Codes) -> Mask:
    classes = coded(facts.clients["account_class"])
    account_class = take(classes.codes, who.link_row)
    excluded = np.zeros(len(terms), dtype=bool)
    for position, version in enumerate(facts.terms):
        codes = positions(list(version.excluded_account_classes), classes.names)
        excluded |= (terms == position) & np.isin(account_class, codes[codes >= 0])
    return excluded


def _product_covered(batch: Batch, versions: tuple[Terms, ...], terms: Codes) -> Mask:
    covered = np.zeros(len(terms), dtype=bool)
    for position, version in enumerate(versions):
        rated = {product for product, _, _ in version.tiers[0].rates}
        covered |= (terms == position) & batch.products.matches(rated)
    return covered


def _scheduled_rate_rows(batch: Batch, facts: Facts) -> Codes:
    if facts.fee_rates.empty:
        return np.full(len(batch), NONE, dtype=np.int64)
    key = joined(batch.accounts, batch.products, batch.text("liquidity"))
    return facts.in_force("fee_rates").rows_at(key, batch.times)


def _per_terms(versions: tuple[Terms, ...], terms: Codes, value: Any) -> Codes:
    return np.asarray(
        take(np.array([int(value(version)) for version in versions], dtype=np.int64), terms), dtype=np.int64
    )
