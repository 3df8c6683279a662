"""The schedule: everything that happens by the clock, in UTC.

A beat that is doubled or missed changes nothing: the window table says what is due (settlement/pipeline/sweep.py).
`expires` drops a reminder that nobody picked up before the next one was due, so a backlog does not pile up.
"""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab, schedule

SCHEDULE: dict[str, dict[str, Any]] = {
    "relay events": {
        "task": "settlement.relay",
        "schedule": schedule(run_every=1.0),
        "options": {"expires": 5},
    },
    "sweep": {
        "task": "settlement.sweep",
        "schedule": crontab(),
        "options": {"expires": 55},
    },
    "pull what is new": {
        "task": "settlement.pull_due",
        "schedule": crontab(minute="2,32"),
        "options": {"expires": 55},
    },
    "read the last day again": {
        "task": "settlement.read_again",
        "schedule": crontab(hour="4", minute="10"),
        "options": {"expires": 12 * 60 * 60},
    },
    "prices": {
        "task": "settlement.snapshot_prices",
        "schedule": crontab(minute="*/5"),
        "options": {"expires": 4 * 60},
    },
    "instruments": {
        "task": "settlement.snapshot_instruments",
        "schedule": crontab(minute="50"),
        "options": {"expires": 50 * 60},
    },
    "levels and fee rates": {
        "task": "settlement.snapshot_levels",
        "schedule": crontab(minute="1"),
        "options": {"expires": 50 * 60},
    },
    "rebate eligibility": {
        "task": "settlement.snapshot_eligibility",
        "schedule": crontab(minute="*/6"),
        "options": {"expires": 5 * 60},
    },
    "settle the last window, and retry until complete": {
        "task": "settlement.settle_last_window",
        "schedule": crontab(minute="5"),
        "options": {"expires": 50 * 60},
    },
    "plan payouts": {
        "task": "settlement.plan_payouts",
        "schedule": crontab(minute="20"),
        "options": {"expires": 55 * 60},
    },
    "review the tiers, and retry until the month is settled": {
        "task": "settlement.review_tiers",
        "schedule": crontab(day_of_month="1", hour="0", minute="10"),
        "options": {"expires": 60 * 60},
    },
    "verify the ledger": {
        "task": "settlement.verify_ledger",
        "schedule": crontab(hour="3", minute="40"),
        "options": {"expires": 12 * 60 * 60},
    },
}
