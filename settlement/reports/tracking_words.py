"""Tracks as a document, and in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from settlement.reports.plain_text import amount, instant, plain
from settlement.reports.summary_tables import money
from settlement.rules.review import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.reports.tracking import NextReview, Projection, Track
    from settlement.store.reviews import Measured


def as_document(tracks: list[Track]) -> list[dict[str, Any]]:
    """The tracks as plain values: decimals and times are text."""
    document: list[dict[str, Any]] = plain([asdict(track) for track in tracks])
    return document


def in_words(track: Track) -> Iterator[str]:
    """One track, a line a sentence."""
    yield f"{track.broker_id} is {track.tier}; settled to {instant(track.settled_to)}"
    yield f"   last 30 days    {_measured(track.trailing)}"
    yield f"   {track.month:%Y-%m} so far  {_measured(track.month_to_date)}"
    yield from _commission(track.commission)
    yield from _review(track.next_review)


def _measured(measured: Measured) -> str:
    new, active = measured.new_clients[ALL], measured.active_clients[ALL]
    return f"volume {money(measured.volume_usdt[ALL])} USDT, {active:,} active clients, {new:,} new"


def _commission(projection: Projection) -> Iterator[str]:
    between = ""
    if projection.low_usdt is not None and projection.high_usdt is not None:
        between = f", between {money(projection.low_usdt)} and {money(projection.high_usdt)}"
    so_far = money(projection.so_far_usdt)
    yield f"   commission      {so_far} USDT so far; {money(projection.expected_usdt)} by the end of the month{between}"
    yield f"                   ({projection.method})"


def _review(review: NextReview) -> Iterator[str]:
    yield (
        f"   next review     {review.effective_from:%Y-%m-%d}, by terms {review.terms!r}, counting from"
        f" {review.period_start:%Y-%m-%d}: {review.tier_so_far} by what is settled, {review.projected_tier} at this pace"
    )
    for group, gap in review.gaps.items():
        of_group = "" if group == ALL else f" in {group}"
        yield f"                   to {review.next_tier}{of_group}: {amount(gap.volume_usdt)} USDT of volume and {gap.clients} clients are missing"
