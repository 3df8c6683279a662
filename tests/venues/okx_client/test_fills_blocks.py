"""Pages become one block: each row its page's account's, its tag its algo order's, and later executions left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.frames import TAG_FROM_ALGO
from settlement.pipeline.fill_blocks import Block
from settlement.pipeline.validate_fills import validate
from settlement.pipeline.venue import OrderTag, Page
from settlement.venues.okx.fills import OkxVenue
from tests.venues.fill_files import FIRST, NOW, as_okx, fill

EIGHT = datetime(2026, 9, 14, 8, tzinfo=UTC)


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A row as OKX gives it, without an account."""
    [made] = as_okx([fill(number)])
    del made["account"]
    return {**made, **changes}


def page(account: str, *rows: Any) -> Page:
    return Page(
        account=account,
        instrument_type="SPOT",
        rows=len(rows),
        body=json.dumps({"code": "0", "data": rows}).encode(),
        request="/api/v5/trade/fills",
        older=None,
        untagged={},
        fetched_at=EIGHT,
    )


def block(*pages: Page, tags: Sequence[OrderTag] = (), executed_before: datetime | None = None) -> Block:
    return OkxVenue().parse(pages, tags, executed_before=executed_before)


def columns(made: Block, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(made.table[name].to_pylist() for name in names), strict=True))


def test_each_row_is_its_pages_accounts() -> None:
    made = block(page("7001", row(1), row(2)), page("7002"), page("7003", row(3)), page("7001", row(4)))
    assert columns(made, "account", "bill_id") == [
        ("7001", "5001"),
        ("7001", "5002"),
        ("7003", "5003"),
        ("7001", "5004"),
    ]
    assert made.row_numbers.to_pylist() == [1, 2, 3, 4]


def test_what_a_row_says_of_its_account_does_not_count() -> None:
    made = block(page("7001", row(1, account="9999"), row(2, account="")), page("7002", row(3, account="7001")))
    assert made.table["account"].to_pylist() == ["7001", "7001", "7002"]


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (row(2, fee=-0.1), "fee is a JSON number"),
        (row(2, tag=["x"]), "tag is not a string"),
        (row(2, account={"uid": "1"}), "account is not a string"),
        ("no row", "the row is not an object"),
    ],
)
def test_a_row_that_is_no_fill_is_put_aside_and_its_neighbours_keep_their_accounts(spoilt: Any, reason: str) -> None:
    made = block(page("7001", row(1), spoilt), page("7002", row(3)), page("7003", spoilt, row(4)))
    assert columns(made, "account", "bill_id") == [("7001", "5001"), ("7002", "5003"), ("7003", "5004")]
    assert made.row_numbers.to_pylist() == [1, 3, 5]
    assert made.bad["row_number"].to_pylist() == [2, 4]
    assert all(text.startswith(reason) for text in made.bad["reason"].to_pylist())


def test_a_row_that_is_null_is_left_to_ingest_which_puts_it_aside() -> None:
    checked = validate(block(page("7001", row(1), None), page("7002", row(3))), now=NOW)
    assert checked.table["account"].to_pylist() == ["7001", "7002"]
    assert checked.bad["row_number"].to_pylist() == [2]


def test_pages_without_rows_are_a_block_without_rows() -> None:
    made = block(page("7001"), page("7002"), executed_before=EIGHT)
    assert (made.table.num_rows, made.bad.num_rows) == (0, 0)


def test_what_was_executed_at_or_after_the_end_is_left_out() -> None:
    end = FIRST + 3_600_000
    written = [str(end - 1), str(end), str(end + 1), "", "soon", end - 2, end + 2, "9" * 30]
    pages = [page("7001", *(row(number, fillTime=value) for number, value in enumerate(written, 1)))]
    made = block(*pages, executed_before=EIGHT)
    # What is no time is left to ingest, which puts it aside by name.
    assert columns(made, "bill_id", "executed_at") == [
        ("5001", str(end - 1)),
        ("5004", None),
        ("5005", "soon"),
        ("5006", str(end - 2)),
        ("5008", "9" * 30),
    ]
    assert made.row_numbers.to_pylist() == [1, 4, 5, 6, 8]
    assert block(*pages).table.num_rows == len(written)


def test_rows_that_are_left_out_take_their_accounts_along() -> None:
    late = str(FIRST + int(timedelta(hours=2) / timedelta(milliseconds=1)))
    made = block(page("7001", row(1, fillTime=late)), page("7002", row(2)), executed_before=EIGHT)
    assert columns(made, "account", "bill_id") == [("7002", "5002")]


def tag(order_id: str, text: str, *, account: str = "7001") -> OrderTag:
    return OrderTag(account=account, order_id=order_id, algo_id=f"algo-{order_id}", tag=text)


def test_an_untagged_fill_gets_the_tag_of_its_algo_order_and_says_so() -> None:
    held = [row(1, tag="", ordId="1"), row(2, tag="ownTag", ordId="1"), row(3, tag="", ordId="2"), row(4, tag=None)]
    made = block(page("7001", *held), tags=[tag("1", "alphaOne"), tag("2", ""), tag("77", "betaTwo")])
    assert columns(made, "bill_id", "tag", "algo_id", "flags") == [
        ("5001", "alphaOne", "algo-1", TAG_FROM_ALGO),
        ("5002", "ownTag", None, None),
        ("5003", None, None, None),
        ("5004", None, None, None),
    ]


def test_an_order_of_the_same_number_of_another_account_has_a_tag_of_its_own() -> None:
    pages = [page("7001", row(1, tag="", ordId="1")), page("7002", row(2, tag="", ordId="1"))]
    one = block(*pages, tags=[tag("1", "alphaOne")])
    assert columns(one, "tag", "flags") == [("alphaOne", TAG_FROM_ALGO), (None, None)]
    both = block(*pages, tags=[tag("1", "betaTwo", account="7002"), tag("1", "alphaOne")])
    assert both.table["tag"].to_pylist() == ["alphaOne", "betaTwo"]


def test_orders_that_all_turned_out_to_have_no_tag_change_nothing() -> None:
    made = block(page("7001", row(1, tag="", ordId="1")), tags=[tag("1", "")])
    assert columns(made, "tag", "flags") == [(None, None)]


def test_a_tag_is_kept_letter_by_letter() -> None:
    made = block(page("7001", row(1, tag="", ordId="1"), row(2, tag="AbC")), tags=[tag("1", "e84738Dbc")])
    assert made.table["tag"].to_pylist() == ["e84738Dbc", "AbC"]


def test_tags_and_the_end_go_together() -> None:
    late = str(FIRST + 7_200_000)
    held = [row(1, tag="", ordId="1", fillTime=late), row(2, tag="", ordId="1")]
    made = block(page("7001", *held), tags=[tag("1", "alphaOne")], executed_before=EIGHT)
    assert columns(made, "bill_id", "tag", "flags") == [("5002", "alphaOne", TAG_FROM_ALGO)]
