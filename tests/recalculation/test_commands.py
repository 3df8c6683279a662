"""`settlement recalc` as somebody types it."""

from __future__ import annotations

from decimal import Decimal

from tests.cli.conftest import Settlement
from tests.recalculation.desk import LONG_AGO, Desk

RANGE = ("--from", "2026-03-01T06:00Z", "--to", "2026-03-01T10:00Z")
WRONG_LEVEL = f"okx,4,6,{LONG_AGO}"


def planned(settlement: Settlement, *options: str) -> str:
    """What planning the whole range as Anna prints."""
    ran = settlement("recalc", "plan", *RANGE, "--reason", "a level was wrong", "--by", "anna", *options)
    assert ran.code == 0, ran.err
    return ran.out


def test_a_plan_is_made_looked_at_approved_and_posted_once(settlement: Settlement, desk: Desk) -> None:
    desk.correct("vip_levels.csv", WRONG_LEVEL)
    settled = desk.books()
    said = planned(settlement)
    assert "plan 1 is planned: a level was wrong" in said
    assert "4 of 4 windows planned, 1,440 fills compared: 240 lines change, commission by -" in said
    assert "next, by somebody else: settlement recalc approve 1 --by NAME" in said
    assert settlement("recalc", "show", "1").out == said
    assert desk.books() == settled

    approved = settlement("recalc", "approve", "1", "--by", "bert")
    assert approved.out == "plan 1 is approved by bert; next: settlement recalc apply 1\n"
    applied = settlement("recalc", "apply", "1", "--by", "carl")
    assert applied.out.startswith("plan 1 is applied by carl at 20")
    corrected = desk.books()
    assert corrected != settled
    assert settlement("recalc", "apply", "1", "--by", "dora").out == applied.out
    assert desk.books() == corrected
    listed = settlement("recalc", "list").out
    assert listed.splitlines() == [
        "1  applied    2026-03-01T06:00Z to 2026-03-01T10:00Z  anna: a level was wrong",
        "1 plans",
    ]


def test_the_document_has_every_difference_and_sums_to_what_is_posted(settlement: Settlement, desk: Desk) -> None:
    desk.correct("vip_levels.csv", WRONG_LEVEL)
    planned(settlement)
    document = settlement("recalc", "show", "1", "--json").json
    assert document["moves"] == [
        {
            "from_status": "earned",
            "from_reason": "",
            "to_status": "excluded",
            "to_reason": "VIP_EXCLUDED",
            "lines": 240,
            "commission_usdt": document["commission_usdt"],
        }
    ]
    settlement("recalc", "approve", "1", "--by", "bert")
    settlement("recalc", "apply", "1", "--by", "carl")
    [[booked]] = desk.rows("""
        SELECT -sum(amount_usdt) FROM entry JOIN posting USING (entry_id)
        WHERE kind = 'correction' AND direction = 'debit'""")
    assert [(row["payee"], Decimal(row["amount_usdt"])) for row in document["payees"]] == [("delta", booked)]


def test_a_line_that_comes_to_the_same_but_for_its_shares_says_so(settlement: Settlement, desk: Desk) -> None:
    desk.correct("clients.csv", f"okx,1,alpha,{LONG_AGO},,false,,0.1")
    said = planned(settlement)
    assert "240 lines change, commission by 0 USDT" in said
    assert "the same, but for its flags, grounds or shares" in said


def test_each_refusal_names_the_plan_and_the_mend(settlement: Settlement, desk: Desk) -> None:
    desk.correct("vip_levels.csv", WRONG_LEVEL)
    planned(settlement)
    assert desk.rows("INSERT INTO settlement_window (window_start) VALUES ('2026-03-01T10:00Z') RETURNING 1")
    refused = {
        "same": settlement("recalc", "approve", "1", "--by", "anna"),
        "early": settlement("recalc", "apply", "1"),
        "unknown": settlement("recalc", "show", "99"),
        "open": settlement(
            "recalc", "plan", "--from", "2026-03-01T06:00Z", "--to", "2026-03-01T11:00Z", "--reason", "x"
        ),
    }
    assert {ran.code for ran in refused.values()} == {1}
    assert refused["same"].err.startswith("settlement: plan 1: anna planned it and cannot approve it")
    assert "it has to be approved first" in refused["early"].err
    assert "there is no recalculation plan 99" in refused["unknown"].err
    assert "window 2026-03-01T10:00:00+00:00 is open; recalculate settled windows only" in refused["open"].err

    settlement("recalc", "approve", "1", "--by", "bert")
    desk.correct("vip_levels.csv", f"okx,3,6,{LONG_AGO}")
    changed = settlement("recalc", "apply", "1")
    assert changed.code == 1
    assert "plan 1: what it was planned from has changed since: vip_level (by " in changed.err
    assert settlement("recalc", "cancel", "1", "--by", "bert").out.startswith("plan 1 is cancelled by bert")
    assert settlement("recalc", "apply", "1").err.startswith(
        "settlement: plan 1: it is cancelled and cannot be applied"
    )
