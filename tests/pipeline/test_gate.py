"""When a window may be settled, and whether it is complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from settlement.pipeline.gate import Gate, gate, lagging

START = datetime(2026, 3, 1, 7, tzinfo=UTC)

# One row a case: the clock, the watermarks (a name and a time each; "-" = nothing reported), and what the gate says.
CASES = """
    07:59:59                                  wait         the window has not ended
    07:59:59   okx=08:00                      wait         not even if its source runs ahead
    08:00:00                                  wait         files may still be on their way
    08:04:59                                  wait
    08:05:00                                  complete     no source: five minutes after the end
    08:00:00   okx=08:00                      complete     a watermark at the end has passed it
    08:00:00   okx=07:59:59                   wait
    08:59:59   okx=07:59:59                   wait         one second before the deadline
    09:00:00   okx=07:59:59                   incomplete   the deadline: with what there is
    08:30:00   okx=08:10,archive=07:30        wait         every source counts
    09:00:00   okx=08:10,archive=07:30        incomplete
    08:30:00   okx=08:10,archive=08:00        complete
    08:30:00   okx=08:10,archive=-            wait         a source that never reported is behind
    09:00:00   okx=-                          incomplete
    23:00:00   okx=12:00                      complete     late, and nothing missing
"""


def _time(clock: str) -> datetime:
    hours, minutes, seconds = (*map(int, clock.split(":")), 0)[:3]
    return START.replace(hour=hours, minute=minutes, second=seconds)


def _case(row: str) -> tuple[str, dict[str, datetime | None], str]:
    words = row.split()
    sources = words[1] if "=" in words[1] else ""
    verdict = words[2] if sources else words[1]
    pairs = (pair.split("=") for pair in sources.split(",") if pair)
    return words[0], {name: None if mark == "-" else _time(mark) for name, mark in pairs}, verdict


@pytest.mark.parametrize("row", [row for row in CASES.splitlines() if row.strip()], ids=str.strip)
def test_the_gate_says(row: str) -> None:
    clock, watermarks, verdict = _case(row)
    with freeze_time(_time(clock)):
        assert gate(START, watermarks=watermarks, now=datetime.now(UTC)) == Gate(verdict)


def test_a_later_window_never_passes_before_an_earlier_one() -> None:
    order = [Gate.WAIT, Gate.INCOMPLETE, Gate.COMPLETE]
    for watermarks in ({}, {"okx": START + timedelta(minutes=90)}, {"okx": None}):
        for minutes in range(0, 300, 5):
            now = START + timedelta(minutes=minutes)
            earlier = gate(START, watermarks=watermarks, now=now)
            later = gate(START + timedelta(hours=1), watermarks=watermarks, now=now)
            assert later is Gate.WAIT or earlier is not Gate.WAIT, (watermarks, now)
            assert order.index(earlier) >= order.index(later), (watermarks, now)


def test_lagging_names_the_sources_that_have_not_passed_the_end() -> None:
    end = START + timedelta(hours=1)
    watermarks = {"okx": end, "archive": end - timedelta(microseconds=1), "desk": None}
    assert lagging(START, watermarks=watermarks) == ["archive", "desk"]
