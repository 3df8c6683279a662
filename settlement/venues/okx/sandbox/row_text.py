"""Fills as OKX's rows, as JSON text by the column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from settlement.sample.decimal_text import decimal_text
from settlement.sample.trades import PPM_DECIMALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.sample.draws import Integers
    from settlement.sample.market import Instrument
    from settlement.sample.trades import Fills

SPOT = ("SPOT", "MARGIN")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a fill's text needs beside its figures."""

    recorded_ms: Integers
    order_id: Integers
    trade_id: pa.Array
    client_order_id: pa.Array
    tag: pa.Array
    sub_type: pa.Array
    position_side: pa.Array
    liquidity: pa.Array
    index_price: pa.Array


def row_text(fills: Fills, labels: Labels, *, instruments: Sequence[Instrument]) -> pa.Array:
    """One JSON object a fill. `feeRate` stands on spot and margin only, as OKX has it."""
    number = pa.array(fills.instrument)
    pieces = [
        '{"side":"', pa.array(["sell", "buy"]).take(pa.array(fills.buy.astype(np.int64))),
        '","fillSz":"', decimal_text(fills.size, _decimals(instruments, "size_decimals")[fills.instrument]),
        '","fillPx":"', decimal_text(fills.price, _decimals(instruments, "price_decimals")[fills.instrument]),
        '","fillPxVol":"","fillFwdPx":"","fee":"', decimal_text(fills.fee, fills.fee_scale),
        '","fillPnl":"0","ordId":"', integers(labels.order_id),
        '"', _fee_rate(fills, instruments),
        pa.array([_constant(instrument) for instrument in instruments]).take(number),
        '"clOrdId":"', labels.client_order_id,
        '","posSide":"', labels.position_side,
        '","billId":"', integers(fills.bill_id),
        '","subType":"', labels.sub_type,
        '","fillMarkVol":"","tag":"', labels.tag,
        '","fillTime":"', integers(fills.time_ms),
        '","execType":"', labels.liquidity,
        '","fillIdxPx":"', labels.index_price,
        '","tradeId":"', labels.trade_id,
        '","feeCcy":"', pa.array(fills.fee_currencies).take(pa.array(fills.fee_currency)),
        '","ts":"', integers(labels.recorded_ms),
        '"}',
    ]  # fmt: skip
    return pc.binary_join_element_wise(*pieces, "")


def integers(values: Integers) -> pa.Array:
    """Whole numbers as text."""
    return pc.cast(pa.array(values), pa.string())


def _decimals(instruments: Sequence[Instrument], name: str) -> Integers:
    return np.asarray([getattr(instrument, name) for instrument in instruments], dtype=np.int64)


def _constant(instrument: Instrument) -> str:
    quote = instrument.quote if instrument.type in SPOT else ""
    return (
        f',"instType":"{instrument.type}","instId":"{instrument.name}","tradeQuoteCcy":"{quote}"'
        ',"fillPxUsd":"","fillMarkPx":"",'
    )


def _fee_rate(fills: Fills, instruments: Sequence[Instrument]) -> Any:
    spot = np.asarray([instrument.type in SPOT for instrument in instruments])[fills.instrument]
    written = pc.binary_join_element_wise(',"feeRate":"', decimal_text(-fills.rate_ppm, PPM_DECIMALS), '"', "")
    return pc.if_else(pa.array(spot), written, "")
