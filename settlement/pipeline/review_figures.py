"""What the terms make of a root's figures, and the row that records it; the review of a month and a recalculation share it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from settlement.rules.facts import Terms
from settlement.rules.review import ALL, Gap, Reached, period_of, tier_reached
from settlement.store.reviews import Measured, Review
from settlement.store.unfinished import Unfinished


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a root's figures come to. `volume_usdt` and `clients` are those of all groups together."""

    measured: Measured
    volume_usdt: Decimal
    clients: int
    reached: Reached

    @property
    def tier(self) -> str:
        """The tier reached."""
        return self.reached.tier


def judge(terms: Terms, measured: Measured) -> Judged:
    """The tier that the terms give for what was measured."""
    clients = measured.clients(terms.acquisition)
    return Judged(
        measured=measured,
        volume_usdt=measured.volume_usdt[ALL],
        clients=clients[ALL],
        reached=tier_reached(terms, volume=measured.volume_usdt, clients=clients),
    )


def review_row(  # noqa: PLR0913 - all that a review is made of
    broker_id: str,
    judged: Judged,
    *,
    terms: Terms,
    effective_from: datetime,
    previous_tier: str,
    by: str,
    left: Unfinished | None = None,
    plan_id: int | None = None,
) -> Review:
    """The row of one review; `left` is what of its period was not settled, `plan_id` the recalculation that corrects it."""
    start, end = period_of(terms, effective_from)
    return Review(
        broker_id=broker_id,
        tier=judged.tier,
        effective_from=effective_from,
        volume_usdt=judged.volume_usdt,
        clients=judged.clients,
        previous_tier=previous_tier,
        period_start=start,
        period_end=end,
        terms_id=terms.terms_id,
        inputs=inputs_document(judged.measured) | ({"unfinished": unfinished_document(left)} if left else {}),
        next_tier=judged.reached.next_tier,
        gap=gap_document(judged.reached.gaps),
        reviewed_by=by,
        anyway=bool(left),
        plan_id=plan_id,
    )


def same_figures(review: Review, judged: Judged) -> bool:
    """Whether a review came to the tier and the figures that the books say; of an old one, only what was kept."""
    if (review.tier, review.volume_usdt, review.clients) != (judged.tier, judged.volume_usdt, judged.clients):
        return False
    kept = {name: of_groups for name, of_groups in (review.inputs or {}).items() if name != "unfinished"}
    return not kept or kept == inputs_document(judged.measured)


def inputs_document(measured: Measured) -> dict[str, Any]:
    """What was counted, per group, as it is recorded: amounts are text without trailing zeros."""
    return {
        "volume_usdt": {group: _plain(volume) for group, volume in measured.volume_usdt.items()},
        "new_clients": dict(measured.new_clients),
        "active_clients": dict(measured.active_clients),
    }


def gap_document(gaps: Mapping[str, Gap]) -> dict[str, Any] | None:
    """The gap to the next tier, per group, as it is recorded; None at the highest tier."""
    return {
        group: {"volume_usdt": _plain(gap.volume_usdt), "clients": gap.clients} for group, gap in gaps.items()
    } or None


def unfinished_document(left: Unfinished) -> dict[str, Any]:
    """What was not settled, as it is recorded."""
    return {
        "windows": left.windows,
        "empty": left.is_empty,
        "pending": [{"root": one.root, "reason": one.reason, "lines": one.lines} for one in left.pending],
    }


def _plain(amount: Decimal) -> str:
    written = f"{amount:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written
