"""What the harvest asks of a venue. The adapter (settlement/venues/okx) answers it; the pipeline never knows the venue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from settlement.errors import SettlementError
from settlement.pipeline.fill_blocks import Block


class VenueError(SettlementError):
    """A venue refused or failed to answer; `retry_helps` and `parks` say what follows.

    `code` is the venue's own code ("" where none was given), `mend` what a person can do about it.
    """

    def __init__(
        self, what: str, *, code: str = "", mend: str = "", retry_helps: bool = False, parks: bool = False
    ) -> None:
        self.what, self.code, self.mend = what, code, mend
        self.retry_helps = retry_helps
        self.parks = parks
        number = f" ({code})" if code else ""
        super().__init__(f"{what}{number}" + (f"; {mend}" if mend else ""))


@dataclass(frozen=True, kw_only=True)
class Page:
    """One answer of the venue: how many rows, newest first, and the body as it came.

    `older` is the cursor of the next older page, None at the end of the walk. `untagged` are the orders of the page that
    carry no tag and may have been placed by an algo order: order id -> instrument.
    """

    account: str
    instrument_type: str
    rows: int
    body: bytes = field(repr=False)
    request: str
    older: str | None
    untagged: Mapping[str, str]
    fetched_at: datetime


@dataclass(frozen=True, kw_only=True)
class OrderTag:
    """What an untagged order turned out to be: the algo order that placed it, and its tag; "" where there is none."""

    account: str
    order_id: str
    algo_id: str
    tag: str


class FillsOfAccount(Protocol):
    """One account's fills at a venue."""

    @property
    def account(self) -> str:
        """The user id at the venue."""

    async def read_page(self, instrument_type: str, *, begin: datetime, end: datetime, after: str | None) -> Page:
        """The newest fills recorded in [begin, end] that are older than the cursor `after`; raises VenueError."""

    async def find_order_tags(
        self, instrument_type: str, orders: Mapping[str, str], *, since: datetime
    ) -> Sequence[OrderTag]:
        """Looks orders (order id -> instrument) up, and the algo orders that placed them; raises VenueError.

        One for each, also where there is no tag. The orders have fills recorded at or after `since`.
        """


class FillsVenue(Protocol):
    """A venue that fills are harvested from."""

    venue: str

    def parse(self, pages: Sequence[Page], tags: Sequence[OrderTag], *, executed_before: datetime | None) -> Block:
        """The rows of `pages` as one block, with the tags that were found; later executions than asked for are left out."""
