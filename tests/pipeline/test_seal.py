"""The seal of a window says the same of the same fills, however they come, and something else of any others."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.frames import FILL
from settlement.pipeline.seal import Seal, sum_of

Fill = dict[str, Any]

FILL_OF_EACH_FIELD: Fill = {
    "venue": "okx",
    "account": "7000000000000000000",
    "bill_id": "3500000000000017021",
    "instrument": "BTC-USDT",
    "instrument_type": "SPOT",
    "liquidity": "taker",
    "price": Decimal("104794.4888165429"),
    "size": Decimal("0.000000000000000001"),
    "fee": Decimal("-1.5"),
    "fee_currency": "USDT",
    "tag": "ALPHA",
    "executed_at": datetime(2026, 9, 14, 8, 0, 1, 234_000, tzinfo=UTC),
    "fee_rate": Decimal("-0.001"),
    "fee_rebate": Decimal("0.5"),
    "fee_discount": "card",
    "channel": "api",
    "sub_type": "1",
    "flags": "LATE",
}

names = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=20)
amounts = st.decimals(min_value=-(10**15), max_value=10**15, places=18).map(
    lambda amount: Decimal(format(amount, ".18f"))
)
times = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


def values_of(field: pa.Field) -> st.SearchStrategy[Any]:
    if pa.types.is_decimal(field.type):
        return amounts if field.name in {"price", "size", "fee"} else st.none() | amounts
    if pa.types.is_timestamp(field.type):
        return times
    return names if field.name in {"venue", "account", "bill_id", "fee_currency"} else st.none() | st.just("") | names


fills = st.fixed_dictionaries({field.name: values_of(field) for field in FILL})


def table(rows: list[Fill]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=FILL)


def seal_of(*batches: list[Fill]) -> dict[str, Any]:
    seal = Seal()
    for batch in batches:
        seal.add(table(batch))
    return seal.as_json()


@settings(deadline=None)
@given(rows=st.lists(fills, max_size=8), data=st.data())
def test_neither_order_nor_batches_nor_shards_matter(rows: list[Fill], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    together = seal_of(rows)
    assert seal_of(shuffled[:cut], shuffled[cut:]) == together
    assert sum_of([seal_of(shuffled[cut:]), seal_of(shuffled[:cut])]).as_json() == together


def test_slices_and_chunks_of_a_table_are_sealed_like_the_fills_they_hold() -> None:
    rows = [
        {**FILL_OF_EACH_FIELD, "bill_id": str(number), "fee_rate": None if number % 2 else Decimal(1)}
        for number in range(6)
    ]
    seal = Seal()
    seal.add(pa.concat_tables([table(rows).slice(0, 2), table(rows).slice(4)]))
    assert seal.as_json() == seal_of(rows[:2] + rows[4:])


def test_a_seal_counts_the_fills_and_sums_the_fees_per_currency() -> None:
    rows = [
        {**FILL_OF_EACH_FIELD, "bill_id": "1"},
        {**FILL_OF_EACH_FIELD, "bill_id": "2", "fee": Decimal("0.25")},
        {**FILL_OF_EACH_FIELD, "bill_id": "3", "fee": Decimal("-0.000000000000000001"), "fee_currency": "BTC"},
    ]
    seal = seal_of(rows)
    assert seal["fills"] == 3
    assert {currency: Decimal(fee) for currency, fee in seal["fees"].items()} == {
        "USDT": Decimal("-1.25"),
        "BTC": Decimal("-0.000000000000000001"),
    }


def test_sums_of_fees_keep_every_digit() -> None:
    large, small = Decimal("-99999999999999.5"), Decimal("-0.000000000000000001")
    parts = [seal_of([{**FILL_OF_EACH_FIELD, "fee": fee}]) for fee in (large, small, large)]
    assert sum_of(parts).as_json()["fees"] == {"USDT": "-199999999999999.000000000000000001"}


def test_no_fills_have_the_seal_of_nothing() -> None:
    assert seal_of([]) == seal_of() == {"fills": 0, "fees": {}, "digest": "0" * 16}


def _others(value: Any) -> list[Any]:
    if isinstance(value, Decimal):
        return [value + Decimal("0.000000000000000001"), -value, value * 10]
    if isinstance(value, datetime):
        return [value.replace(microsecond=value.microsecond + 1), value.replace(hour=9)]
    return [value + "x", value + " ", " " + value, value[:-1], value.lower() + "é", value[::-1] + "1"]


@pytest.mark.parametrize("field", FILL.names)
def test_a_change_of_any_field_changes_the_digest(field: str) -> None:
    before = seal_of([FILL_OF_EACH_FIELD])["digest"]
    nullable = [] if field in {"price", "size", "fee", "executed_at", "fee_currency", "venue"} else [None]
    changed = [*_others(FILL_OF_EACH_FIELD[field]), *nullable]
    digests = [seal_of([{**FILL_OF_EACH_FIELD, field: value}])["digest"] for value in changed]
    assert len({before, *digests}) == len(digests) + 1


def test_fields_that_change_places_change_the_digest() -> None:
    swapped = {**FILL_OF_EACH_FIELD, "price": FILL_OF_EACH_FIELD["size"], "size": FILL_OF_EACH_FIELD["price"]}
    crossed = {**FILL_OF_EACH_FIELD, "account": FILL_OF_EACH_FIELD["bill_id"], "bill_id": FILL_OF_EACH_FIELD["account"]}
    assert len({seal_of([fill])["digest"] for fill in (FILL_OF_EACH_FIELD, swapped, crossed)}) == 3


def test_amounts_that_change_places_between_fills_change_the_digest() -> None:
    one, two = {**FILL_OF_EACH_FIELD, "bill_id": "1"}, {**FILL_OF_EACH_FIELD, "bill_id": "2", "fee": Decimal(-7)}
    exchanged = [{**one, "fee": two["fee"]}, {**two, "fee": one["fee"]}]
    assert seal_of(exchanged)["fees"] == seal_of([one, two])["fees"]
    assert seal_of(exchanged)["digest"] != seal_of([one, two])["digest"]


@settings(deadline=None)
@given(one=fills, other=fills)
def test_different_fills_have_different_digests(one: Fill, other: Fill) -> None:
    same = table([one]).equals(table([other]))
    assert (seal_of([one])["digest"] == seal_of([other])["digest"]) == same


def test_a_fill_that_is_lost_or_doubled_changes_the_seal() -> None:
    rows = [{**FILL_OF_EACH_FIELD, "bill_id": str(number)} for number in range(3)]
    seals = [seal_of(rows), seal_of(rows[1:]), seal_of([*rows, rows[0]])]
    assert len({seal["digest"] for seal in seals}) == 3
    assert [seal["fills"] for seal in seals] == [3, 2, 4]
