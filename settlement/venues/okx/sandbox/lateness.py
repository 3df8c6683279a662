"""Rows that exist but are not served yet.

A hidden row is left out of the first reading that would have included it. A hold keeps back a share of the rows, the
same ones each time and none that another hold has, until an instant or until it is released.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from settlement.venues.okx.sandbox.prices import per_mille

if TYPE_CHECKING:
    from settlement.sample.draws import Booleans, Integers

HIDDEN_SALT = 71
HELD_SALT = 72


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Rows of `account` ("" means of everybody) whose draw lies in [first, first + share), until `until_ms`."""

    number: int
    account: str
    first: int
    share: int
    until_ms: int | None

    def described(self) -> dict[str, Any]:
        """For the control API."""
        return {
            "hold": self.number,
            "account": self.account,
            "share_per_mille": self.share,
            "until": "released" if self.until_ms is None else self.until_ms,
        }


class Lateness:
    """What is held back from whom; the first reading of each hidden row is remembered."""

    def __init__(self, *, hidden_per_mille: int) -> None:
        self.hidden_per_mille = hidden_per_mille
        self._holds: dict[int, Hold] = {}
        self._numbers = count(1)
        self._first = 0
        self._read_once: set[tuple[str, int]] = set()

    def hold(self, *, account: str, share: int, until_ms: int | None) -> Hold:
        """Keeps back `share` in a thousand rows; ValueError if all holds together would be more than all rows."""
        if not 0 < share <= 1000 - self._first:
            raise ValueError(f"share_per_mille must be 1 to {1000 - self._first}: other holds have the rest")
        hold = Hold(number=next(self._numbers), account=account, first=self._first, share=share, until_ms=until_ms)
        self._first += share
        self._holds[hold.number] = hold
        return hold

    def release(self, number: int | None) -> list[Hold]:
        """Ends one hold, or all; says which."""
        ended = [hold for hold in self._holds.values() if number in {None, hold.number}]
        for hold in ended:
            del self._holds[hold.number]
        if not self._holds:
            self._first = 0
        return ended

    def held(self, account: str, bill_id: Integers, *, now_ms: int) -> Booleans | None:
        """Which rows are held back now; None if there is no hold on the account."""
        holds = [hold for hold in self._holds.values() if hold.account in {"", account}]
        holds = [hold for hold in holds if hold.until_ms is None or now_ms < hold.until_ms]
        if not holds:
            return None
        drawn = per_mille(bill_id, salt=HELD_SALT)
        held: Booleans = np.logical_or.reduce(
            [(hold.first <= drawn) & (drawn < hold.first + hold.share) for hold in holds]
        )
        return held

    def hidden(self, bill_id: Integers) -> Booleans | None:
        """Which rows are hidden from a first reading; None if none is."""
        if not self.hidden_per_mille:
            return None
        return per_mille(bill_id, salt=HIDDEN_SALT) < self.hidden_per_mille

    def first_reading(self, account: str, bill_id: int) -> bool:
        """True the first time that it is asked for a row."""
        key = (account, bill_id)
        if key in self._read_once:
            return False
        self._read_once.add(key)
        return True
