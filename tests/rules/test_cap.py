"""The monthly cap: what it leaves of each line, line by line against the reference, and in worked cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.frames import TIMESTAMP
from settlement.rules.basis import Basis
from settlement.rules.cap import Client, capped, uncapped
from settlement.rules.facts import CapTerms, Terms
from settlement.rules.limits import has_cap, limited_accounts
from settlement.rules.money import EXACT, LEDGER_AMOUNT
from settlement.rules.reasons import Reason
from settlement.rules.running_sums import sums_before
from settlement.rules.settle import Outcome, settle
from settlement.rules.split import Split
from tests.rules.drawn_names import MICROSECOND, pick, text_of
from tests.rules.examples import ORDINARY, TERMS, rows, world
from tests.rules.outcomes import facts_in, lines_of
from tests.rules.reference import Line, Row, World, settle_month
from tests.rules.world import fills_of

MONTH = datetime(2026, 9, 1, tzinfo=UTC)
CHANGES = tuple(MONTH + timedelta(days=day) for day in (3, 10, 20))
TIMES = tuple(change + step for change in CHANGES for step in (-MICROSECOND, timedelta(0), timedelta(minutes=1)))
CAP = Decimal(1)
VIP5 = frozenset({5})

# Each settles its world more than once.
fewer = settings(max_examples=settings().max_examples // 4)


def terms_with(cap: CapTerms | None, *, since: datetime = TERMS.effective_from, terms_id: int = 1) -> Terms:
    return replace(TERMS, cap=cap, effective_from=since, terms_id=terms_id)


def cap_of(usdt: str | Decimal, *levels: int) -> CapTerms:
    return CapTerms(monthly_usdt=Decimal(usdt), vip_levels=frozenset(levels) or VIP5)


def settled(
    fills: Sequence[Row], world: World, *, earned: Mapping[Client, Decimal] | None = None
) -> tuple[Outcome, list[Line]]:
    frame, facts = fills_of([dict(fill) for fill in fills]), facts_in(world)
    outcome = capped(frame, settle(frame, facts), facts, earned=earned or {})
    return outcome, lines_of(outcome)


def fill(number: int, commission: str, *, at: datetime = MONTH, **columns: str) -> Row:
    """A fill that earns `commission` at the examples' rate of a quarter for spot."""
    fee = format(-4 * Decimal(commission), "f")
    return {**ORDINARY, "account": "5", "bill_id": str(number), "fee": fee, "executed_at": text_of(at), **columns}


def earns(line: Line) -> str:
    """`0.5`, `0.5 CAP_REMAINDER`, or the reason why nothing."""
    if line.reason:
        return line.reason
    return " ".join([format((line.commission_usdt or Decimal(0)).normalize(), "f"), line.flags]).strip()


VIP5_LEVEL = rows("account, level\n5, 5\n6, 5")
CAPPED_WORLD = replace(world(terms_with(cap_of(CAP))), vip_levels=VIP5_LEVEL)


@pytest.mark.parametrize(
    ("commissions", "outcomes"),
    [
        pytest.param(["0.4", "0.4", "0.4", "0.1"], ["0.4", "0.4", "0.2 CAP_REMAINDER", "CAP_REACHED"], id="crossed"),
        pytest.param(["0.6", "0.4", "0.1"], ["0.6", "0.4", "CAP_REACHED"], id="reached exactly"),
        pytest.param(["1"], ["1"], id="one line that is the cap"),
        pytest.param(["7", "0.1"], ["1 CAP_REMAINDER", "CAP_REACHED"], id="the first line crosses"),
        pytest.param(
            ["0.999999999999", "0.5"], ["0.999999999999", "0.000000000001 CAP_REMAINDER"], id="a dust is left"
        ),
        pytest.param(["1", "0.0000000000001"], ["1", "0"], id="what rounds to zero stays earned"),
    ],
)
def test_a_line_earns_what_the_cap_leaves_of_it(commissions: list[str], outcomes: list[str]) -> None:
    fills = [
        fill(number, commission, at=MONTH + timedelta(hours=number)) for number, commission in enumerate(commissions)
    ]
    _, lines = settled(fills, CAPPED_WORLD)
    assert [earns(line) for line in lines] == outcomes
    assert lines == settle_month(fills, CAPPED_WORLD)


def test_what_crosses_the_cap_keeps_its_net_fee_and_rate_and_splits_its_remainder() -> None:
    outcome, [line] = settled([fill(1, "8", tag="ONE")], CAPPED_WORLD)
    assert (line.net_fee_usdt, line.rate, line.commission_usdt) == (Decimal(32), Decimal("0.25"), CAP)
    assert line.shares == {"alpha": Decimal("0.6"), "alpha-1": Decimal("0.4")}
    assert outcome.payee_totals() == {("alpha", "alpha"): Decimal("0.6"), ("alpha", "alpha-1"): Decimal("0.4")}


def test_what_is_excluded_by_the_cap_is_empty_like_any_excluded_line() -> None:
    _, [line] = settled([fill(1, "8", tag="ONE")], CAPPED_WORLD, earned={("alpha", "okx", "5"): CAP})
    assert line == Line(status="excluded", reason="CAP_REACHED", broker_id="alpha-1", product="spot", flags="")


def test_equal_times_count_in_the_order_of_the_bytes_of_their_bill_ids() -> None:
    fills = [fill(9, "0.75"), fill(10, "0.75"), fill(0, "0.75", bill_id="é"), fill(0, "0.75", bill_id="Z")]
    _, lines = settled(fills, CAPPED_WORLD)
    assert [earns(line) for line in lines] == ["0.25 CAP_REMAINDER", "0.75", "CAP_REACHED", "CAP_REACHED"]


def test_each_account_counts_apart_in_each_tree() -> None:
    fills = [fill(1, "0.9"), fill(2, "0.9", account="6"), fill(3, "0.9", tag="BETA"), fill(4, "0.9", tag="ONE")]
    _, lines = settled(fills, CAPPED_WORLD)
    assert [earns(line) for line in lines] == ["0.9", "0.9", "0.9", "0.1 CAP_REMAINDER"]


def test_what_was_earned_at_a_level_that_is_not_limited_counts_too() -> None:
    levels = rows(f"account, level, effective_from\n5, 4, 2026-01-01\n5, 5, {text_of(CHANGES[0])}")
    fills = [fill(1, "0.8"), fill(2, "0.8", at=CHANGES[0])]
    _, lines = settled(fills, replace(CAPPED_WORLD, vip_levels=levels))
    assert [earns(line) for line in lines] == ["0.8", "0.2 CAP_REMAINDER"]


def test_a_root_s_own_cap_holds_instead_of_the_terms_and_limits_nobody_else() -> None:
    own = rows("broker_id, kind, product, liquidity, value\nalpha, cap, all, all, 0.5\nbeta, cap, all, all, 3")
    levels = rows("account, level\n5, 5\n6, 4")
    fills = [fill(1, "2"), fill(2, "2", tag="BETA"), fill(3, "2", account="6")]
    _, lines = settled(fills, replace(CAPPED_WORLD, overrides=own, vip_levels=levels))
    assert [earns(line) for line in lines] == ["0.5 CAP_REMAINDER", "2", "2"]


def test_a_cap_that_rises_within_the_month_lets_more_through_and_one_that_falls_takes_nothing_back() -> None:
    versions = [
        terms_with(cap_of("1")),
        terms_with(cap_of("1.5"), since=CHANGES[0], terms_id=2),
        terms_with(cap_of("0.2"), since=CHANGES[1], terms_id=3),
        terms_with(None, since=CHANGES[2], terms_id=4),
    ]
    fills = [
        fill(number, "0.9", at=at) for number, at in enumerate([MONTH, CHANGES[0] - MICROSECOND, *CHANGES, CHANGES[0]])
    ]
    _, lines = settled(fills, replace(CAPPED_WORLD, terms=tuple(versions)))
    assert [earns(line) for line in lines] == [
        "0.9", "0.1 CAP_REMAINDER", "0.5 CAP_REMAINDER", "CAP_REACHED", "0.9", "CAP_REACHED",
    ]  # fmt: skip


def test_the_flag_of_the_remainder_stands_beside_the_others() -> None:
    link = rows("account, broker_id\n5, beta")
    _, [line] = settled([fill(1, "8", flags="LATE")], replace(CAPPED_WORLD, clients=link))
    assert line.flags == "TAG_OVERRIDES_LINK;LATE;CAP_REMAINDER"


def test_accounts_are_limited_that_have_such_a_level_at_any_time_of_the_period() -> None:
    levels = rows(
        f"""
        account, level, effective_from
        1,       5,     2026-01-01
        2,       5,     2026-01-01
        2,       4,     {text_of(CHANGES[0])}
        3,       4,     2026-01-01
        3,       5,     {text_of(CHANGES[0] + MICROSECOND)}
        4,       4,     2026-01-01
        4,       5,     {text_of(CHANGES[1])}
        5,       4,     2026-01-01
        """
    )
    facts = facts_in(replace(CAPPED_WORLD, vip_levels=levels))
    limited = limited_accounts(facts, start=CHANGES[0], end=CHANGES[1])
    assert limited == {("okx", "1"), ("okx", "3")}


def test_nobody_is_limited_before_terms_with_a_cap_or_after_them() -> None:
    versions = (
        terms_with(None),
        terms_with(cap_of("1"), since=CHANGES[0], terms_id=2),
        terms_with(None, since=CHANGES[1], terms_id=3),
    )
    facts = facts_in(replace(CAPPED_WORLD, terms=versions))
    assert has_cap(facts)
    periods = [
        (MONTH, CHANGES[0]),
        (MONTH, CHANGES[0] + MICROSECOND),
        (CHANGES[1] - MICROSECOND, CHANGES[2]),
        CHANGES[1:],
    ]
    assert [len(limited_accounts(facts, start=start, end=end)) for start, end in periods] == [0, 2, 2, 0]
    assert not has_cap(facts_in(world()))
    assert limited_accounts(facts_in(World()), start=MONTH, end=CHANGES[0]) == frozenset()


CAPS = st.one_of(
    st.none(),
    st.builds(cap_of, pick("0.000000000001", "0.5", "1", "1.75", "3"), st.sampled_from([4, 5])),
    st.builds(cap_of, pick("0.5", "1"), st.just(4), st.just(5)),
)
COMMISSIONS = pick("0.25", "0.5", "0.1", "1", "0.000000000001", "0.0000000000001", "0.333333333333", "2")


@st.composite
def capped_worlds(draw: st.DrawFn) -> World:
    """Caps, levels and own caps that begin, change and end in mid-month."""
    changing = st.lists(st.sampled_from(CHANGES), unique=True, max_size=2).map(sorted)
    starts = [TERMS.effective_from, *draw(changing)]
    versions = tuple(terms_with(draw(CAPS), since=start, terms_id=number) for number, start in enumerate(starts, 1))
    levels = [
        {"venue": "okx", "account": account, "level": draw(pick("3", "4", "5")), "effective_from": text_of(start)}
        for account in ("5", "6")
        for start in [TERMS.effective_from, *draw(changing)]
    ]
    own = [
        {
            "broker_id": root,
            "kind": "cap",
            "product": "all",
            "liquidity": "all",
            "value": draw(pick("0.4", "0.75", "5")),
            "effective_from": text_of(start),
            "effective_to": draw(st.sampled_from(["", text_of(CHANGES[2])])) if start < CHANGES[2] else "",
        }
        for root in ("alpha", "beta")
        for start in draw(changing)
    ]
    return replace(CAPPED_WORLD, terms=versions, vip_levels=levels, overrides=own)


FILLS = st.lists(
    st.builds(
        lambda number, commission, at, account, tag: fill(number, commission, at=at, account=account, tag=tag),
        st.integers(0, 120),
        COMMISSIONS,
        st.sampled_from(TIMES),
        pick("5", "6"),
        pick("ALPHA", "ALPHA", "ONE", "BETA", "unknown"),
    ),
    unique_by=lambda one: (one["account"], one["bill_id"]),
    max_size=25,
)


@given(world=capped_worlds(), fills=FILLS)
def test_the_columns_say_what_the_reference_says_line_by_line(world: World, fills: list[Row]) -> None:
    outcome, lines = settled(fills, world)
    assert lines == settle_month(fills, world)
    assert len(set(outcome.bases)) == len(outcome.bases)


@fewer
@given(world=capped_worlds(), fills=FILLS, data=st.data())
def test_neither_their_order_nor_where_the_month_is_cut_matters(
    world: World, fills: list[Row], data: st.DataObject
) -> None:
    whole = dict(zip((id(one) for one in fills), settled(fills, world)[1], strict=True))
    shuffled = data.draw(st.permutations(fills))
    cut = data.draw(st.sampled_from(CHANGES))
    early = [one for one in shuffled if one["executed_at"] < text_of(cut)]
    late = [one for one in shuffled if one["executed_at"] >= text_of(cut)]
    outcome, lines = settled(early, world)
    earned: dict[Client, Decimal] = {}
    for one, code, line in zip(early, outcome.basis.tolist(), lines, strict=True):
        client = (outcome.bases[code].root, one["venue"], one["account"])
        earned[client] = earned.get(client, Decimal(0)) + (line.commission_usdt or Decimal(0))
    apart = [*lines, *settled(late, world, earned=earned)[1]]
    assert apart == [whole[id(one)] for one in (*early, *late)]


@fewer
@given(world=capped_worlds(), fills=FILLS)
def test_what_stands_as_earned_is_whole_again_without_the_cap(world: World, fills: list[Row]) -> None:
    frame, facts = fills_of([dict(one) for one in fills]), facts_in(world)
    plain = settle(frame, facts)
    kept = capped(frame, plain, facts, earned={})
    earned = np.array([basis.split is not None for basis in kept.bases], dtype=bool)[kept.basis]
    assert lines_of(uncapped(kept).only(earned)) == lines_of(plain.only(earned))


def test_a_month_of_a_hundred_thousand_lines_is_capped_to_the_last_digit() -> None:
    lines, random = 100_000, Random(1)  # noqa: S311 - a drawing, not a secret
    drawn = [
        (random.choice("56"), random.randrange(20 * 86_400_000), str(number), random.randrange(10**8))
        for number in range(lines)
    ]
    accounts, ticks, bill_ids, units = zip(*drawn, strict=True)
    executed_at = pa.array([MONTH + timedelta(milliseconds=tick) for tick in ticks], TIMESTAMP)
    columns = {"venue": pa.repeat("okx", lines), "account": accounts, "bill_id": bill_ids, "executed_at": executed_at}
    fills = pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
    amounts = [EXACT.scaleb(Decimal(one), -12) for one in units]
    zeros = pa.repeat(pa.scalar(Decimal(0), LEDGER_AMOUNT), lines)
    names = ("net_fee_usdt", "commission_usdt", "notional_usdt")
    basis = Basis(
        root="alpha",
        broker_id="alpha",
        reason=Reason.EARNED,
        product="spot",
        tier="T1",
        rate=Decimal("0.25"),
        terms_id=1,
        split=Split(payees=("alpha",), shares=(Decimal(1),)),
    )
    table = pa.table({name: pa.array(amounts, LEDGER_AMOUNT) if name == "commission_usdt" else zeros for name in names})
    outcome = Outcome(basis=np.zeros(lines, dtype=np.int64), bases=[basis], amounts=table)
    kept = capped(fills, outcome, facts_in(CAPPED_WORLD), earned={("alpha", "okx", "5"): Decimal("0.5")})

    earned = {"5": Decimal("0.5"), "6": Decimal(0)}
    expected: list[Decimal | None] = [None] * lines
    for number in sorted(range(lines), key=lambda one: (ticks[one], bill_ids[one])):
        left = CAP - earned[accounts[number]]
        expected[number] = min(left, amounts[number]) if left or not amounts[number] else None
        earned[accounts[number]] += expected[number] or 0
    assert kept.amounts["commission_usdt"].to_pylist() == expected
    assert earned == {"5": CAP, "6": CAP}


AMOUNTS = st.one_of(st.integers(0, 10**14), st.integers(0, 10**38 - 1))


@given(st.lists(st.tuples(AMOUNTS, st.booleans()), min_size=1, max_size=40), st.integers(0, 3))
def test_running_sums_are_exact_and_begin_anew_where_they_are_told_to(rows: list[tuple[int, bool]], skip: int) -> None:
    padded = [0] * skip + [units for units, _ in rows]
    amounts = pa.array(padded, pa.decimal128(38, 0))
    exact = pa.Array.from_buffers(LEDGER_AMOUNT, len(padded), amounts.buffers()).slice(skip)
    begins = np.array([True, *(again for _, again in rows[1:])])
    expected, so_far = [], 0
    for (units, _), again in zip(rows, begins, strict=True):
        so_far = 0 if again else so_far
        expected.append(so_far)
        so_far += units
    found = sums_before(exact, begins=begins)
    assert [int(EXACT.scaleb(one.as_py(), 12)) for one in found] == expected
