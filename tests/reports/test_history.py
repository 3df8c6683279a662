"""A line's history: every version, which run recorded it, and why it came about."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from settlement.errors import Refused
from settlement.pipeline.audit import verify_ledger
from settlement.pipeline.settle import open_run, settle_shard, settle_window
from settlement.reports.explain import explain
from settlement.reports.history import history
from settlement.reports.history_words import in_words
from settlement.store.database import Database
from tests.reports.story import (
    AGO,
    CHAPTERS,
    FIRST,
    WINDOWS,
    Told,
    clock,
    load,
    now,
    recalculation,
)

Document = dict[str, Any]


@pytest.fixture
def begun(database: Database) -> Database:
    """The story's first chapter: facts and fills, nothing settled."""
    CHAPTERS["nothing is settled"](database)
    return database


def history_of(database: Database, account: str, bill_id: str) -> Document:
    with database.transaction() as connection:
        return history(connection, "okx", account, bill_id)


def words_of(document: Document) -> str:
    return "\n".join(in_words(document))


def changed(version: Document) -> dict[str, tuple[Any, Any]]:
    return {change["what"]: (change["from"], change["to"]) for change in version["changes"]}


def moved(version: Document) -> dict[str, tuple[str, str]]:
    return {one["payee"]: (one["from_usdt"], one["to_usdt"]) for one in version["payees"]}


def test_a_line_of_the_scheduled_run_has_one_version(told: Told) -> None:
    document = history_of(told.database, "1", "1-6-1")
    (version,) = document["versions"]
    assert version["why"] == {"cause": "scheduled"}
    assert (version["revision"], version["run_id"], version["status"]) == (0, 1, "earned")
    assert moved(version) == {"alpha": ("0", version["commission_usdt"])}
    opened, recorded = (datetime.fromisoformat(version[name]) for name in ("opened_at", "recorded_at"))
    assert told.chapters["nothing is settled"].ended_at < opened < recorded
    assert recorded < told.chapters["two windows are settled"].ended_at


def test_a_late_fill_says_what_brought_it_and_when_its_window_was_settled(told: Told) -> None:
    document = history_of(told.database, "1", "late")
    (version,) = document["versions"]
    why = version["why"]
    assert (version["run_kind"], why["cause"]) == ("supplementary", "late fill")
    assert why["arrived"]["file"] == document["fill"]["file"] == "late.csv"
    assert datetime.fromisoformat(why["after"]["settled_at"]) < datetime.fromisoformat(why["arrived"]["loaded_at"])
    arrived = why["arrived"]
    said = f"a late fill: it came with load {arrived['load_id']} (late.csv) at {arrived['loaded_at']}, after its window"
    assert f"{said} was settled at {why['after']['settled_at']}" in words_of(document)


def test_a_pending_line_that_is_resolved_names_the_fact_that_was_missing(told: Told) -> None:
    pending, earned, _ = history_of(told.database, "2", "2-6-1")["versions"]
    assert (pending["status"], pending["reason"], pending["payees"]) == ("pending", "VIP_UNKNOWN", [])
    assert (earned["why"]["cause"], earned["why"]["reason"]) == ("resolved", "VIP_UNKNOWN")
    (fact,) = earned["why"]["facts"]
    assert (fact["table"], fact["file"]) == ("vip_level", "first/vip_levels.csv")
    assert told.chapters["a fill comes late"].ended_at < datetime.fromisoformat(fact["loaded_at"])
    assert changed(earned)["status"] == ("pending", "earned")
    assert moved(earned) == {"beta": ("0", earned["commission_usdt"])}


def test_a_recalculated_line_names_its_plan_who_answers_for_it_and_the_row_that_was_corrected(told: Told) -> None:
    document = history_of(told.database, "2", "2-6-1")
    _, earned, excluded = document["versions"]
    plan = excluded["why"]["plan"]
    assert (plan["plan_id"], plan["reason"]) == (1, "gamma moved, and 2 is VIP 6")
    assert [plan[name] for name in ("planned_by", "approved_by", "applied_by")] == ["ana", "ben", "cleo"]
    (fact,) = excluded["why"]["facts"]
    assert (fact["table"], fact["file"]) == ("vip_level", "it is VIP 6/vip_levels.csv")
    assert fact["instead_of"] == earned["why"]["facts"][0]["row"]
    assert changed(excluded)["reason"] == ("", "VIP_EXCLUDED")
    assert changed(excluded)["commission_usdt"] == (earned["commission_usdt"], None)
    assert moved(excluded) == {"beta": (earned["commission_usdt"], "0")}
    assert f"beta: {earned['commission_usdt']} -> 0 USDT" in words_of(document)


def test_a_line_that_moves_to_another_tree_says_who_loses_and_who_gains(told: Told) -> None:
    scheduled, corrected = history_of(told.database, "3", "3-7-2")["versions"]
    assert changed(corrected) == {"root": ("beta", "alpha")}
    assert [fact["table"] for fact in corrected["why"]["facts"]] == ["broker"]
    before = {payee: to for payee, (_, to) in moved(scheduled).items()}
    assert {payee: was for payee, (was, _) in moved(corrected).items()} == {**before, "alpha": "0"}


def test_a_line_that_moved_explains_with_the_entries_of_both_trees(told: Told) -> None:
    with told.database.transaction() as connection:
        document = explain(connection, "okx", "3", "3-7-2")
    assert document["differences"] == []
    _, corrected = history_of(told.database, "3", "3-7-2")["versions"]
    booked = {
        (entry["kind"], entry["chain"], entry["payee"]): entry["of_this_line_usdt"] for entry in document["entries"]
    }
    for payee, (was, becomes) in moved(corrected).items():
        assert booked.get(("earned", "beta", payee), "0") == was == booked.get(("correction", "beta", payee), "0")
        assert booked.get(("correction", "alpha", payee), "0") == becomes
    sides = {(entry["kind"], entry["chain"]): entry["direction"] for entry in document["entries"]}
    assert sides == {("earned", "beta"): "credit", ("correction", "beta"): "debit", ("correction", "alpha"): "credit"}


def test_a_fact_that_was_ended_is_named(begun: Database) -> None:
    settle_window(begun, FIRST, now=now())
    row = f"venue,account,broker_id,effective_from,effective_to\nokx,1,alpha,{AGO},2026-02-01T00:00:00Z"
    load(begun, "clients.csv", row, correction="the link had ended")
    recalculation(begun, reason="1 was nobody's client", end=WINDOWS[1])
    document = history_of(begun, "1", "1-6-1")
    (fact,) = document["versions"][1]["why"]["facts"]
    assert (fact["table"], fact["ended"]) == ("client_link", True)
    assert changed(document["versions"][1])["reason"] == ("", "UNATTRIBUTED")
    assert f"which load {fact['load_id']} (the link had ended/clients.csv) replaced at" in words_of(document)


def test_a_tier_that_was_reviewed_late_is_named(begun: Database) -> None:
    settle_window(begun, FIRST, now=now())
    with begun.transaction() as connection:
        connection.execute(
            text("""
                INSERT INTO tier_review (broker_id, tier, effective_from, volume_usdt, clients)
                VALUES ('alpha', 'T0', '2026-03-01T00:00Z', 0, 0)
            """)
        )
    recalculation(begun, reason="the review was missing", end=WINDOWS[1])
    document = history_of(begun, "1", "1-6-1")
    (fact,) = document["versions"][1]["why"]["facts"]
    assert fact["table"] == "tier_review"
    assert changed(document["versions"][1])["reason"] == ("", "TIER_UNKNOWN")
    assert f"by tier_review row {fact['row']}, reviewed at {fact['loaded_at']}" in words_of(document)


def test_a_fill_that_a_fact_gave_to_somebody_while_its_window_was_settled_says_which(begun: Database) -> None:
    opened = open_run(begun, FIRST, now=now())
    assert opened is not None
    load(
        begun,
        "brokers.csv",
        f"broker_id,name,model,parent_id,share,status,effective_from\ndelta,Delta,api,,,active,{AGO}",
    )
    load(begun, "clients.csv", f"venue,account,broker_id,effective_from\nokx,9,delta,{AGO}")
    for root in opened.roots:
        settle_shard(begun, opened.run_id, root, now=now())
    assert history_of(begun, "9", "9-6-1")["versions"] == []
    settle_window(begun, FIRST, now=now())
    document = history_of(begun, "9", "9-6-1")
    (version,) = document["versions"]
    assert (version["why"]["cause"], version["root"]) == ("attributed later", "delta")
    assert [fact["table"] for fact in version["why"]["facts"]] == ["client_link", "broker"]
    assert "what was known when run 1 was opened left it without a line" in words_of(document)
    assert verify_ledger(begun, sample=None).ok


def test_a_fill_without_a_line_says_how_its_window_stands(told: Told) -> None:
    document = history_of(told.database, "1", "1-9-1")
    assert document["versions"] == []
    assert "no line yet: window 2026-03-01T09:00:00Z is open" in words_of(document)


def test_a_fill_that_nobody_sent_is_refused(told: Told) -> None:
    with pytest.raises(Refused, match="no such fill is stored"):
        history_of(told.database, "1", "0")


def test_the_document_is_plain_json(told: Told) -> None:
    document = history_of(told.database, "2", "2-6-1")
    assert json.loads(json.dumps(document)) == document
    assert datetime.fromisoformat(document["versions"][-1]["recorded_at"]) < clock(told.database)
