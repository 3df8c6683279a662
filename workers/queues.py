"""The queues, by consequence: what is late when one of them is."""

from __future__ import annotations

# ingest   fills are not in yet
# settle   windows are not settled
# payout   partners are not paid
# ops      reminders and audits: relay, sweep, verification. Needs two processes or more, so that a long audit does not
#          hold up the relay.
QUEUES = ("ingest", "settle", "payout", "ops")

ROUTES = {
    "settlement.ingest_file": {"queue": "ingest"},
    "settlement.settle_window": {"queue": "settle"},
    "settlement.settle_shard": {"queue": "settle"},
    "settlement.plan_payouts": {"queue": "payout"},
    "settlement.relay": {"queue": "ops"},
    "settlement.sweep": {"queue": "ops"},
    "settlement.settle_last_window": {"queue": "ops"},
    "settlement.verify_ledger": {"queue": "ops"},
}

# How many reminders the sweep lets stand in the settle queue; a day of windows, or a thousand, fit at once.
SETTLE_QUEUE_LIMIT = 2_000
