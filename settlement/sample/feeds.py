"""The three feeds that the sample's fills arrive through: canonical CSV, canonical Parquet, OKX rows as recorded."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from settlement.sample.columns import write_table
from settlement.sample.market import epoch_ms
from settlement.sample.program import DAY
from settlement.sample.trouble import break_rows, contradict, readable_times

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000
OVERLAP_ROWS = 60
CONFLICTS = 6
GATEWAY_HOURS = (0, 6, 12, 18)
DESK_HOURS = (0, 12)

OKX_NAMES = {
    "account": "account",
    "instrument_type": "instType",
    "instrument": "instId",
    "trade_id": "tradeId",
    "order_id": "ordId",
    "client_order_id": "clOrdId",
    "bill_id": "billId",
    "sub_type": "subType",
    "tag": "tag",
    "price": "fillPx",
    "size": "fillSz",
    "side": "side",
    "fee_currency": "feeCcy",
    "fee": "fee",
    "fee_rate": "feeRate",
}


def write_gateway(directory: Path, table: pa.Table, *, spoiled: pa.Table) -> list[Path]:
    """CSV, one file every six hours.

    Each file begins with the end of the one before (with the times written another way); the last one also contradicts
    some earlier rows and carries `spoiled`, from which the broken rows are made.
    """
    parts = _split(table, GATEWAY_HOURS)
    paths = []
    for number, (hour, part) in enumerate(zip(GATEWAY_HOURS, parts, strict=True)):
        pieces = [readable_times(part)]
        if number:
            pieces.insert(0, parts[number - 1].slice(parts[number - 1].num_rows - OVERLAP_ROWS))
        if hour == GATEWAY_HOURS[-1]:
            pieces += [contradict(readable_times(parts[0].slice(0, CONFLICTS))), break_rows(readable_times(spoiled))]
        path = directory / f"gateway-{DAY:%Y%m%d}-{hour:02}.csv"
        write_table(path, pieces)
        paths.append(path)
    return paths


def write_desk(directory: Path, table: pa.Table) -> list[Path]:
    """Parquet, two files a day; what is empty is null there."""
    table = pa.table({name: pc.if_else(pc.equal(table[name], ""), None, table[name]) for name in table.column_names})
    paths = []
    for hour, part in zip(DESK_HOURS, _split(table, DESK_HOURS), strict=True):
        path = directory / f"desk-{DAY:%Y%m%d}-{hour:02}.parquet"
        parquet.write_table(part, path, compression="zstd")
        paths.append(path)
    return paths


def write_okx(directory: Path, table: pa.Table) -> Path:
    """JSON lines, one row as OKX records it a line, each saying whose it is."""
    path = directory / f"okx-{DAY:%Y%m%d}.jsonl"
    rows = pa.table({theirs: table[ours] for ours, theirs in OKX_NAMES.items()})
    rows = rows.append_column("execType", pc.if_else(pc.equal(table["liquidity"], "taker"), "T", "M"))
    rows = rows.append_column("fillTime", table["executed_at"])
    recorded = pc.add(pc.cast(table["executed_at"], pa.int64()), pa.array(np.arange(table.num_rows) % 15))
    rows = rows.append_column("ts", pc.cast(recorded, pa.string()))
    with path.open("wb") as file:
        for row in rows.to_pylist():
            spot = row["instType"] in {"SPOT", "MARGIN"}
            file.write(orjson.dumps(row if spot else {k: v for k, v in row.items() if k != "feeRate"}) + b"\n")
    return path


def _split(table: pa.Table, hours: tuple[int, ...]) -> list[pa.Table]:
    """`table`, sorted by time, cut at `hours` of the day; the first part begins whenever the table does."""
    instants = pc.cast(table["executed_at"], pa.int64()).to_numpy()
    cuts = [0, *np.searchsorted(instants, [epoch_ms(DAY) + hour * HOUR_MS for hour in hours[1:]]), table.num_rows]
    return [table.slice(start, end - start) for start, end in pairwise(cuts)]
