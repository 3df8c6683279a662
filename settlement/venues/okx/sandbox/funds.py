"""asset/: balances, transfers between an account's own wallets, withdrawals that take their time, and the bills of both.

A clientId is not unique at OKX: the same one sent twice moves the money twice here, so that a resend shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import count
from typing import Any, Final

from settlement.venues.okx.sandbox.accounts import Account
from settlement.venues.okx.sandbox.codes import Refusal

FUNDING: Final = "6"
TRADING: Final = "18"
WALLETS: Final = (FUNDING, TRADING)
TRANSFER_MS: Final = 500
# A withdrawal waits, is under way, and ends.
WAITING_MS: Final = 1_000
UNDER_WAY_MS: Final = 3_000
ON_CHAIN_FEE: Final = Decimal(1)
SMALLEST: Final = Decimal(1).scaleb(-8)
WITHDRAWN, TO_TRADING, FROM_TRADING = "2", "131", "130"
STARTS: Final = {
    "client": {(FUNDING, "USDT"): Decimal(1_000), (TRADING, "USDT"): Decimal(25_000), (TRADING, "BTC"): Decimal(1)},
    "broker": {(FUNDING, "USDT"): Decimal(250_000)},
}


@dataclass(kw_only=True)
class Transfer:
    """Money on its way from one wallet to the other."""

    number: str
    asked: dict[str, str]
    at_ms: int
    arrived: bool = False


@dataclass(kw_only=True)
class Withdrawal:
    """Money on its way out. `fails` if it will come back."""

    number: str
    asked: dict[str, str]
    fee: Decimal
    at_ms: int
    fails: bool
    given_back: bool = False


@dataclass(kw_only=True)
class Purse:
    """What one account holds and what has become of it; bills are newest last."""

    balances: dict[tuple[str, str], Decimal]
    transfers: list[Transfer] = field(default_factory=list)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    bills: list[dict[str, str]] = field(default_factory=list)


class Funds:
    """Everybody's purse."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._purses: dict[str, Purse] = {}
        self._numbers = count(250_000_001)

    def purse(self, account: Account) -> Purse:
        """The account's, with all that has arrived by now."""
        purse = self._purses.setdefault(account.uid, Purse(balances=dict(STARTS[account.role])))
        for transfer in purse.transfers:
            if not transfer.arrived and self._now_ms() >= transfer.at_ms + TRANSFER_MS:
                transfer.arrived = True
                _add(purse, transfer.asked["to"], transfer.asked["ccy"], Decimal(transfer.asked["amt"]))
        for withdrawal in purse.withdrawals:
            if withdrawal.fails and not withdrawal.given_back and self.state(withdrawal) == "-1":
                withdrawal.given_back = True
                back = Decimal(withdrawal.asked["amt"]) + withdrawal.fee
                self.bill(purse, kind=WITHDRAWN, currency=withdrawal.asked["ccy"], change=back, client_id="")
        return purse

    def transfer(self, account: Account, asked: dict[str, str]) -> Transfer:
        """Takes the amount out of one wallet; it arrives in the other a little later."""
        purse, amount, currency = self.purse(account), _amount(asked), asked["ccy"]
        source, target = asked["from"], asked["to"]
        if source not in WALLETS or target not in WALLETS or source == target:
            raise Refusal("51000", "from" if source not in WALLETS else "to")
        if asked.get("type", "0") != "0":
            raise Refusal("51000", "type")
        if purse.balances.get((source, currency), Decimal(0)) < amount:
            raise Refusal("58350")
        kind, change = (TO_TRADING, -amount) if source == FUNDING else (FROM_TRADING, amount)
        _add(purse, source, currency, -amount)
        transfer = Transfer(number=str(next(self._numbers)), asked=asked, at_ms=self._now_ms())
        purse.transfers.append(transfer)
        self._write(purse, kind=kind, currency=currency, change=change, client_id=asked.get("clientId", ""))
        return transfer

    def withdraw(self, account: Account, asked: dict[str, str]) -> Withdrawal:
        """Takes the amount and the fee out of the funding account."""
        purse, amount, currency = self.purse(account), _amount(asked), asked["ccy"]
        if asked["dest"] not in {"3", "4"}:
            raise Refusal("51000", "dest")
        if asked["dest"] == "4" and not asked.get("chain"):
            raise Refusal("50014", "chain")
        if asked["toAddr"].startswith("unverified"):
            raise Refusal("58207", asked["toAddr"])
        fee = ON_CHAIN_FEE if asked["dest"] == "4" else Decimal(0)
        if purse.balances.get((FUNDING, currency), Decimal(0)) < amount + fee:
            raise Refusal("58350")
        withdrawal = Withdrawal(
            number=str(next(self._numbers)),
            asked=asked,
            fee=fee,
            at_ms=self._now_ms(),
            fails=asked["toAddr"].startswith("failing"),
        )
        purse.withdrawals.append(withdrawal)
        change = -amount - fee
        self.bill(purse, kind=WITHDRAWN, currency=currency, change=change, client_id=asked.get("clientId", ""))
        return withdrawal

    def state(self, withdrawal: Withdrawal) -> str:
        """0 waiting, 1 under way, 2 done, -1 failed."""
        age = self._now_ms() - withdrawal.at_ms
        if age < WAITING_MS:
            return "0"
        if age < UNDER_WAY_MS:
            return "1"
        return "-1" if withdrawal.fails else "2"

    def bill(self, purse: Purse, *, kind: str, currency: str, change: Decimal, client_id: str) -> dict[str, str]:
        """Changes the funding account's balance and writes the bill of it, which is returned."""
        _add(purse, FUNDING, currency, change)
        return self._write(purse, kind=kind, currency=currency, change=change, client_id=client_id)

    def _write(self, purse: Purse, *, kind: str, currency: str, change: Decimal, client_id: str) -> dict[str, str]:
        bill = {
            "billId": str(next(self._numbers)),
            "ccy": currency,
            "clientId": client_id,
            "balChg": plain(change),
            "bal": plain(purse.balances.get((FUNDING, currency), Decimal(0))),
            "type": kind,
            "ts": str(self._now_ms()),
            "notes": "",
        }
        purse.bills.append(bill)
        return bill


def plain(value: Decimal) -> str:
    """In plain notation, without trailing zeros."""
    return f"{value.normalize():f}" if value else "0"


def _add(purse: Purse, wallet: str, currency: str, change: Decimal) -> None:
    purse.balances[wallet, currency] = purse.balances.get((wallet, currency), Decimal(0)) + change


def _amount(asked: dict[str, Any]) -> Decimal:
    try:
        amount = Decimal(asked["amt"])
    except InvalidOperation:
        raise Refusal("51000", "amt") from None
    if not amount.is_finite() or amount <= 0 or amount % SMALLEST:
        raise Refusal("51000", "amt")
    return amount
