"""asset/: what the endpoints of the funding account answer."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from settlement.venues.okx.sandbox.call import Answer, ok
from settlement.venues.okx.sandbox.codes import Refusal
from settlement.venues.okx.sandbox.funds import FUNDING, plain
from settlement.venues.okx.sandbox.rebates import credit_broker

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.call import Call
    from settlement.venues.okx.sandbox.exchange import Exchange
    from settlement.venues.okx.sandbox.funds import Transfer, Withdrawal

ROWS: Final = 100
CHAINS: Final = (("USDT", "USDT-TRC20"), ("USDT", "USDT-ERC20"), ("BTC", "BTC-Bitcoin"))
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")


async def give_currencies(exchange: Exchange, call: Call) -> Answer:  # noqa: ARG001 - every handler takes both
    """GET asset/currencies."""
    wanted = call.query.get("ccy", "")
    return ok([_currency(name, chain) for name, chain in CHAINS if not wanted or name in wanted.split(",")])


async def give_balances(exchange: Exchange, call: Call) -> Answer:
    """GET asset/balances: the funding account."""
    await credit_broker(exchange, call.caller)
    purse, wanted = exchange.funds.purse(call.caller), call.query.get("ccy", "")
    held = [(name, amount) for (wallet, name), amount in purse.balances.items() if wallet == FUNDING]
    return ok(
        [
            {"availBal": plain(amount), "bal": plain(amount), "ccy": name, "frozenBal": "0"}
            for name, amount in held
            if not wanted or name in wanted.split(",")
        ]
    )


async def transfer(exchange: Exchange, call: Call) -> Answer:
    """POST asset/transfer."""
    asked = _asked(call, ("ccy", "amt", "from", "to"))
    done = exchange.funds.transfer(call.caller, asked)
    shown = ("ccy", "clientId", "from", "amt", "to")
    return ok([{"transId": done.number, **{name: asked.get(name, "") for name in shown}}])


async def give_transfer_state(exchange: Exchange, call: Call) -> Answer:
    """GET asset/transfer-state by transId or clientId."""
    number, client_id = call.query.get("transId", ""), call.query.get("clientId", "")
    if not number and not client_id:
        raise Refusal("50014", "transId")
    purse = exchange.funds.purse(call.caller)
    return ok(
        [
            _transfer_state(each)
            for each in purse.transfers
            if (each.number == number if number else each.asked.get("clientId") == client_id)
        ]
    )


async def withdraw(exchange: Exchange, call: Call) -> Answer:
    """POST asset/withdrawal."""
    if call.caller.demo:
        raise Refusal("50038")
    asked = _asked(call, ("ccy", "amt", "dest", "toAddr"))
    done = exchange.funds.withdraw(call.caller, asked)
    shown = ("amt", "ccy", "clientId", "chain")
    return ok([{"wdId": done.number, **{name: asked.get(name, "") for name in shown}}])


async def give_withdrawals(exchange: Exchange, call: Call) -> Answer:
    """GET asset/withdrawal-history, newest first; `after` and `before` are instants."""
    purse = exchange.funds.purse(call.caller)
    rows = [_withdrawal(exchange, each) for each in reversed(purse.withdrawals)]
    return ok(_page(call, rows, filters=("ccy", "clientId", "wdId", "state", "chain")))


async def give_bills(exchange: Exchange, call: Call) -> Answer:
    """GET asset/bills, newest first."""
    await credit_broker(exchange, call.caller)
    purse = exchange.funds.purse(call.caller)
    rows: list[dict[str, Any]] = sorted(
        purse.bills, key=lambda bill: (int(bill["ts"]), int(bill["billId"])), reverse=True
    )
    return ok(_page(call, rows, filters=("ccy", "type", "clientId")))


def _asked(call: Call, needed: tuple[str, ...]) -> dict[str, str]:
    asked = {name: str(value) for name, value in call.document().items() if not isinstance(value, dict)}
    for name in needed:
        if not asked.get(name):
            raise Refusal("50014", name)
    if (client_id := asked.get("clientId")) and not _CLIENT_ID.fullmatch(client_id):
        raise Refusal("51000", "clientId")
    return asked


def _page(call: Call, rows: list[dict[str, Any]], *, filters: tuple[str, ...]) -> list[dict[str, Any]]:
    after, before = call.whole("after"), call.whole("before")
    rows = [
        row
        for row in rows
        if all(call.query.get(name, "") in {"", row[name]} for name in filters)
        and (after is None or int(row["ts"]) < after)
        and (before is None or int(row["ts"]) > before)
    ]
    return rows[: min(call.whole("limit") or ROWS, ROWS)]


def _transfer_state(transfer: Transfer) -> dict[str, str]:
    shown = {name: transfer.asked.get(name, "") for name in ("amt", "ccy", "clientId", "from", "to")}
    state = "success" if transfer.arrived else "pending"
    more = {"instId": "", "toInstId": "", "subAcct": "", "type": "0", "transId": transfer.number}
    return {**shown, **more, "state": state}


def _withdrawal(exchange: Exchange, withdrawal: Withdrawal) -> dict[str, Any]:
    asked, state = withdrawal.asked, exchange.funds.state(withdrawal)
    on_chain = asked["dest"] == "4"
    return {
        "note": "", "chain": asked.get("chain", ""), "fee": plain(withdrawal.fee), "feeCcy": asked["ccy"],
        "ccy": asked["ccy"], "clientId": asked.get("clientId", ""), "toAddrType": asked.get("toAddrType", "1"),
        "amt": asked["amt"], "txId": f"0x{int(withdrawal.number):064x}" if state == "2" and on_chain else "", "from": "",
        "areaCodeFrom": "", "to": asked["toAddr"], "areaCodeTo": "", "state": state, "ts": str(withdrawal.at_ms),
        "nonTradableAsset": False, "wdId": withdrawal.number,
    }  # fmt: skip


def _currency(name: str, chain: str) -> dict[str, Any]:
    smallest = plain(Decimal(1).scaleb(-8))
    return {
        "ccy": name, "name": name, "logoLink": "", "chain": chain, "canDep": True, "canWd": True, "canInternal": True,
        "minDep": smallest, "minWd": smallest, "minInternal": smallest, "maxWd": "1000000", "wdTickSz": "8",
        "wdQuota": "1000000", "usedWdQuota": "0", "fee": "1", "minFee": "1", "maxFee": "1", "minFeeForCtAddr": "",
        "maxFeeForCtAddr": "", "burningFeeRate": "", "mainNet": True, "needTag": False, "minDepArrivalConfirm": 1,
        "minWdUnlockConfirm": 1, "depQuotaFixed": "", "usedDepQuotaFixed": "", "depQuoteDailyLayer2": "",
    }  # fmt: skip
