"""A correction posted: what changes, where it is booked, and what must not change."""

from __future__ import annotations

from decimal import Decimal

from tests.recalculation.desk import LONG_AGO, Desk


def test_nothing_changed_posts_nothing(desk: Desk) -> None:
    before = desk.books()
    applied = desk.recalculate()
    assert applied.status == "applied"
    assert desk.rows("SELECT count(*) FROM run WHERE kind = 'recalculation'") == [(0,)]
    assert desk.books() == before


def test_a_corrected_level_takes_back_what_was_earned_and_dates_it_to_its_windows(desk: Desk) -> None:
    before = dict(desk.books()["owed"])
    desk.correct("vip_levels.csv", f"okx,4,6,{LONG_AGO}")
    plan_id = desk.plan()
    planned = desk.parts(plan_id)
    assert planned["moves"] == [
        {
            "from_status": "earned",
            "from_reason": "",
            "to_status": "excluded",
            "to_reason": "VIP_EXCLUDED",
            "lines": 240,
            "commission_usdt": -before["delta"],
        }
    ]
    assert planned["payees"] == [{"payee": "delta", "amount_usdt": -before["delta"], "windows": 4}]
    assert len(planned["top_lines"]) == 20
    assert desk.rows("SELECT count(*) FROM run WHERE kind = 'recalculation'") == [(0,)]

    applied = desk.recalculate()
    assert applied.status == "applied"
    assert dict(desk.books()["owed"]) == {payee: owed for payee, owed in before.items() if payee != "delta"}
    corrections = desk.rows("""
        SELECT effective_at = window_start, direction, chain FROM entry JOIN posting USING (entry_id) JOIN run USING (run_id)
        WHERE entry.kind = 'correction' AND account = 'payee:delta:payable'""")
    assert corrections == [(True, "debit", "delta")] * 4
    assert desk.verify() == []


def test_what_was_paid_too_much_is_netted_off_by_what_is_earned_later(desk: Desk) -> None:
    desk.correct("vip_levels.csv", f"okx,4,6,{LONG_AGO}")
    desk.recalculate()
    [(payable,)] = desk.rows("SELECT sum(balance_usdt) FROM balance WHERE account = 'payee:delta:payable'")
    assert payable < Decimal(0)
    desk.correct("vip_levels.csv", f"okx,4,2,{LONG_AGO}")
    desk.recalculate()
    [(payable,)] = desk.rows("SELECT sum(balance_usdt) FROM balance WHERE account = 'payee:delta:payable'")
    assert Decimal(0) <= payable < Decimal("0.01")
    assert desk.verify() == []


def test_a_client_who_was_linked_to_the_wrong_tree_moves_with_all_his_lines(desk: Desk) -> None:
    before = desk.books()
    desk.correct("clients.csv", f"okx,1,gamma,{LONG_AGO},,,,")
    desk.recalculate()
    after = desk.books()
    owed_before, owed = dict(before["owed"]), dict(after["owed"])
    assert owed_before["alpha"] == owed["beta"] - owed_before["beta"] + owed["gamma"] - owed_before["gamma"]
    assert "alpha" not in owed
    assert desk.rows("SELECT DISTINCT chain FROM entry WHERE kind = 'correction' ORDER BY 1") == [("alpha",), ("beta",)]
    assert desk.verify() == []


def test_reversing_a_correction_restores_the_books(desk: Desk) -> None:
    before = desk.books()
    desk.correct("clients.csv", f"okx,1,gamma,{LONG_AGO},,,,0.25")
    desk.recalculate()
    assert desk.books() != before
    desk.correct("clients.csv", f"okx,1,alpha,{LONG_AGO},,,,")
    desk.recalculate()
    assert desk.books() == before
    assert desk.verify() == []


def test_only_the_lines_of_the_broker_that_was_asked_for_change(desk: Desk) -> None:
    before = desk.books()
    desk.correct("vip_levels.csv", f"okx,4,6,{LONG_AGO}", f"okx,3,6,{LONG_AGO}")
    desk.recalculate(broker="gamma")
    changed = {line[5] for line in set(desk.books()["lines"]) - set(before["lines"])}
    assert changed == {"gamma"}
    desk.recalculate()
    assert desk.verify() == []


def test_what_is_not_settled_waits_for_its_supplementary_run(desk: Desk) -> None:
    desk.late_fill("pending", account="9")
    desk.correct("clients.csv", f"okx,9,alpha,{LONG_AGO},,,,", correction=None)
    desk.settle()
    desk.correct("vip_levels.csv", f"okx,4,6,{LONG_AGO}", f"okx,9,1,{LONG_AGO}")
    desk.late_fill("late")
    desk.recalculate()
    of_both = "SELECT bill_id, kind, status FROM current_line JOIN basis USING (basis_id) JOIN run USING (run_id)"
    assert desk.rows(f"{of_both} WHERE bill_id IN ('late', 'pending')") == [("pending", "supplementary", "pending")]
    desk.settle()
    assert sorted(desk.rows(f"{of_both} WHERE bill_id IN ('late', 'pending')")) == [
        ("late", "supplementary", "earned"),
        ("pending", "supplementary", "earned"),
    ]
    assert desk.verify() == []


def test_a_fill_that_arrives_while_a_plan_is_posted_changes_nothing_of_what_was_approved(desk: Desk) -> None:
    desk.correct("vip_levels.csv", f"okx,2,6,{LONG_AGO}", "okx,2,1,2026-03-01T06:20:00Z")
    plan_id = desk.plan()
    shards = desk.open_runs(plan_id)
    desk.late_fill("late", account="2", executed_at="2026-03-01T06:30:00Z")
    desk.post(shards)
    approved = desk.rows("SELECT payee, sum(amount_usdt) FROM recalculation_payee GROUP BY payee ORDER BY payee")
    posted = desk.rows("""
        SELECT payee, sum(CASE direction WHEN 'credit' THEN amount_usdt ELSE -amount_usdt END)
        FROM entry JOIN posting USING (entry_id) JOIN ledger_account USING (account)
        WHERE kind = 'correction' AND payee IS NOT NULL GROUP BY payee ORDER BY payee""")
    assert posted == approved
    assert desk.rows("SELECT count(*) FROM line WHERE bill_id = 'late'") == [(0,)]
    desk.settle()
    assert desk.rows("SELECT kind FROM line JOIN run USING (run_id) WHERE bill_id = 'late'") == [("supplementary",)]
    assert desk.verify() == []


def test_a_pending_line_follows_what_is_loaded_while_a_plan_is_posted(desk: Desk) -> None:
    desk.late_fill("pending", account="9")
    desk.correct("clients.csv", f"okx,9,alpha,{LONG_AGO},,,,", correction=None)
    desk.settle()
    desk.correct("vip_levels.csv", f"okx,4,6,{LONG_AGO}", f"okx,9,1,{LONG_AGO}")
    plan_id = desk.plan()
    shards = desk.open_runs(plan_id)
    desk.correct("clients.csv", f"okx,9,beta,{LONG_AGO},,,,", correction=None)
    desk.post(shards)
    desk.settle()
    assert desk.rows("SELECT root, status FROM current_line JOIN basis USING (basis_id) WHERE bill_id = 'pending'") == [
        ("beta", "earned")
    ]
    assert desk.verify() == []
