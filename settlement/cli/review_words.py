"""The review of a month as a document, and in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from settlement.cli.loading import marked_in_words
from settlement.pipeline.review_figures import inputs_document, unfinished_document
from settlement.reports.plain_text import amount, instant, plain
from settlement.reports.summary_tables import money

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.pipeline.review import MonthReview, RootReview


def as_document(reviewed: MonthReview, *, dry_run: bool) -> dict[str, Any]:
    """The review as plain values: decimals and times are text."""
    document: dict[str, Any] = plain(
        {
            "month": f"{reviewed.month:%Y-%m}",
            "effective_from": reviewed.effective_from,
            "period_start": reviewed.period_start,
            "period_end": reviewed.period_end,
            "terms": reviewed.terms.name,
            "dry_run": dry_run,
            "made": 0 if dry_run else reviewed.made,
            "unfinished": unfinished_document(reviewed.left),
            "windows_marked": reviewed.windows_marked,
            "roots": [_root_document(root) for root in reviewed.roots],
        }
    )
    return document


def _root_document(root: RootReview) -> dict[str, Any]:
    now = root.now
    return {
        **asdict(root.review),
        "state": root.state,
        "in_force": root.in_force,
        "rated_otherwise": asdict(root.rated_otherwise) if root.rated_otherwise else None,
        "now": {
            "tier": now.tier,
            "volume_usdt": now.volume_usdt,
            "clients": now.clients,
            **inputs_document(now.measured),
        },
    }


def in_words(reviewed: MonthReview, *, dry_run: bool) -> Iterator[str]:
    """The review, a line a sentence."""
    yield (
        f"review of {reviewed.month:%Y-%m}, in force from {instant(reviewed.effective_from)}, by terms"
        f" {reviewed.terms.name!r}: windows from {instant(reviewed.period_start)} to {instant(reviewed.period_end)}"
    )
    for root in reviewed.roots:
        yield from _root_in_words(root, dry_run=dry_run)
    if dry_run:
        yield from _what_is_left(reviewed)
        yield f"nothing is recorded: {reviewed.made} reviews would be made"
    else:
        yield f"{reviewed.made} reviews made, {len(reviewed.roots) - reviewed.made} stood already"
    if reviewed.windows_marked:
        yield marked_in_words(reviewed.windows_marked)
    if not dry_run:
        yield from _what_to_recalculate(reviewed)


def _root_in_words(root: RootReview, *, dry_run: bool) -> Iterator[str]:
    review = root.review
    moved = f"{review.previous_tier or '?'} -> {review.tier}" if review.previous_tier != review.tier else review.tier
    state = ("would be made" if dry_run else "made") if root.state == "made" else "stood already"
    yield f"   {review.broker_id}: {moved}, volume {money(review.volume_usdt)} USDT, {review.clients:,} clients ({state})"
    if root.in_force != review.tier:
        yield f"     an override beats it: {root.in_force}"
    if root.state == "made":
        for group, gap in root.now.reached.gaps.items():
            of_group = "" if group == "all" else f" in {group}"
            yield (
                f"     to {root.now.reached.next_tier}{of_group}: {amount(gap.volume_usdt)} USDT of volume and"
                f" {gap.clients:,} clients were missing"
            )
    if root.state == "differs":
        same = "the same tier" if root.now.tier == review.tier else root.now.tier
        yield (
            f"     the books say otherwise now: volume {money(root.now.volume_usdt)} USDT, {root.now.clients:,} clients,"
            f" {same}"
        )


def _what_is_left(reviewed: MonthReview) -> Iterator[str]:
    left = reviewed.left
    if left:
        none = "no window of the period was ever there, " if left.is_empty else ""
        yield (
            f"it would be refused without --anyway: {none}{left.windows} windows are not settled,"
            f" {left.pending_lines} lines are pending"
        )


def _what_to_recalculate(reviewed: MonthReview) -> Iterator[str]:
    start = instant(reviewed.period_start)
    for root in reviewed.roots:
        name = root.review.broker_id
        if root.rated_otherwise:
            since, until = instant(reviewed.effective_from), instant(root.rated_otherwise.until)
            yield (
                f"{name}: another tier has rated lines of {root.rated_otherwise.windows} settled windows since; they stay as"
                f" they are until: settlement recalc plan --from {since} --to {until} --broker {name} --reason TEXT"
            )
        if root.state == "differs" and root.now.tier != root.review.tier:
            yield (
                f"{name}: the review stays as it is until: settlement recalc plan --from {start} --to"
                f" {instant(reviewed.period_end)} --broker {name} --re-review --reason TEXT"
            )
