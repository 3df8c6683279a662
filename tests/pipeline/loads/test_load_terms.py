"""Loading program terms: versions, corrections, and what settled lines were rated by."""

from __future__ import annotations

from pathlib import Path

import pytest

from settlement.errors import InputRefused
from settlement.pipeline.load_report import Act
from settlement.pipeline.load_terms import load_terms, read_document, standing_versions
from settlement.store.database import Database
from tests.pipeline.loads.settled import ACT, Rows, SettledHour

GUIDE, _ = read_document("guide")


def document(effective_from: str, *, name: str = "guide", minimum: str = "10") -> str:
    text = GUIDE.replace("2020-01-01T00:00:00Z", effective_from).replace('name = "guide"', f'name = "{name}"')
    return text.replace('minimum = "10"', f'minimum = "{minimum}"')


def load(database: Database, text: str, *, act: Act = ACT) -> int | None:
    return load_terms(database, text, source="terms.toml", act=act).load_id


def test_a_version_is_stored_with_its_document_and_only_once(database: Database, standing: Rows) -> None:
    report = load_terms(database, GUIDE, source="guide.toml", act=ACT)
    assert (report.terms.terms_id, report.terms.name) == (1, "guide")
    assert standing("SELECT document FROM program_terms") == [(GUIDE,)]
    # The same terms with other comments, layout and zeros.
    same = GUIDE.replace('"0.20"', '"0.2"').replace("# ", "## ").replace("T00:00:00Z", "T01:00:00+01:00")
    again = load_terms(database, same, source="copy.toml", act=ACT)
    assert (again.load_id, again.terms.terms_id) == (None, 1)
    assert standing("SELECT count(*) FROM load") == [(1,)]


def test_new_terms_with_a_gap_below_their_lowest_tier_are_refused_and_nothing_is_stored(
    database: Database, standing: Rows
) -> None:
    gap = document("2026-01-01T00:00:00Z").replace('min_volume = "0"', 'min_volume = "1000"')
    with pytest.raises(
        InputRefused, match=r"terms\.toml line \d+: min_volume of the lowest tier T1 is 1000: below it is a gap"
    ):
        load(database, gap)
    assert standing("SELECT count(*) FROM program_terms") == [(0,)]


def test_versions_stand_in_the_order_of_their_times(database: Database) -> None:
    for since, name in (("2026-03-01T00:00:00Z", "march"), ("2026-01-01T00:00:00Z", "january")):
        load(database, document(since, name=name))
    assert [version.name for version in standing_versions(database)] == ["january", "march"]


def test_another_document_for_the_same_instant_replaces_the_first(database: Database, standing: Rows) -> None:
    load(database, document("2026-01-01T00:00:00Z"))
    report = load_terms(database, document("2026-01-01T00:00:00Z", minimum="11"), source="terms.toml", act=ACT)
    assert report.replaced_terms_id == 1
    rows = standing("SELECT terms_id, load_id, replaced_by_load FROM program_terms ORDER BY terms_id")
    assert rows == [(1, 1, 2), (2, 2, None)]


CASES = [
    # what stands, what is loaded while a line executed at 08:30 is settled, whether that is refused
    ("other terms from before the fill on", "2026-01-01T00:00:00Z", "2026-09-14T08:15:00Z", True),
    ("other terms from the fill on", "2026-01-01T00:00:00Z", "2026-09-14T08:30:00Z", True),
    ("other terms from after the fill on", "2026-01-01T00:00:00Z", "2026-09-14T08:30:00.001Z", False),
    ("other terms from the next hour on", "2026-01-01T00:00:00Z", "2026-09-14T09:00:00Z", False),
    ("other terms for the same instant", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", True),
    ("terms before those that stand", "2026-09-14T08:15:00Z", "2026-01-01T00:00:00Z", False),
    ("terms where there were none", "2026-09-14T08:45:00Z", "2026-09-14T08:15:00Z", False),
]


@pytest.mark.parametrize("case", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_terms_that_take_over_under_a_settled_line_are_refused(
    database: Database, settled_hour: SettledHour, case: tuple[str, str, bool]
) -> None:
    stands, loaded, refused = case
    load(database, document(stands))
    bill = settled_hour.line(status="excluded")
    if not refused:
        assert load(database, document(loaded, minimum="11")) is not None
        return
    with pytest.raises(InputRefused) as refusal:
        load(database, document(loaded, minimum="11"))
    assert f"it changes the terms in the past of settled windows, first 2026-09-14T08:00Z (line okx 1 {bill})" in str(
        refusal.value
    )
    assert [version.document for version in standing_versions(database)] == [document(stands)]


def test_terms_that_take_over_under_a_pending_line_are_stored(database: Database, settled_hour: SettledHour) -> None:
    load(database, document("2026-01-01T00:00:00Z"))
    settled_hour.line(status="pending")
    assert load(database, document("2026-01-01T00:00:00Z", minimum="11")) is not None


def test_a_correction_of_the_terms_is_recorded(database: Database, settled_hour: SettledHour, standing: Rows) -> None:
    load(database, document("2026-01-01T00:00:00Z"))
    settled_hour.line()
    why = Act(loaded_by="ana", correction="signed later")
    assert load(database, document("2026-01-01T00:00:00Z", minimum="11"), act=why) is not None
    assert standing("SELECT correction FROM load WHERE loaded_by = 'ana'") == [("signed later",)]
    assert [version.correction for version in standing_versions(database)] == ["signed later"]


def test_terms_that_pending_lines_wait_for_mark_their_window(database: Database, settled_hour: SettledHour) -> None:
    settled_hour.line(status="pending")
    assert load_terms(database, GUIDE, source="guide.toml", act=ACT).windows_marked == 1
    assert settled_hour.rechecked()


@pytest.mark.shared
def test_the_worked_examples_terms_load_and_load_again(database: Database, shared_dir: Path) -> None:
    for name in ("terms-1.toml", "terms-2.toml"):
        text, source = read_document(str(shared_dir / "examples/worked" / name))
        assert load_terms(database, text, source=source, act=ACT).load_id is not None
        assert load_terms(database, text, source=source, act=ACT).load_id is None
    assert [version.name for version in standing_versions(database)] == ["held-1", "held-2"]
