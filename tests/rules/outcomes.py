"""What settle() said, as the lines of the reference, so that the two can be compared field by field."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from settlement.rules.facts import Facts
from settlement.rules.settle import Outcome, settle
from settlement.rules.split import parts
from tests.rules.reference import Line, Row, World
from tests.rules.world import facts_of, fills_of

TABLES = (
    "brokers", "codes", "clients", "vip_levels", "fee_rates", "tiers", "overrides", "reviews", "instruments", "prices",
)  # fmt: skip


def facts_in(world: World) -> Facts:
    """The world's rows of text as the columns that the rules read."""
    return facts_of(world.terms, **{name: [dict(row) for row in getattr(world, name)] for name in TABLES})


def settled(fills: Sequence[Row], world: World) -> list[Line]:
    """The lines of the fills by settlement.rules, in the order of the fills."""
    return lines_of(settle(fills_of([dict(fill) for fill in fills]), facts_in(world)))


def settled_one(fill: Row, world: World) -> Line:
    """The line of one fill."""
    [line] = settled([fill], world)
    return line


def lines_of(outcome: Outcome) -> list[Line]:
    """One line per fill."""
    rows = outcome.amounts.to_pylist()
    lines = []
    for code, amounts in zip(outcome.basis.tolist(), rows, strict=True):
        basis = outcome.bases[code]
        commission: Decimal | None = amounts["commission_usdt"]
        lines.append(
            Line(
                status=basis.reason.status,
                reason=basis.reason.text,
                broker_id=basis.broker_id,
                product=basis.product,
                flags=basis.flags,
                terms_id=basis.terms_id,
                tier=basis.tier,
                rate=basis.rate,
                shares=parts(commission, basis.split) if basis.split and commission is not None else {},
                **amounts,
            )
        )
    return lines
