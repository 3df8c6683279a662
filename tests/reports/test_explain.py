"""Explanations: every step of a line with its rule, its numbers, its inputs, and the entries that hold it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from settlement.errors import Refused
from settlement.reports.explain import explain
from settlement.reports.explain_words import in_words
from settlement.rules.reasons import Reason
from settlement.store.database import Database

Row = dict[str, Any]

LINES = """
SELECT l.venue, l.account, l.bill_id, b.reason, b.status, f.fee_currency, cardinality(s.payees) AS payees, b.flags
FROM current_line l JOIN basis b USING (basis_id) LEFT JOIN split s USING (split_id) JOIN fill f USING (venue, account, bill_id)
ORDER BY l.venue, l.account, l.bill_id
"""


@pytest.fixture(scope="module")
def lines(settled: Database) -> list[Row]:
    with settled.transaction() as connection:
        return [dict(row) for row in connection.execute(text(LINES)).mappings()]


def test_every_reason_stops_at_its_own_check(settled: Database, lines: list[Row]) -> None:
    of_reason = {line["reason"]: line for line in lines if line["reason"]}
    assert len(of_reason) >= 12
    for reason, line in of_reason.items():
        checks = _explain(settled, line)["steps"][1]["checks"]
        assert [check["reason"] for check in checks] == [one.name for one in Reason if one is not Reason.EARNED]
        verdicts = [check["verdict"] for check in checks]
        stop = verdicts.index("applies")
        assert checks[stop]["reason"] == reason
        assert verdicts == ["passed"] * stop + ["applies"] + ["not reached"] * (15 - stop)
        assert all(check["why"] for check in checks[: stop + 1])


def test_the_rules_give_the_stored_line_again(settled: Database, lines: list[Row]) -> None:
    for line in lines[::60]:
        assert _explain(settled, line)["differences"] == []


def test_an_earned_line_is_shown_from_fill_to_payout(settled: Database, lines: list[Row]) -> None:
    line = next(one for one in lines if one["payees"] == 3 and one["fee_currency"] == "BTC")
    document = _explain(settled, line)
    assert [step["step"] for step in document["steps"]] == [
        "attribution", "eligibility", "valuation", "notional", "rating", "split",
    ]  # fmt: skip
    valuation, rating, split = document["steps"][2], document["steps"][4], document["steps"][5]
    assert Decimal(valuation["net_fee"]) == -Decimal(document["fill"]["fee"])
    exact = Decimal(valuation["net_fee"]) * Decimal(valuation["price_usdt"])
    assert Decimal(valuation["net_fee_usdt"]) == exact.quantize(Decimal("1e-12"))
    assert Decimal(document["line"]["commission_usdt"]) == Decimal(rating["commission_usdt"])
    assert [share["payee"] for share in document["shares"]] == [share["payee"] for share in split["shares"]]
    assert sum(Decimal(share["amount_usdt"]) for share in document["shares"]) == Decimal(rating["commission_usdt"])
    held = {entry["payee"]: entry["of_this_line_usdt"] for entry in document["entries"]}
    assert held == {share["payee"]: share["amount_usdt"] for share in document["shares"]}
    assert all(len(entry["hash"]) == 64 for entry in document["entries"])


def test_the_payout_of_a_share_is_the_one_that_its_own_run_instructed(settled: Database) -> None:
    query = text("""
        SELECT DISTINCT ON (payout_id) payout_id, p.payee, s.venue, s.account, s.bill_id
        FROM payout p JOIN line USING (run_id) JOIN line_share s USING (venue, account, bill_id, revision)
        WHERE s.payee = p.payee ORDER BY payout_id, s.bill_id""")
    with settled.transaction() as connection:
        instructed = [dict(row) for row in connection.execute(query).mappings()]
    assert instructed
    for share in instructed:
        told = {payout["payee"]: payout["payout_id"] for payout in _explain(settled, share)["payouts"]}
        assert told[share["payee"]] == share["payout_id"]


def test_every_input_names_its_version(settled: Database, lines: list[Row]) -> None:
    document = _explain(
        settled, next(one for one in lines if one["status"] == "earned" and one["fee_currency"] == "ETH")
    )
    inputs = [version for step in document["steps"] for version in step["inputs"]]
    inputs += [version for check in document["steps"][1]["checks"] for version in check["inputs"]]
    assert {version["table"] for version in inputs} >= {"client_link", "broker", "vip_level", "price", "program_terms"}
    assert all(version["row"] and version["load_id"] and version["file"] for version in inputs)


def test_a_tag_that_overrides_the_link_is_told(settled: Database, lines: list[Row]) -> None:
    line = next(one for one in lines if one["flags"] == "TAG_OVERRIDES_LINK")
    says = _explain(settled, line)["steps"][0]["says"]
    assert "they differ: the tag wins (TAG_OVERRIDES_LINK)" in says


def test_the_document_is_plain_json(settled: Database, lines: list[Row]) -> None:
    document = _explain(settled, lines[0])
    assert json.loads(json.dumps(document)) == document
    assert not any(isinstance(value, float) for value in _leaves(document))


def test_words_tell_the_same(settled: Database, lines: list[Row]) -> None:
    line = next(one for one in lines if one["status"] == "earned")
    document = _explain(settled, line)
    told = "\n".join(in_words(document))
    for value in (line["bill_id"], document["line"]["commission_usdt"], document["entries"][0]["hash"]):
        assert value in told


def test_a_fill_that_is_not_settled_yet_is_shown_with_what_the_rules_say(settled: Database) -> None:
    query = text("SELECT venue, account, bill_id FROM fill WHERE executed_at >= '2026-03-02T15:00Z' LIMIT 1")
    with settled.transaction() as connection:
        fill = dict(connection.execute(query).mappings().one())
    document = _explain(settled, fill)
    assert document["line"] is None
    assert document["window"]["status"] == "open"
    assert any("no line yet" in line for line in in_words(document))


def test_a_fill_in_quarantine_is_refused_with_its_place(settled: Database) -> None:
    with settled.transaction() as connection:
        raw = connection.scalar(text("SELECT raw FROM quarantine WHERE kind = 'bad_row' AND reason LIKE 'side%'"))
    values = dict(part.split("=", 1) for part in raw.split() if "=" in part)
    with pytest.raises(Refused, match=r"in quarantine: side .* \(row \d+ of gateway-20260302-18.csv, bad row\)"):
        _explain(settled, values)


def test_a_fill_that_was_contradicted_says_where(settled: Database) -> None:
    with settled.transaction() as connection:
        raw = connection.scalar(text("SELECT raw FROM quarantine WHERE kind = 'conflict' LIMIT 1"))
        query = text("SELECT venue, account, bill_id FROM fill WHERE position(bill_id IN :raw) > 0")
        fill = dict(connection.execute(query, {"raw": raw}).mappings().one())
    document = _explain(settled, fill)
    assert [conflict["file"] for conflict in document["conflicts"]] == ["gateway-20260302-18.csv"]


def test_a_fill_that_nobody_sent_is_refused(settled: Database) -> None:
    with pytest.raises(Refused, match="no such fill is stored"):
        _explain(settled, {"venue": "okx", "account": "900000000001", "bill_id": "900000000002"})


def test_what_is_loaded_later_does_not_change_the_explanation(settled: Database, lines: list[Row]) -> None:
    line = next(one for one in lines if one["status"] == "earned" and one["fee_currency"] == "ETH")
    before = _explain(settled, line)
    with settled.engine.connect() as connection:
        connection.execute(
            text(
                "INSERT INTO load (kind, source, loaded_by, loaded_at) VALUES ('prices', 'later', 'test', clock_timestamp())"
            )
        )
        insert = "INSERT INTO price (currency, ts, price_usdt, load_id) SELECT 'ETH', :ts, 1, max(load_id) FROM load"
        connection.execute(text(insert), {"ts": before["fill"]["executed_at"]})
        assert explain(connection, line["venue"], line["account"], line["bill_id"]) == before
        connection.rollback()


def _explain(database: Database, line: Row) -> Row:
    with database.transaction() as connection:
        return explain(connection, line["venue"], line["account"], line["bill_id"])


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in _leaves(one)]
    if isinstance(value, list):
        return [leaf for one in value for leaf in _leaves(one)]
    return [value]
