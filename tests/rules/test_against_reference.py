"""settle() gives what section 4 of the design says, value for value, in worlds that Hypothesis draws."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings

from settlement.rules.reasons import Reason
from tests.rules.drawn import BATCHES, WORLDS
from tests.rules.outcomes import settled
from tests.rules.reference import Row, World, settle_one

seen: Counter[str] = Counter()


@settings(max_examples=120, phases=[Phase.generate], deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(world=WORLDS, batch=BATCHES)
def compare(world: World, batch: list[Row]) -> None:
    expected = [settle_one(fill, world) for fill in batch]
    seen.update(line.reason for line in expected)
    for fill, line, reference in zip(batch, settled(batch, world), expected, strict=True):
        assert line == reference, fill


def test_every_line_is_what_the_reference_says_and_every_reason_is_met() -> None:
    seen.clear()
    compare()
    print(seen)
    assert set(seen) == {reason.text for reason in Reason}
