"""A tier by hand, or by file: the same path, the same refusals, the same event."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from settlement.errors import InputRefused
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act
from settlement.pipeline.override_tier import TierOverride, override_tier
from settlement.pipeline.registry_by_hand import ChangeReport, HandAct
from tests.reviews.desk import Desk
from tests.reviews.small import NOVEMBER, SMALL, START, fill

DAY = timedelta(days=1)
STANDING = """
    SELECT broker_id, tier, effective_from, effective_to, reason FROM tier_override
    WHERE replaced_by_load IS NULL ORDER BY effective_from
"""


@pytest.fixture(autouse=True)
def _founded(desk: Desk) -> None:
    desk.found(SMALL)


def give(
    desk: Desk, broker: str = "r1", tier: str = "T2", *, correction: str | None = None, **period: Any
) -> ChangeReport:
    asked = TierOverride(broker_id=broker, tier=tier, **{"begins": NOVEMBER, **period})
    return override_tier(desk.database, asked, act=HandAct(by="ana", reason="a deal", correction=correction))


def test_it_is_stored_as_a_row_of_the_file_would_be_with_who_and_why(desk: Desk) -> None:
    give(desk, ends=NOVEMBER + DAY)
    assert desk.rows(STANDING) == [("r1", "T2", NOVEMBER, NOVEMBER + DAY, "a deal")]
    assert desk.rows("SELECT loaded_by, source FROM load WHERE load_id > 1") == [("ana", "by hand: tier.override r1")]
    assert desk.rows("SELECT by, act, subject, reason FROM audit_log") == [("ana", "tier.override", "r1", "a deal")]


def test_it_is_announced_with_the_tier_that_it_takes_over_from(desk: Desk) -> None:
    give(desk)
    give(desk, tier="T1", begins=NOVEMBER + DAY)
    give(desk, tier="T1", begins=NOVEMBER + 2 * DAY)
    assert [(event["from_tier"], event["to_tier"], event["direction"], event["by"]) for event in desk.events()] == [
        ("T1", "T2", "upgrade", "override"),
        ("T2", "T1", "downgrade", "override"),
    ]


def test_the_same_beginning_again_gives_it_an_end_or_another_tier(desk: Desk) -> None:
    give(desk)
    give(desk, tier="T3", ends=NOVEMBER + DAY)
    assert desk.rows(STANDING) == [("r1", "T3", NOVEMBER, NOVEMBER + DAY, "a deal")]
    assert give(desk, tier="T3", ends=NOVEMBER + DAY).load_id is None


REFUSED = [
    ("a sub-broker", {"broker": "s1"}, "tier s1: it is under r1 at 2026-11-01T00:00:00Z, and only a root's tier is ever asked for"),
    ("nobody", {"broker": "zeta"}, "tier zeta: there is no broker zeta"),
    ("a tier of no terms", {"tier": "T9"}, "tier r1: terms drawn have no tier 'T9'; write one of T1, T2, T3"),
    ("an end before the beginning", {"ends": START}, "tier r1: effective_to is not after effective_from"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_could_have_no_effect_is_refused(desk: Desk, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        give(desk, **asked)
    assert words in str(refusal.value)
    assert (desk.rows(STANDING), desk.events()) == ([], [])


def test_the_past_of_settled_windows_changes_only_as_a_correction(desk: Desk) -> None:
    desk.trade([fill("1", "3", "10", NOVEMBER)])
    desk.settle()
    with pytest.raises(InputRefused, match="it changes r1 in the past of settled windows, first 2026-11-01T00:00Z"):
        give(desk)
    give(desk, correction="agreed upon late")
    assert desk.rows("SELECT correction FROM load WHERE load_id > 1") == [("agreed upon late",)]


def test_a_file_announces_the_overrides_of_roots_too(desk: Desk, tmp_path: Path) -> None:
    rows = "r2,T3,2026-11-01T00:00:00Z,,\nr1,T1,2026-11-01T00:00:00Z,,\ns1,T3,2026-11-01T00:00:00Z,,\n"
    (tmp_path / "tiers.csv").write_text(f"broker_id,tier,effective_from,effective_to,reason\n{rows}")
    for _ in range(2):
        load_registry(desk.database, tmp_path, act=Act(loaded_by="ana"))
    assert [(event["broker_id"], event["to_tier"]) for event in desk.events()] == [("r2", "T3")]


def test_before_there_are_terms_no_tier_can_change(desk: Desk) -> None:
    desk.execute("UPDATE program_terms SET replaced_by_load = 1")
    give(desk, tier="whatever the terms will call it")
    assert desk.events() == []
