"""The sandbox's seeded market: the fills recorded in an hour follow from the seed and the hour alone.

Orders are drawn first, then cut into one to four fills of the same millisecond. Ids hold the record's millisecond and so
grow with time: billId = (ms since 2020) x 2^20 + 16 x (place within the millisecond, from 1); ordId is the first
billId of the order less 8, and the algo order that it is the child of has 3 less.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from settlement.sample.decimal_text import decimal_text
from settlement.sample.draws import Draws
from settlement.sample.market import MINUTE_MS, SAMPLE_INSTRUMENTS
from settlement.sample.program import tags_of
from settlement.sample.trades import TAKER_PER_MILLE, Fills, charge, draw_fills
from settlement.venues.okx.sandbox.blocks import Block, make_block
from settlement.venues.okx.sandbox.prices import DECIMALS, Index, mix
from settlement.venues.okx.sandbox.row_text import Labels, integers, row_text

if TYPE_CHECKING:
    from settlement.sample.draws import Booleans, Integers
    from settlement.sample.program import Population

HOUR_MS: Final = 3_600_000
EPOCH_MS: Final = 1_577_836_800_000  # 2020-01-01
ID_BITS: Final = 20
ORDER_BEFORE_BILL: Final = 8
ALGO_BEFORE_ORDER: Final = 3
PARTS_WEIGHTS: Final = (40, 28, 18, 14)
LAG_MS: Final = 15
LATE_MS: Final = (120_000, 2_400_000)
ALGO_PER_MILLE: Final = 60
SYSTEM_PER_MILLE: Final = 6
MARKET_MAKER_TAKER_PER_MILLE: Final = 120
TYPES: Final = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")
# Trades of the venue's own: what can happen to each type of instrument.
SYSTEM_SUB_TYPES: Final = {
    "SPOT": ("376", "376"),
    "MARGIN": ("101", "212"),
    "SWAP": ("100", "125"),
    "FUTURES": ("104", "112"),
    "OPTION": ("101", "112"),
    "EVENTS": ("376", "376"),
}
LIQUIDATIONS: Final = ("100", "101", "104", "125")


def time_of_id(identifier: int) -> int:
    """The millisecond that a billId, ordId or algoId of this market holds."""
    return (identifier >> ID_BITS) + EPOCH_MS


@dataclass(kw_only=True)
class _Orders:
    """What was drawn for each order: its fills' figures as one, whose it is, and when it was recorded."""

    fills: Fills
    parts: Integers
    recorded_ms: Integers
    tag: pa.Array
    system: Booleans
    algo: Booleans


@dataclass(frozen=True, kw_only=True)
class SeededMarket:
    """`served` are the accounts (indexes into the population) that trade."""

    seed: int
    population: Population
    served: Integers
    fills_per_hour: int
    late_per_mille: int = 0

    def hour(self, start_ms: int) -> Block:
        """The fills recorded in the hour that begins at `start_ms`."""
        key = np.asarray([self.seed * 1_000_003 + start_ms // HOUR_MS], dtype=np.uint64)
        draws = Draws(int(mix(key)[0]))
        orders = self._orders(draws, start_ms)
        fills, order_of = _cut(orders)
        recorded = orders.recorded_ms[order_of]
        place = np.arange(len(recorded)) - np.searchsorted(recorded, recorded) + 1
        fills.bill_id = ((recorded - EPOCH_MS) << ID_BITS) + (place << 4)
        firsts = np.flatnonzero(np.diff(order_of, prepend=-1))
        order_id = (fills.bill_id[firsts] - ORDER_BEFORE_BILL)[order_of]
        labels = self._labels(orders, fills, order_of=order_of, order_id=order_id)
        kinds = np.asarray([TYPES.index(instrument.type) for instrument in SAMPLE_INSTRUMENTS])
        children = np.flatnonzero(orders.algo)
        child_ids, child_tags = order_id[firsts[children]], orders.tag.take(pa.array(children)).to_pylist()
        return make_block(
            accounts=self.population.accounts,
            account=fills.account,
            types=TYPES,
            kind=kinds[fills.instrument],
            bill_id=fills.bill_id,
            order_id=order_id,
            recorded_ms=recorded,
            text=row_text(fills, labels, instruments=SAMPLE_INSTRUMENTS),
            algo_tags=dict(zip(child_ids.tolist(), child_tags, strict=True)),
        )

    def _orders(self, draws: Draws, start_ms: int) -> _Orders:
        parts = _parts(draws, self.fills_per_hour)
        count = len(parts)
        pick = np.minimum(draws.below(len(self.served), count), draws.below(len(self.served), count))
        account = self.served[(pick * 7 + 3) % len(self.served)]
        made = np.sort(start_ms + draws.below(HOUR_MS, count))
        recorded = _recorded(made, account, lag=draws.below(LAG_MS, count), end_ms=start_ms + HOUR_MS)
        late = draws.chance(self.late_per_mille, count) * (LATE_MS[0] + draws.below(LATE_MS[1] - LATE_MS[0], count))
        by_record = np.lexsort((made, recorded))
        account, executed = account[by_record], (made - late)[by_record]
        maker = self.population.is_kind(account, "market_maker")
        fills = draw_fills(
            draws,
            Index(self.seed).market(start_ms=start_ms - HOUR_MS, minutes=120),
            instruments=SAMPLE_INSTRUMENTS,
            account=account,
            taker_per_mille=np.where(maker, MARKET_MAKER_TAKER_PER_MILLE, TAKER_PER_MILLE),
            vip=self.population.vip[account],
            time_ms=executed,
        )
        tag, _ = tags_of(draws, self.population, account)
        system = draws.chance(SYSTEM_PER_MILLE, count)
        algo = draws.chance(ALGO_PER_MILLE, count) & pc.not_equal(tag, "").to_numpy(zero_copy_only=False) & ~system
        return _Orders(fills=fills, parts=parts, recorded_ms=recorded[by_record], tag=tag, system=system, algo=algo)

    def _labels(self, orders: _Orders, fills: Fills, *, order_of: Integers, order_id: Integers) -> Labels:
        system, algo = orders.system[order_of], orders.algo[order_of]
        tag = orders.tag.take(pa.array(order_of))
        sub_type, side = _sub_types(fills, system)
        liquidity = pc.if_else(pa.array(system), "", pa.array(["M", "T"]).take(pa.array(fills.taker.astype(np.int64))))
        own = pc.if_else(pc.equal(tag, ""), "", pc.binary_join_element_wise(tag, integers(order_id % 10**12), ""))
        child = pc.binary_join_element_wise("O", integers(order_id - ALGO_BEFORE_ORDER), "")
        client_order_id = pc.if_else(pa.array(system), "", pc.if_else(pa.array(algo), child, own))
        trade_id = integers(np.where(np.isin(sub_type.to_pylist(), LIQUIDATIONS), -1, 1) * (fills.bill_id >> 4))
        return Labels(
            recorded_ms=orders.recorded_ms[order_of],
            order_id=order_id,
            trade_id=trade_id,
            client_order_id=client_order_id,
            tag=pc.if_else(pa.array(system | algo), "", tag),
            sub_type=sub_type,
            position_side=side,
            liquidity=liquidity,
            index_price=_index_prices(self.seed, fills),
        )


def _parts(draws: Draws, fills: int) -> Integers:
    """How many fills each order has, so that there are `fills` in all."""
    parts = 1 + draws.pick(PARTS_WEIGHTS, fills)
    ends = np.cumsum(parts)
    orders = int(np.searchsorted(ends, fills)) + 1
    parts = parts[:orders]
    parts[-1] -= int(ends[orders - 1]) - fills
    return parts


def _recorded(made: Integers, account: Integers, *, lag: Integers, end_ms: int) -> Integers:
    """A record follows its trade by 0 to 14 ms, within the hour, and never goes back within an account."""
    order = np.lexsort((made, account))
    owner = np.cumsum(np.diff(account[order], prepend=account[order][:1]) != 0) * (2 * HOUR_MS)
    start = end_ms - HOUR_MS
    climbing = np.maximum.accumulate((made + lag)[order] - start + owner) - owner + start
    recorded = np.empty_like(made)
    recorded[order] = np.minimum(climbing, end_ms - 1)
    return recorded


def _cut(orders: _Orders) -> tuple[Fills, Integers]:
    """The orders' figures cut into fills with a fee each, and the order of each fill."""
    order_of = np.repeat(np.arange(len(orders.parts)), orders.parts)
    whole = {field.name: getattr(orders.fills, field.name) for field in fields(Fills)}
    columns: dict[str, Any] = {name: each[order_of] for name, each in whole.items() if not isinstance(each, tuple)}
    fills = replace(orders.fills, **columns)
    parts = orders.parts[order_of]
    last = np.diff(order_of, append=-1) != 0
    even = fills.size // parts
    fills.size = np.maximum(np.where(last, fills.size - even * (parts - 1), even), 1)
    for index, instrument in enumerate(SAMPLE_INSTRUMENTS):
        charge(fills, instrument, np.flatnonzero(fills.instrument == index))
    return fills, order_of


def _sub_types(fills: Fills, system: Booleans) -> tuple[pa.Array, pa.Array]:
    """The subType and posSide: one net position, or long and short for every other account."""
    kinds = np.asarray([TYPES.index(instrument.type) for instrument in SAMPLE_INSTRUMENTS])[fills.instrument]
    contract = np.isin(kinds, [TYPES.index(kind) for kind in ("SWAP", "FUTURES", "OPTION")])
    hedged = contract & (fills.account % 2 == 1)
    closing = fills.account // 2 % 2
    sold = 1 - fills.buy.astype(np.int64)
    # 3 opens a long, 4 opens a short, 5 closes a long, 6 closes a short.
    sided = np.where(sold == 0, np.where(closing == 1, 6, 3), np.where(closing == 1, 5, 4))
    event = kinds == TYPES.index("EVENTS")
    number = np.where(hedged, sided, np.where(event, 411 + sold, 1 + sold))
    system_codes = np.asarray([SYSTEM_SUB_TYPES[kind] for kind in TYPES]).astype(np.int64)
    number = np.where(system, system_codes[kinds, fills.account % 2], number)
    short = np.isin(sided, (4, 6)).astype(np.int64)
    return integers(number), pa.array(["net", "long", "short"]).take(pa.array(np.where(hedged, 1 + short, 0)))


def _index_prices(seed: int, fills: Fills) -> pa.Array:
    """fillIdxPx: the index of the contract's base currency; OKX often leaves it empty on spot."""
    count = len(fills.time_ms)
    price, scale = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    start_ms = int(fills.time_ms.min()) // MINUTE_MS * MINUTE_MS
    minutes = (fills.time_ms - start_ms) // MINUTE_MS
    market = Index(seed).market(start_ms=start_ms, minutes=int(minutes.max(initial=0)) + 1)
    contract = np.zeros(count, dtype=np.bool_)
    for number, instrument in enumerate(SAMPLE_INSTRUMENTS):
        if instrument.type in {"SPOT", "MARGIN"}:
            continue
        rows = np.flatnonzero(fills.instrument == number)
        contract[rows] = True
        price[rows], scale[rows] = market.walks[instrument.base][minutes[rows]], DECIMALS[instrument.base]
    return pc.if_else(pa.array(contract), decimal_text(price, scale), "")
