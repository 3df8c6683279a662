"""account/: who the caller is, at which level, and what it is charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from settlement.sample.trades import CONTRACT_PPM, OPTION_PPM, SPOT_PPM
from settlement.venues.okx.sandbox.call import Answer, ok
from settlement.venues.okx.sandbox.codes import Refusal
from settlement.venues.okx.sandbox.market import TYPES

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.call import Call
    from settlement.venues.okx.sandbox.exchange import Exchange

SCHEDULES: Final = {"SPOT": SPOT_PPM, "MARGIN": SPOT_PPM, "OPTION": OPTION_PPM}


async def give_config(exchange: Exchange, call: Call) -> Answer:  # noqa: ARG001 - every handler takes both
    """GET account/config."""
    account = call.caller
    config = {
        "acctLv": "2", "acctStpMode": "cancel_maker", "autoLoan": False, "ctIsoMode": "automatic",
        "enableSpotBorrow": False, "feeType": "0", "greeksType": "PA", "ip": account.ip, "type": "0", "kycLv": "3",
        "label": "sandbox", "level": account.level, "levelTmp": "", "liquidationGear": "-1", "mainUid": account.uid,
        "mgnIsoMode": "automatic", "opAuth": "1", "perm": account.perm, "posMode": "net_mode", "roleType": "0",
        "spotBorrowAutoRepay": False, "spotOffsetType": "", "spotRoleType": "0", "spotTraderInsts": [],
        "traderInsts": [], "uid": account.uid,
    }  # fmt: skip
    return ok([config])


async def give_trade_fee(exchange: Exchange, call: Call) -> Answer:
    """GET account/trade-fee: negative is charged."""
    kind = call.need("instType")
    if kind not in TYPES:
        raise Refusal("51000", "instType")
    schedule, account = SCHEDULES.get(kind, CONTRACT_PPM), call.caller
    maker, taker = (_rate(schedule[side][account.vip]) for side in ("maker", "taker"))
    linear = kind in {"SWAP", "FUTURES"}
    fee = {
        "category": "1", "delivery": "", "exercise": "", "feeGroup": [{"groupId": "1", "maker": maker, "taker": taker}],
        "fiat": [], "instType": kind, "level": account.level.lower(), "maker": maker, "taker": taker,
        "makerU": maker if linear else "", "takerU": taker if linear else "", "makerUSDC": "", "takerUSDC": "",
        "ruleType": "normal", "ts": str(exchange.now_ms()),
    }  # fmt: skip
    return ok([fee])


def _rate(parts_per_million: int) -> str:
    sign = "-" if parts_per_million > 0 else ""
    return f"{sign}0.{abs(parts_per_million):06}".rstrip("0")
