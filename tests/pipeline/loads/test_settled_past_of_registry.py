"""No load of a registry silently changes what settled lines stand on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.errors import InputRefused
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act
from settlement.store.database import Database
from tests.pipeline.loads.settled import ACT, HOUR, Registry, Rows, SettledHour

T = "2026-01-01T00:00:00Z"
QUARTER, THREE_QUARTERS = "2026-09-14T08:15:00Z", "2026-09-14T08:45:00Z"
AFTER = "2026-09-14T09:00:00Z"
BROKERS = f"alpha,A,api,,,active,{T},,,\nbeta,B,api,,,active,{T},,,\nalpha-1,A1,api,alpha,0.4,active,{T},,,"

Case = tuple[dict[str, str], dict[str, Any], dict[str, str], str | None]

# What stands, the settled line (at 08:30), what is loaded then, and the row that refuses it, if any.
CASES = [
    ("a VIP level before the fill", {"vip_levels": f"okx,1,VIP1,{T}"}, {}, {"vip_levels": f"okx,1,VIP2,{QUARTER}"}, "vip_levels.csv row 2"),
    ("a VIP level after the fill, in its hour", {"vip_levels": f"okx,1,VIP1,{T}"}, {}, {"vip_levels": f"okx,1,VIP2,{THREE_QUARTERS}"}, None),
    ("a VIP level after the hour", {"vip_levels": f"okx,1,VIP1,{T}"}, {}, {"vip_levels": f"okx,1,VIP2,{AFTER}"}, None),
    ("the same VIP level again from later on", {"vip_levels": f"okx,1,VIP1,{T}"}, {}, {"vip_levels": f"okx,1,VIP1,{QUARTER}"}, None),
    ("another account's VIP level", {"vip_levels": f"okx,2,VIP1,{T}"}, {}, {"vip_levels": f"okx,2,VIP2,{T}"}, None),
    ("a replaced VIP level", {"vip_levels": f"okx,1,VIP1,{T}"}, {}, {"vip_levels": f"okx,9,VIP2,{T}\nokx,1,VIP2,{T}"}, "vip_levels.csv row 3"),
    ("a VIP level under a pending line", {"vip_levels": f"okx,1,VIP1,{T}"}, {"status": "pending"}, {"vip_levels": f"okx,1,VIP2,{T}"}, None),
    ("a VIP level where there was none", {}, {}, {"vip_levels": f"okx,1,VIP2,{T}"}, None),
    ("a client link where there was none", {}, {"status": "excluded", "broker": None}, {"clients": f"okx,1,alpha,{T},,,,,"}, "clients.csv row 2"),
    ("a client link that ended before", {}, {"status": "excluded"}, {"clients": f"okx,1,alpha,{T},{QUARTER},,,,"}, None),
    ("a client link that moves", {"clients": f"okx,1,alpha,{T},,,,,"}, {}, {"clients": f"okx,1,beta,{QUARTER},,,,,"}, "clients.csv row 2"),
    ("a client link that ends now", {"clients": f"okx,1,alpha,{T},,,,,"}, {}, {"clients": f"okx,1,alpha,{T},{QUARTER},,,,"}, "clients.csv row 2"),
    ("a referral code, on which nothing stands", {"clients": f"okx,1,alpha,{T},,,,,"}, {}, {"clients": f"okx,1,alpha,{T},,REF,,,"}, None),
    ("a rebate share", {"clients": f"okx,1,alpha,{T},,,,,"}, {}, {"clients": f"okx,1,alpha,{T},,,,,0.1"}, "clients.csv row 2"),
    ("a code that was nobody's", {}, {"status": "excluded", "tag": "tagA"}, {"codes": f"tagA,alpha,{T},"}, "codes.csv row 2"),
    ("a code that no fill carried", {}, {"tag": "tagB"}, {"codes": f"tagA,alpha,{T},"}, None),
    ("a code with other letters", {}, {"tag": "taga"}, {"codes": f"tagA,alpha,{T},"}, None),
    ("a fee rate of the line's product", {}, {}, {"fee_rates": f"okx,1,spot,taker,-0.001,{T}"}, "fee_rates.csv row 2"),
    ("a fee rate of another product", {}, {}, {"fee_rates": f"okx,1,futures,taker,-0.001,{T}"}, None),
    ("a fee rate of the other side", {}, {}, {"fee_rates": f"okx,1,spot,maker,-0.001,{T}"}, None),
    ("a share of the line's broker", {"brokers": BROKERS}, {"broker": "alpha-1"}, {"brokers": f"alpha-1,A1,api,alpha,0.5,active,{T},,,"}, "brokers.csv row 2"),
    ("a share that is written otherwise", {"brokers": BROKERS}, {"broker": "alpha-1"}, {"brokers": f"alpha-1,New name,api,alpha,0.40,active,{T},,,"}, None),
    ("the status of an ancestor", {"brokers": BROKERS}, {"broker": "alpha-1"}, {"brokers": f"alpha,A,api,,,suspended,{QUARTER},,,"}, "brokers.csv row 2"),
    ("the status of somebody else's broker", {"brokers": BROKERS}, {"broker": "alpha-1"}, {"brokers": f"beta,B,api,,,suspended,{QUARTER},,,"}, None),
    ("a name and an address, on which nothing stands", {"brokers": BROKERS}, {}, {"brokers": f"alpha,New,oauth,,,active,{T},,,0xA"}, None),
    ("a tier of an ancestor", {"brokers": BROKERS}, {"broker": "alpha-1"}, {"tiers": f"alpha,T3,{T},,"}, "tiers.csv row 2"),
    ("a tier, on which no excluded line stands", {"brokers": BROKERS}, {"broker": "alpha-1", "status": "excluded"}, {"tiers": f"alpha,T3,{T},,"}, None),
    ("a rate of the root's own", {}, {"broker": "alpha-1", "root": "alpha"}, {"overrides": f"alpha,rate,,,0.3,{T},,"}, "overrides.csv row 2"),
    ("a rate of its own for the line's product and liquidity", {}, {"root": "alpha"}, {"overrides": f"alpha,cap,,,5,{AFTER},,\nalpha,rate,spot,taker,0.3,{QUARTER},,"}, "overrides.csv row 3"),
    ("a rate of its own for another product", {}, {"root": "alpha"}, {"overrides": f"alpha,rate,futures,,0.3,{T},,"}, None),
    ("a rate of its own for the other side", {}, {"root": "alpha"}, {"overrides": f"alpha,rate,spot,maker,0.3,{T},,"}, None),
    ("a rate of its own from after the fill on", {}, {"root": "alpha"}, {"overrides": f"alpha,rate,,,0.3,{THREE_QUARTERS},,"}, None),
    ("a rate of its own that ended before", {}, {"root": "alpha"}, {"overrides": f"alpha,rate,,,0.3,{T},{QUARTER},"}, None),
    ("an end of its own rate", {"overrides": f"alpha,rate,,,0.3,{T},,"}, {"root": "alpha"}, {"overrides": f"alpha,rate,,,0.3,{T},{QUARTER},"}, "overrides.csv row 2"),
    ("the reason of its own rate, on which nothing stands", {"overrides": f"alpha,rate,,,0.3,{T},,"}, {"root": "alpha"}, {"overrides": f"alpha,rate,,,0.30,{T},,agreed"}, None),
    ("a rate of the broker that is no root", {}, {"broker": "alpha-1", "root": "alpha"}, {"overrides": f"alpha-1,rate,,,0.3,{T},,"}, None),
    ("a floor", {}, {"root": "alpha"}, {"overrides": f"alpha,floor,,,0.3,{T},,"}, "overrides.csv row 2"),
    ("a floor, on which no excluded line stands", {}, {"root": "alpha", "status": "excluded"}, {"overrides": f"alpha,floor,,,0.3,{T},,"}, None),
    ("a cap, which decides which lines earn", {}, {"root": "alpha", "status": "excluded"}, {"overrides": f"alpha,cap,,,500,{T},,"}, "overrides.csv row 2"),
    ("a smallest payout, on which no line stands", {}, {"root": "alpha"}, {"overrides": f"alpha,minimum_payout,,,5,{T},,"}, None),
]  # fmt: skip


@pytest.mark.parametrize("case", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_change_to_what_a_settled_line_stands_on_is_refused(
    database: Database, registry: Registry, settled_hour: SettledHour, case: Case
) -> None:
    before, line, loaded, refused = case
    if before:
        load_registry(database, registry.write(**before), act=ACT)
    bill = settled_hour.line(**line)
    loads = settled_hour.count("load")
    registry.write(**loaded)
    if refused is None:
        assert load_registry(database, registry.directory, act=ACT).load_id is not None
        return
    with pytest.raises(InputRefused) as refusal:
        load_registry(database, registry.directory, act=ACT)
    assert refusal.value.where == str(registry.directory / refused)
    assert "in the past of settled windows, first 2026-09-14T08:00Z" in refusal.value.what
    assert f"(line okx 1 {bill})" in refusal.value.what
    assert "--correction" in refusal.value.mend
    assert settled_hour.count("load") == loads


def test_a_correction_is_recorded_beside_what_it_replaces(
    database: Database, registry: Registry, settled_hour: SettledHour, standing: Rows
) -> None:
    load_registry(database, registry.write(vip_levels=f"okx,1,VIP1,{T}"), act=ACT)
    settled_hour.line()
    act = Act(loaded_by="ana", correction="the venue told us late")
    load_id = load_registry(database, registry.write(vip_levels=f"okx,1,VIP7,{T}"), act=act).load_id
    rows = standing("SELECT level, replaced_by_load FROM vip_level ORDER BY row_id")
    assert rows == [(1, load_id), (7, None)]
    recorded = standing("SELECT load_id, correction FROM load WHERE loaded_by = 'ana'")
    assert recorded == [(load_id, "the venue told us late")]
    assert not settled_hour.rechecked()  # settled lines change only through a recalculation


def test_a_line_that_a_later_revision_left_pending_does_not_refuse(
    database: Database, registry: Registry, settled_hour: SettledHour
) -> None:
    load_registry(database, registry.write(vip_levels=f"okx,1,VIP1,{T}"), act=ACT)
    bill = settled_hour.line()
    settled_hour.line(bill_id=bill, status="pending", revision=1)
    assert load_registry(database, registry.write(vip_levels=f"okx,1,VIP2,{T}"), act=ACT).load_id is not None


def test_what_pending_lines_wait_for_marks_their_window_for_a_supplementary_run(
    database: Database, registry: Registry, settled_hour: SettledHour
) -> None:
    settled_hour.line(status="pending")
    settled_hour.line()
    report = load_registry(database, registry.write(vip_levels=f"okx,1,VIP2,{T}"), act=ACT)
    assert report.windows_marked == 1
    assert settled_hour.rechecked()


def test_a_window_without_pending_lines_is_left_alone(
    database: Database, registry: Registry, settled_hour: SettledHour
) -> None:
    settled_hour.line()
    assert load_registry(database, registry.write(vip_levels=f"okx,5,VIP2,{T}"), act=ACT).windows_marked == 0


Links = dict[int, tuple[str, int | None]]
"""Five minutes of the hour at which a link begins -> its broker, and for how many times five minutes it holds."""

LINKS = st.dictionaries(
    st.integers(0, 11), st.tuples(st.sampled_from(["alpha", "beta"]), st.none() | st.integers(1, 12)), max_size=4
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=LINKS, loaded_at=st.tuples(LINKS.filter(bool), st.integers(0, 11)))
def test_it_refuses_exactly_when_what_was_in_force_at_the_fill_differs(
    database: Database, registry: Registry, settled_hour: SettledHour, before: Links, loaded_at: tuple[Links, int]
) -> None:
    loaded, at = loaded_at
    account = f"account-{settled_hour.lines}"
    if before:
        load_registry(database, registry.write(clients=links(account, before)), act=ACT)
    settled_hour.line(account=account, status="excluded", minute=at * 5 + 2)
    registry.write(clients=links(account, loaded))
    if in_force(before, at) != in_force(before | loaded, at):
        with pytest.raises(InputRefused):
            load_registry(database, registry.directory, act=ACT)
    else:
        load_registry(database, registry.directory, act=ACT)


def links(account: str, rows: Links) -> str:
    lines = []
    for begins, (broker, length) in rows.items():
        ends = "" if length is None else (HOUR + timedelta(minutes=5 * (begins + length))).isoformat()
        lines.append(f"okx,{account},{broker},{(HOUR + timedelta(minutes=5 * begins)).isoformat()},{ends},,,,")
    return "\n".join(lines)


def in_force(rows: Links, at: int) -> str | None:
    """The broker of the link in force in the five minutes from `HOUR` + 5 x `at` on."""
    begun = [begins for begins in rows if begins <= at]
    if not begun:
        return None
    broker, length = rows[max(begun)]
    return broker if length is None or at < max(begun) + length else None
