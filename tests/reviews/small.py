"""A world small enough to know by heart: what October came to for two roots, and what November began with.

T1 from nothing, T2 from 100 USDT and a client, T3 from 1000 USDT and two clients; the 30 days, new clients, everything
together. In October r1's clients trade 100 USDT, and r2's 40.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.reviews.worlds import Asked, Fill, World

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
START = NOVEMBER - timedelta(days=30)


def fill(bill_id: str, account: str, volume: str, at: datetime, **columns: str) -> Fill:
    """One that was charged, in spot and without a tag unless `columns` say otherwise."""
    ordinary = Fill(
        account=account, bill_id=bill_id, tag="", product="spot", volume=Decimal(volume), charged=True, at=at
    )
    return replace(ordinary, **columns)


def asked(volume: str, clients: int) -> Asked:
    return Asked({"all": Decimal(volume)}, {"all": clients})


SMALL = World(
    effective_from=NOVEMBER,
    rolling=True,
    new_clients=True,
    apart=False,
    moved_at=NOVEMBER + timedelta(days=365),
    fills=(
        fill("1", "1", "60", START),
        fill("2", "2", "40", NOVEMBER - timedelta(seconds=1)),
        fill("3", "5", "40", START + timedelta(days=3)),
    ),
    tiers=(asked("0", 0), asked("100", 1), asked("1000", 2)),
)
# Two fills of r1 in November's first hour.
BEGUN = replace(SMALL, late=(fill("4", "1", "10", NOVEMBER), fill("5", "1", "10", NOVEMBER + timedelta(minutes=59))))
