"""The demonstration's live hours: pulled, priced and settled by the workers, first when asked and then by the schedule.

Live hours are apart from the sample day: nothing here is waited for before the day is settled and printed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from settlement.cli.demo_exchange import last_full_hour
from settlement.cli.demo_wait import LOOK_SECONDS, Goal, ask, wait_for
from settlement.cli.times import HOUR

if TYPE_CHECKING:
    from rich.console import Console

    from settlement.cli.demo_exchange import Exchange
    from settlement.store.coverage import CoveredAccount
    from settlement.store.database import Database
    from settlement.supervisor import Group

PRICED_SECONDS_MAX = 60.0
# Part 0 of 1: every account.
ALL_ACCOUNTS = "[0, 1]"


@dataclass(kw_only=True)
class Live:
    """The hours [start, end) of the exchange's accounts, which have ended."""

    database: Database
    exchange: Exchange
    start: datetime
    end: datetime

    @classmethod
    def until_now(cls, database: Database, exchange: Exchange) -> Live:
        """From where live fills are expected to the last full hour."""
        return cls(
            database=database, exchange=exchange, start=exchange.live_from, end=last_full_hour(datetime.now(UTC))
        )

    def pulled(self) -> tuple[int, int]:
        """How many accounts are pulled to the end, of all."""
        return sum(row.complete_to >= self.end for row in self._coverage()), len(self.exchange.accounts)

    def pulled_to(self) -> datetime:
        """How far all accounts are pulled."""
        return min(row.complete_to for row in self._coverage())

    def lacks_prices(self) -> bool:
        """Whether fills of the last hour have no price of their minute yet."""
        from settlement.pipeline.snapshot import find_needed_prices

        return bool(find_needed_prices(self.database, start=self.end - HOUR, end=self.end).instants)

    def settled(self) -> tuple[int, int]:
        """How many windows are settled, of all."""
        from settlement.reports.summary import read_progress

        with self.database.transaction() as connection:
            seen = read_progress(connection, start=self.start, end=self.end)
        return seen.settled, seen.windows

    def line(self) -> str:
        """What came of it."""
        from settlement.reports.summary import read_summary

        with self.database.transaction() as connection:
            total = read_summary(connection, start=self.start, end=self.end).total
        fills, earned, commission = (total.fills, total.earned, total.commission_usdt) if total else (0, 0, 0)
        return (
            f"live        {len(self.exchange.accounts)} accounts pulled over HTTP by the workers to"
            f" {self.pulled_to():%H:%M:%S}; {self.start:%Y-%m-%d %H:%M} to {self.end:%H:%M}: {fills:,} fills settled,"
            f" {earned:,} earn {commission:,.2f} USDT"
        )

    def _coverage(self) -> list[CoveredAccount]:
        from settlement.store.coverage import coverage

        with self.database.transaction() as connection:
            return coverage(connection, start=self.end - HOUR, end=self.end, accounts=self.exchange.accounts)


def settle_live(live: Live, *, group: Group, target: Console) -> None:
    """Has the workers pull, price and settle the live hours that have ended, and tells what came of them.

    The schedule brings all of it by itself; here it is asked for at once.
    """
    ask("settlement.pull_fills", arguments=ALL_ACCOUNTS)
    pulled = Goal(doing="pulling", done="pulled", units="accounts", look=live.pulled, mend="settlement coverage")
    wait_for(pulled, group=group, target=target)
    if group.stopping:
        return
    _price(live, group=group)
    if not group.stopping:
        ask("settlement.sweep")
        settled = Goal(doing="settling", done="settled", units="live windows", look=live.settled)
        wait_for(settled, group=group, target=target)
    if not group.stopping:
        target.print(live.line(), style="bold", highlight=False, soft_wrap=True)


def _price(live: Live, *, group: Group) -> None:
    """Prices first, so that nothing has to wait for one; what does all the same is settled once it is priced."""
    ask("settlement.snapshot_prices")
    deadline = time.monotonic() + PRICED_SECONDS_MAX
    while not group.stopping and time.monotonic() < deadline and live.lacks_prices():
        group.wait(LOOK_SECONDS)
