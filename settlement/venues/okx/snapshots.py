"""What settlement needs from OKX beside fills: instruments, index prices, levels, fee rates and rebate eligibility.

One function a job: it asks OKX, hands what was answered to the use cases that store it, and reports. What cannot be asked
(an instrument type, a currency, an account) is reported and never keeps the others from being stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from settlement.errors import InputRefused, SettlementError
from settlement.pipeline import snapshot
from settlement.pipeline.load_instruments import load_instruments
from settlement.pipeline.load_report import Act
from settlement.pipeline.snapshot import IndexPrice, SnapshotReport
from settlement.pipeline.venue import VenueError
from settlement.program.instruments import Instruments
from settlement.program.venue_accounts import ApiKey, VenueAccount
from settlement.store.database import Database
from settlement.venues.okx import endpoints
from settlement.venues.okx.account_facts import OKX, read_eligibility, read_facts
from settlement.venues.okx.client import OkxClient
from settlement.venues.okx.index_prices import CANDLES_SOURCE, TICKERS_SOURCE, read_candles, read_index_prices
from settlement.venues.okx.instruments import parse_instruments
from settlement.venues.okx.session import OkxSession

INSTRUMENT_TYPES: Final = ("SPOT", "MARGIN", "SWAP", "FUTURES", "EVENTS")
OPTION_FAMILIES: Final = ("BTC-USD", "ETH-USD")
NO_SUCH_INSTRUMENT: Final = "51001"
# Of an option's id after its family: expiry, strike, call or put.
_PARTS_AFTER_FAMILY = 3
# A broker may ask 2 a second: what was learned is stored while the rest is asked.
ELIGIBILITY_A_BATCH: Final = 100

T = TypeVar("T")


async def snapshot_instruments(
    database: Database, session: OkxSession, *, base_url: str, now: datetime, act: Act
) -> SnapshotReport:
    """Loads OKX's instruments: new ones for all time before, changed contract values from now on."""
    options = await asyncio.to_thread(snapshot.options_without_instrument, database, now=now)
    found, failed = await read_instruments(session.public(base_url), families_of(options))
    report = SnapshotReport(failed=failed)
    for instruments in found.values():
        report.loads.append(await asyncio.to_thread(load_instruments, database, instruments, act=act))
    return report


async def read_instruments(
    client: OkxClient, families: Iterable[str]
) -> tuple[dict[str, Instruments], dict[str, SettlementError]]:
    """The instruments of each type, options by family, and why some could not be read."""
    asked = {kind: {"instType": kind} for kind in INSTRUMENT_TYPES}
    asked |= {f"OPTION {family}": {"instType": "OPTION", "instFamily": family} for family in families}
    return await _each({name: _read_instruments(client, name, params) for name, params in asked.items()})


def families_of(options: Iterable[str]) -> list[str]:
    """The instrument families to ask options of: the constant ones and those of `options`."""
    return sorted({*OPTION_FAMILIES, *(option.rsplit("-", _PARTS_AFTER_FAMILY)[0] for option in options)})


async def snapshot_prices(
    database: Database, session: OkxSession, *, base_url: str, now: datetime, act: Act
) -> SnapshotReport:
    """Loads the index prices of now of the currencies in use; raises VenueError if OKX does not tell them."""
    in_use = await asyncio.to_thread(snapshot.currencies_in_use, database, now=now)
    if not in_use:
        return SnapshotReport()
    prices = await read_index_prices(session.public(base_url))
    known = [prices[currency] for currency in in_use if currency in prices]
    report = SnapshotReport(unpriced=[currency for currency in in_use if currency not in prices])
    await _store_prices(database, report, known, source=TICKERS_SOURCE, spacing=timedelta(), act=act)
    return report


async def backfill_prices(  # noqa: PLR0913 - where from, for when, and who asks
    database: Database,
    session: OkxSession,
    *,
    base_url: str,
    period: tuple[datetime, datetime] | None = None,
    now: datetime,
    act: Act,
) -> SnapshotReport:
    """Loads minute candles where fills have no price that is new enough, or the window is still open.

    `period`: from when until when; without one, the last hours and the settled windows that wait for a price.
    """
    report = SnapshotReport()
    if period is None:
        periods = await asyncio.to_thread(snapshot.periods_to_fill, database, now=now)
    else:
        periods = list(snapshot.split_by_day(period[0], min(period[1], now)))
    client = session.public(base_url)
    for start, end in periods:
        needed = await asyncio.to_thread(snapshot.find_needed_prices, database, start=start, end=end)
        prices = await _read_candles(client, needed.instants, report)
        await _store_prices(database, report, prices, source=CANDLES_SOURCE, spacing=snapshot.MINUTE, act=act)
    report.unpriced.sort()
    return report


async def snapshot_accounts(  # noqa: PLR0913 - whom to ask, in whose name, and who asks
    database: Database,
    session: OkxSession,
    *,
    accounts: Sequence[VenueAccount],
    broker: VenueAccount | None,
    now: datetime,
    act: Act,
) -> SnapshotReport:
    """Loads the levels and scheduled fee rates of `accounts`, then whether OKX pays the broker a rebate on them."""
    report = await snapshot_levels(database, session, accounts=accounts, now=now, act=act)
    return await snapshot_eligibility(database, session, accounts=accounts, broker=broker, report=report, now=now)


async def snapshot_levels(
    database: Database, session: OkxSession, *, accounts: Sequence[VenueAccount], now: datetime, act: Act
) -> SnapshotReport:
    """Loads the levels and scheduled fee rates of `accounts`, in one load."""
    asked = {account.account: read_facts(session.client(account), account) for account in accounts}
    found, failed = await _each(asked)
    report = SnapshotReport(failed=failed)
    if found:
        facts = list(found.values())
        load = await asyncio.to_thread(snapshot.store_account_facts, database, facts, venue=OKX, seen_at=now, act=act)
        report.loads.append(load)
    return report


async def snapshot_eligibility(  # noqa: PLR0913 - whom to ask about, in whose name, and what was reported before
    database: Database,
    session: OkxSession,
    *,
    accounts: Sequence[VenueAccount],
    broker: VenueAccount | None,
    now: datetime,
    report: SnapshotReport | None = None,
) -> SnapshotReport:
    """Keeps what OKX says of rebates on `accounts`, asked in the broker's name; tells it in `report`."""
    report = report or SnapshotReport()
    if broker is None:
        report.skipped.append("rebate eligibility: no account of the role broker is added")
        return report
    keys = {one.account: one.credentials.api_key for one in accounts if isinstance(one.credentials, ApiKey)}
    if len(keys) < len(accounts):
        report.skipped.append(f"rebate eligibility of {len(accounts) - len(keys)} accounts that have no API key")
    client = session.client(broker)
    for first in range(0, len(keys), ELIGIBILITY_A_BATCH):
        batch = list(keys.items())[first : first + ELIGIBILITY_A_BATCH]
        asked = {account: read_eligibility(client, account=account, api_key=key) for account, key in batch}
        found, failed = await _each(asked)
        report.failed = failed | report.failed
        if not found:
            # Most likely it is the broker's own key that fails, and it would for all the others too.
            report.skipped.append(
                f"rebate eligibility of {len(keys) - first - len(batch)} accounts: OKX answered for none"
            )
            break
        seen = list(found.values())
        report.eligibility_changes += await asyncio.to_thread(snapshot.store_eligibility, database, seen, now=now)
    return report


async def _read_instruments(client: OkxClient, name: str, params: Mapping[str, str]) -> Instruments:
    answer = await client.get(endpoints.INSTRUMENTS, params)
    return parse_instruments(answer.body, source=f"okx public/instruments {name}")


async def _read_candles(
    client: OkxClient, instants: Mapping[str, Sequence[datetime]], report: SnapshotReport
) -> list[IndexPrice]:
    """The candles of each currency; one that OKX has no index of is asked once, and not again for other periods."""
    asked = {
        currency: read_candles(client, currency, wanted)
        for currency, wanted in instants.items()
        if currency not in report.unpriced
    }
    found, failed = await _each(asked)
    missing = [name for name, error in failed.items() if getattr(error, "code", "") == NO_SUCH_INSTRUMENT]
    report.unpriced += missing
    report.failed |= {name: error for name, error in failed.items() if name not in missing}
    return [price for prices in found.values() for price in prices]


async def _store_prices(  # noqa: PLR0913 - as `store_prices`, and where to tell
    database: Database,
    report: SnapshotReport,
    prices: Sequence[IndexPrice],
    *,
    source: str,
    spacing: timedelta,
    act: Act,
) -> None:
    if prices:
        report.loads.append(
            await asyncio.to_thread(snapshot.store_prices, database, prices, source=source, spacing=spacing, act=act)
        )


async def _each(asked: Mapping[str, Awaitable[T]]) -> tuple[dict[str, T], dict[str, SettlementError]]:
    """Asks at once, and tells apart what was answered and what failed; any other error ends the whole, once all are done."""
    answers = await asyncio.gather(*asked.values(), return_exceptions=True)
    found: dict[str, T] = {}
    failed: dict[str, SettlementError] = {}
    for name, answer in zip(asked, answers, strict=True):
        if isinstance(answer, (VenueError, InputRefused)):
            failed[name] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found[name] = answer
    return found, failed
