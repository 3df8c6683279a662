"""Split: who gets which part of a commission?

1. Down the path root -> ... -> attributed broker, as the tree stood at execution: a child receives
   floor12(what its parent received x the child's share), and the parent keeps the rest.
2. If the client's own link names the attributed broker and has a rebate share, the client is the last step, by the same
   arithmetic, as payee `client:VENUE:ACCOUNT`.
3. The parts sum to the commission by construction; zero parts are not written.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from settlement.rules.in_force import Codes
from settlement.rules.money import EXACT, LEDGER_AMOUNT, difference, floor_ledger, product


@dataclass(frozen=True)
class Split:
    """Payees, the root first, and the share each receives of what the one before it received (the root: 1)."""

    payees: tuple[str, ...]
    shares: tuple[Decimal, ...]


def parts(commission: Decimal, split: Split) -> dict[str, Decimal]:
    """The parts of one commission by payee, zero parts left out."""
    result: dict[str, Decimal] = {}
    received = commission
    for position, payee in enumerate(split.payees):
        last = position + 1 == len(split.payees)
        passed = Decimal(0) if last else floor_ledger(EXACT.multiply(received, split.shares[position + 1]))
        if received != passed:
            result[payee] = EXACT.subtract(received, passed)
        received = passed
    return result


def totals(commission: pa.Array, code: Codes, splits: list[Split]) -> dict[tuple[int, str], Decimal]:
    """The sum of each payee's parts per split: (code into `splits`, payee) -> USDT.

    `commission` and `code` are one row per line. Works level by level down the paths, as columns.
    """
    result: dict[tuple[int, str], Decimal] = {}
    rows = np.flatnonzero(code >= 0)
    received = commission.take(pa.array(rows))
    codes = code[rows]
    level = 0
    while len(codes):
        shares = [split.shares[level + 1] if len(split.shares) > level + 1 else None for split in splits]
        going_on = np.array([share is not None for share in shares])[codes]
        factor = pa.array(shares, pa.decimal128(38, 18)).take(pa.array(codes))
        passed = pc.fill_null(product(received, factor, rounding="down"), pa.scalar(0, LEDGER_AMOUNT))
        kept = difference(received, passed)
        for split_code, amount in _sums(kept, codes):
            if amount:
                key = (split_code, splits[split_code].payees[level])
                result[key] = EXACT.add(result.get(key, Decimal(0)), amount)
        received, codes = passed.filter(pa.array(going_on)), codes[going_on]
        level += 1
    return result


def _sums(amounts: pa.Array, codes: Codes) -> list[tuple[int, Decimal]]:
    summed = pa.table({"code": codes, "amount": amounts}).group_by("code").aggregate([("amount", "sum")])
    return list(zip(summed["code"].to_pylist(), summed["amount_sum"].to_pylist(), strict=True))
