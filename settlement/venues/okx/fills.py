"""OKX as the harvest sees it: pages of fills by `billId`.

1. `trade/fills` serves the last three days at 60 requests in two seconds, `trade/fills-history` the last three months at 10:
   a stretch that begins within the three days is asked at the first, an older one at the second.
2. `begin` and `end` filter by `ts`, when the record was made; `after` = the last row's billId leads to older rows. A page of
   fewer than 100 rows is the last. A row's time alone is no cursor: pages end inside one millisecond of one order.
3. Orders without a tag are looked up (algo_tags.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import TAG_FROM_ALGO
from settlement.pipeline.fill_blocks import Block
from settlement.pipeline.venue import OrderTag, Page
from settlement.rules.products import SYSTEM_SUB_TYPES
from settlement.venues.okx.algo_tags import AlgoTags
from settlement.venues.okx.client import OkxClient
from settlement.venues.okx.endpoints import FILLS, FILLS_HISTORY
from settlement.venues.okx.errors import broken_answer
from settlement.venues.okx.parse import VENUE, parse_fills
from settlement.venues.okx.signing import milliseconds

INSTRUMENT_TYPES: Final = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")
PAGE_ROWS: Final = 100
RECENT: Final = timedelta(days=3)
# The three days are OKX's, and end while a walk is under way.
RECENT_MARGIN: Final = timedelta(minutes=30)
KEPT: Final = timedelta(days=90)

_HEAD = pa.struct([(key, pa.string()) for key in ("billId", "ordId", "instId", "tag", "subType")])
_BETWEEN = "\t"


@dataclass(frozen=True, kw_only=True)
class OkxFills:
    """One account's fills at OKX."""

    client: OkxClient
    tags: AlgoTags

    @classmethod
    def of(cls, client: OkxClient) -> OkxFills:
        """The fills of the client's account."""
        return cls(client=client, tags=AlgoTags(client=client))

    @property
    def account(self) -> str:
        """The user id."""
        if self.client.account is None:
            raise TypeError("fills belong to an account")
        return self.client.account.account

    async def read_page(self, instrument_type: str, *, begin: datetime, end: datetime, after: str | None) -> Page:
        """The newest rows recorded in [begin, end] that are older than `after`; raises OkxError."""
        recent = begin >= datetime.now(UTC) - RECENT + RECENT_MARGIN
        params = {"instType": instrument_type, "begin": milliseconds(begin), "end": milliseconds(end)}
        if after is not None:
            params["after"] = after
        answer = await self.client.get(FILLS if recent else FILLS_HISTORY, params | {"limit": str(PAGE_ROWS)})
        head = _head(answer.data)
        older = _cursor(head, before=after) if len(answer.data) >= PAGE_ROWS else None
        return Page(
            account=self.account,
            instrument_type=instrument_type,
            rows=len(answer.data),
            body=answer.body,
            request=answer.request,
            older=older,
            untagged=_untagged(head),
            fetched_at=datetime.now(UTC),
        )

    async def find_order_tags(
        self, instrument_type: str, orders: Mapping[str, str], *, since: datetime
    ) -> Sequence[OrderTag]:
        """The algo orders that placed these orders, and their tags; raises OkxError."""
        return await self.tags.find(instrument_type, orders, since=since)


class OkxVenue:
    """What is the same for all accounts of OKX."""

    venue = VENUE

    def parse(self, pages: Sequence[Page], tags: Sequence[OrderTag], *, executed_before: datetime | None) -> Block:
        """The rows of `pages` as one block: each its page's account's, tagged as its algo order was."""
        rows = list(chain.from_iterable(orjson.loads(page.body)["data"] for page in pages))
        accounts = pa.array([page.account for page in pages]).take(
            pa.array(np.repeat(np.arange(len(pages)), [page.rows for page in pages]))
        )
        block = parse_fills(rows, row_numbers=range(1, len(rows) + 1), account=None)
        # Whose fills these are, the request says; what a row says of it does not count.
        own = accounts.take(pc.subtract(block.row_numbers, 1))
        table = block.table.set_column(block.table.column_names.index("account"), "account", own)
        if tags:
            table = _with_tags(table, tags)
        if executed_before is None:
            return Block(table=table, row_numbers=block.row_numbers, bad=block.bad)
        wanted = pc.invert(_executed_at_or_after(table["executed_at"].combine_chunks(), executed_before))
        return Block(table=table.filter(wanted), row_numbers=block.row_numbers.filter(wanted), bad=block.bad)


def _head(rows: Sequence[Any]) -> pa.Array:
    """What paging and the look-up of tags need of a page, as columns."""
    try:
        return pa.array(rows, _HEAD)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        # Some value is no text: ingest puts such rows aside, and here they must not stop the walk.
        objects = [row for row in rows if isinstance(row, dict)]
        return pa.array([{field.name: str(row.get(field.name) or "") for field in _HEAD} for row in objects], _HEAD)


def _cursor(head: pa.Array, *, before: str | None) -> str:
    bill_ids = head.field("billId")
    last = bill_ids[len(bill_ids) - 1].as_py() if len(bill_ids) else None
    if not last or not _is_older(str(last), before):
        raise broken_answer("a page of fills does not lead on to older ones")
    return str(last)


def _is_older(bill_id: str, before: str | None) -> bool:
    """Ids grow with time: one that does not shrink would lead the walk in a circle."""
    if before is None:
        return True
    return int(bill_id) < int(before) if bill_id.isdecimal() and before.isdecimal() else bill_id != before


def _untagged(head: pa.Array) -> dict[str, str]:
    tag, order = pc.fill_null(head.field("tag"), ""), pc.fill_null(head.field("ordId"), "")
    system = pc.is_in(head.field("subType"), value_set=pa.array(sorted(SYSTEM_SUB_TYPES[VENUE])))
    wanted = pc.and_(pc.and_(pc.equal(tag, ""), pc.not_equal(order, "")), pc.invert(system))
    kept = head.filter(wanted)
    return dict(zip(kept.field("ordId").to_pylist(), kept.field("instId").to_pylist(), strict=True))


def _with_tags(table: pa.Table, tags: Sequence[OrderTag]) -> pa.Table:
    found = [tag for tag in tags if tag.tag]
    keys = pa.array([f"{tag.account}{_BETWEEN}{tag.order_id}" for tag in found], pa.string())
    own = pc.binary_join_element_wise(table["account"], pc.fill_null(table["order_id"], ""), _BETWEEN)
    # A fill that says its tag itself keeps it.
    at = pc.if_else(pc.is_null(table["tag"]), pc.index_in(own, value_set=keys), pa.scalar(None, pa.int32()))
    looked_up = {
        "tag": pa.array([tag.tag for tag in found], pa.string()).take(at),
        "algo_id": pa.array([tag.algo_id for tag in found], pa.string()).take(at),
    }
    for name, values in looked_up.items():
        table = table.set_column(table.column_names.index(name), name, pc.coalesce(values, table[name]))
    flags = pc.if_else(pc.is_valid(at), TAG_FROM_ALGO, pa.scalar(None, pa.string()))
    return table.append_column("flags", flags)


def _executed_at_or_after(written: pa.Array, instant: datetime) -> pa.Array:
    """True where a time in milliseconds is not before `instant`; what is no number is left to ingest."""
    is_number = pc.fill_null(pc.match_substring_regex(written, r"^\d{1,18}$"), False)
    numbers = pc.cast(pc.if_else(is_number, written, "0"), pa.int64())
    return pc.greater_equal(numbers, int(milliseconds(instant)))
