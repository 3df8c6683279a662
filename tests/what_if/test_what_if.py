"""What is asked, what comes out, and that the books stay as they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from settlement.errors import InputRefused, Refused
from settlement.pipeline.sweep import SimulateTerms, Step, sweep
from settlement.pipeline.what_if import STRETCH_FILLS, stretches
from settlement.pipeline.what_if_facts import AssumedFacts
from settlement.pipeline.what_if_stretches import Done, simulate_all, simulate_for, simulate_stretch
from settlement.store.lines import WINDOW
from tests.what_if.desk import Desk
from tests.workers import program

LONG_AGO = program.LONG_AGO.isoformat()
MORE = program.TERMS.replace('spot = "0.3"', 'spot = "0.45"')
LESS = program.TERMS.replace('spot = "0.3"', 'spot = "0.2"')
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_higher_rate_costs_the_operator_more_and_everybody_wins(desk: Desk) -> None:
    before = desk.everything()
    result = desk.simulate(desk.document("more", MORE))
    totals = result["totals"]
    assert result["done"]
    assert (totals["fills"], totals["lines"], totals["stands_lines"]) == (1440, 960, 960)
    assert totals["commission_usdt"] == totals["stands_commission_usdt"] * Decimal("1.5")
    assert totals["difference_usdt"] == totals["commission_usdt"] - totals["stands_commission_usdt"] > 0
    assert totals["difference_percent"] == 50
    assert [row["payee"] for row in result["winners"]] == ["delta", "beta", "gamma", "alpha"]
    assert {row["difference_percent"] for row in result["winners"]} == {Decimal(50)}
    assert result["losers"] == result["unchanged"] == result["moves"] == []
    assert sum(row["difference_usdt"] for row in result["winners"]) == totals["difference_usdt"]
    assert [(row["root"], row["broker_id"]) for row in result["brokers"]] == [
        ("alpha", "alpha"), ("beta", "beta"), ("beta", "gamma"), ("delta", "delta"),
    ]  # fmt: skip
    assert [row["tier"] for row in result["tiers"]] == ["T1"]
    assert desk.everything() == before


def test_the_terms_that_stand_change_nothing(desk: Desk) -> None:
    result = desk.simulate("test")
    assert result["totals"]["difference_usdt"] == 0
    assert result["winners"] == result["losers"] == result["moves"] == []
    assert [row["payee"] for row in result["unchanged"]] == ["alpha", "beta", "delta", "gamma"]


def test_a_single_document_is_in_force_for_the_whole_range_and_says_so(desk: Desk) -> None:
    late = MORE.replace("2025-01-01", "2030-01-01")
    result = desk.simulate(desk.document("late", late))
    assert result["totals"]["difference_percent"] == 50
    assert "it begins at 2030-01-01T00:00:00+00:00 is disregarded" in result["notes"][0]


def test_several_documents_take_over_from_each_other_by_their_dates(desk: Desk) -> None:
    takes_over = (program.FIRST + 2 * WINDOW).isoformat()
    later = LESS.replace("2025-01-01T00:00:00Z", takes_over)
    result = desk.simulate("test", desk.document("later", later))
    first = desk.simulate("test", end=program.FIRST + 2 * WINDOW)
    second = desk.simulate(desk.document("less", LESS), start=program.FIRST + 2 * WINDOW)
    assert (
        result["totals"]["commission_usdt"] == first["totals"]["commission_usdt"] + second["totals"]["commission_usdt"]
    )
    assert result["notes"] == []


def test_a_broker_is_looked_at_with_those_below_it(desk: Desk) -> None:
    beta = desk.simulate(desk.document("more", MORE), broker="beta")
    assert beta["totals"]["fills"] == 480
    assert {row["broker_id"] for row in beta["brokers"]} == {"beta", "gamma"}
    gamma = desk.simulate(desk.document("more", MORE), broker="gamma")
    assert gamma["totals"]["fills"] == 240
    assert {row["payee"] for row in gamma["winners"]} == {"beta", "gamma"}
    assert [row["broker_id"] for row in gamma["brokers"]] == ["gamma"]


def test_a_share_that_had_been_another_moves_money_from_one_to_the_other(desk: Desk) -> None:
    registry = desk.registry(brokers=[f"gamma,Gamma,api,beta,0.75,active,{LONG_AGO},"])
    result = desk.simulate("test", registry=registry)
    (winner,), (loser,) = result["winners"], result["losers"]
    assert (winner["payee"], loser["payee"]) == ("gamma", "beta")
    assert winner["difference_usdt"] == -loser["difference_usdt"] > 0
    assert winner["difference_percent"] == 50
    assert result["totals"]["difference_usdt"] == 0


def test_a_client_that_had_been_somebody_elses_moves_with_its_lines(desk: Desk) -> None:
    result = desk.simulate("test", registry=desk.registry(clients=[f"okx,5,delta,{LONG_AGO},,,,"]), broker="delta")
    assert result["moves"] == [
        {
            "from_status": "excluded",
            "from_reason": "UNATTRIBUTED",
            "to_status": "earned",
            "to_reason": "",
            "lines": 240,
            "commission_usdt": result["totals"]["difference_usdt"],
        }
    ]
    assert {(row["reason"], row["difference"]) for row in result["reasons"]} == {("", 240), ("UNATTRIBUTED", -240)}


def test_windows_that_were_never_settled_stand_at_nothing(desk: Desk) -> None:
    desk.execute("SELECT ensure_partitions('fill', '2026-03-02', '2026-03-02')")
    desk.execute("""INSERT INTO fill (venue, account, bill_id, instrument, instrument_type, side, liquidity, price, size,
        fee, fee_currency, executed_at, channel, load_id) SELECT venue, account, 'new-' || bill_id, instrument,
        instrument_type, side, liquidity, price, size, fee, fee_currency, executed_at + interval '1 day', channel, 1 FROM fill
        WHERE executed_at < '2026-03-01 07:00Z'""")
    desk.execute("INSERT INTO settlement_window (window_start) VALUES ('2026-03-02 06:00Z')")
    result = desk.simulate("test", end=program.FIRST + timedelta(days=2))
    assert result["totals"]["windows_unsettled"] == 1
    assert result["totals"]["lines"] == result["totals"]["stands_lines"] + 240
    assert {(row["from_status"], row["to_status"]) for row in result["moves"]} == {("", "earned"), ("", "excluded")}


def test_facts_are_as_they_were_known_then(desk: Desk) -> None:
    ((then,),) = desk.rows("SELECT clock_timestamp()")
    desk.execute("INSERT INTO load (kind, source, loaded_by) VALUES ('registry', 'test', 'test')")
    desk.execute("UPDATE vip_level SET replaced_by_load = 2 WHERE account = '4'")
    desk.execute("""INSERT INTO vip_level (venue, account, level, effective_from, load_id)
        VALUES ('okx', '4', 9, '2025-01-01Z', 2)""")
    assert desk.simulate("test", as_of=then)["totals"]["difference_usdt"] == 0
    now = desk.simulate("test")
    assert [row["payee"] for row in now["losers"]] == ["delta"]


def test_overrides_of_tiers_stay_in_force_unless_they_are_ignored(desk: Desk) -> None:
    desk.execute("""INSERT INTO tier_override (broker_id, tier, effective_from, load_id)
        VALUES ('alpha', 'T9', '2025-01-01Z', 1)""")
    beaten = desk.simulate("test")
    assert {row["to_reason"] for row in beaten["moves"]} == {"TIER_UNKNOWN"}
    assert "alpha has tier T9 by an override, which the terms do not have" in beaten["notes"][1]
    ignored = desk.simulate("test", ignore_overrides=True)
    assert ignored["moves"] == []
    assert "overrides of tiers are ignored" in ignored["notes"]


def test_a_root_begins_with_the_tier_of_its_review_if_the_terms_have_it(desk: Desk) -> None:
    for root, tier in (("alpha", "T2"), ("beta", "gone")):
        desk.execute(
            """INSERT INTO tier_review (broker_id, tier, effective_from, volume_usdt, clients)
            VALUES (:root, :tier, '2026-03-01Z', 0, 0)""", root=root, tier=tier,
        )  # fmt: skip
    second = '[[tiers]]\nname = "T2"\nmin_volume = "5"\nmin_clients = 0\nrates = { spot = "0.4", futures = "0.2", options = "0.1" }\n'
    result = desk.simulate(desk.document("two", program.TERMS + second))
    assert [(row["broker_id"], row["tier"], row["volume_usdt"]) for row in result["reviews"]] == [("alpha", "T2", None)]
    assert [row["payee"] for row in result["winners"]] == ["alpha"]


def test_windows_go_into_stretches_of_six_hours_and_a_million_fills() -> None:
    quiet = [(MIDNIGHT + number * WINDOW, 10) for number in range(24)]
    assert [(start.hour, end.hour) for start, end in stretches(quiet)] == [(0, 6), (6, 12), (12, 18), (18, 0)]
    busy = [(start, STRETCH_FILLS // 2) for start, _ in quiet[:5]]
    assert [(start.hour, end.hour) for start, end in stretches(busy)] == [(0, 2), (2, 4), (4, 5)]
    unknown = [(start, None) for start, _ in quiet[:3]]
    assert len(stretches(unknown)) == 3


def test_a_stretch_is_settled_once_and_the_slices_of_workers_share_them(desk: Desk) -> None:
    what_if_id = desk.asked(desk.document("more", MORE))
    cache = AssumedFacts()
    assert simulate_for(desk.database, what_if_id, seconds=0, cache=cache) == 1
    assert simulate_stretch(desk.database, what_if_id, program.FIRST, cache=cache) is Done.STRETCH
    assert simulate_stretch(desk.database, what_if_id, program.FIRST, cache=cache) is Done.NOTHING
    assert simulate_for(desk.database, what_if_id, seconds=60, cache=cache) == 0
    simulate_all(desk.database, what_if_id)
    assert desk.result(what_if_id)["totals"]["difference_percent"] == 50


def test_the_sweep_hands_over_what_nobody_is_at_and_drops_it_after_a_day(desk: Desk) -> None:
    what_if_id = desk.asked("test")
    now, steps = datetime.now(UTC), list[Step]()
    sweep(desk.database, now=now, hand_over=steps.append, room=0)
    assert SimulateTerms(what_if_id) not in steps
    sweep(desk.database, now=now + timedelta(minutes=1), hand_over=steps.append, room=0)
    assert SimulateTerms(what_if_id) in steps
    simulate_all(desk.database, what_if_id)
    assert desk.rows("SELECT count(*) FROM what_if_activity") == [(0,)]
    steps.clear()
    sweep(desk.database, now=now + timedelta(hours=23), hand_over=steps.append, room=0)
    assert SimulateTerms(what_if_id) not in steps
    assert desk.result(what_if_id)["done"]
    sweep(desk.database, now=now + timedelta(hours=25), hand_over=steps.append, room=0)
    assert desk.rows("SELECT count(*) FROM what_if_sum UNION SELECT count(*) FROM what_if_stretch") == [(0,)]
    with pytest.raises(Refused, match=f"there is no what-if {what_if_id}; it is kept for a day"):
        desk.result(what_if_id)


def test_what_cannot_be_asked_is_refused(desk: Desk) -> None:
    more = desk.document("more", MORE)
    with pytest.raises(Refused, match="there are no fills in this range"):
        desk.asked(more, start=program.FIRST - 9 * WINDOW, end=program.FIRST)
    with pytest.raises(Refused, match="no broker 'omega' is registered"):
        desk.asked(more, broker="omega")
    with pytest.raises(Refused, match="that time has not come"):
        desk.asked(more, as_of=datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(InputRefused, match=r"the same effective_from as .*more"):
        desk.asked(more, desk.document("less", LESS))
    late = desk.document("late", LESS.replace("2025-01-01", "2026-03-02"))
    later = desk.document("later", LESS.replace("2025-01-01", "2026-03-03"))
    with pytest.raises(InputRefused, match="no terms are in force from 2026-03-01T06:00"):
        desk.asked(late, later)
    with pytest.raises(InputRefused, match="entry_tier 'T0' is not a tier"):
        desk.asked(desk.document("faulty", MORE.replace('entry_tier = "T1"', 'entry_tier = "T0"')))
    assert desk.rows("SELECT count(*) FROM what_if") == [(0,)]


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ("beta,Beta,api,gamma,0.5,active,2025-01-01T00:00:00Z,", "brokers.csv row 2: brokers form a cycle"),
        ("gamma,Gamma,api,beta,1.5,active,2025-01-01T00:00:00Z,", "brokers.csv row 2: share is outside 0..1"),
        ("gamma,Gamma,fax,beta,0.5,active,2025-01-01T00:00:00Z,", "brokers.csv row 2: model"),
        ("gamma,Gamma,api,beta,,active,2025-01-01T00:00:00Z,", "brokers.csv row 2: a sub-broker without share"),
    ],
)
def test_faulty_rows_are_refused_with_their_file_and_row(desk: Desk, row: str, refusal: str) -> None:
    with pytest.raises(InputRefused, match=refusal):
        desk.asked("test", registry=desk.registry(brokers=[row]))


def test_a_broker_that_nobody_knows_is_named_and_its_fills_are_excluded(desk: Desk) -> None:
    result = desk.simulate("test", registry=desk.registry(clients=[f"okx,1,omega,{LONG_AGO},,,,"]))
    assert "clients.csv: broker 'omega' has no row in brokers.csv" in result["notes"][2]
    assert [(row["to_reason"], row["lines"]) for row in result["moves"]] == [("BROKER_INACTIVE", 240)]
