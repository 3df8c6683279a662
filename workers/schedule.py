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
    "verify the ledger": {
        "task": "settlement.verify_ledger",
        "schedule": crontab(hour="3", minute="40"),
        "options": {"expires": 12 * 60 * 60},
    },
}
