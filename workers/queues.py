"""The queues, by consequence: what is late when one of them is."""

from __future__ import annotations

# ingest   fills are not in yet
# settle   windows are not settled
# payout   partners are not paid
# ops      reminders, questions to a venue and audits: relay, sweep, snapshots, verification. Needs three processes or
#          more, so that neither a long audit nor a slow venue holds up the relay.
QUEUES = ("ingest", "settle", "payout", "ops")

ROUTES = {
    "settlement.ingest_file": {"queue": "ingest"},
    "settlement.pull_fills": {"queue": "ingest"},
    "settlement.read_again": {"queue": "ops"},
    "settlement.snapshot_prices": {"queue": "ops"},
    "settlement.snapshot_instruments": {"queue": "ops"},
    "settlement.snapshot_levels": {"queue": "ops"},
    "settlement.snapshot_eligibility": {"queue": "ops"},
    "settlement.pull_due": {"queue": "ops"},
    "settlement.settle_window": {"queue": "settle"},
    "settlement.settle_shard": {"queue": "settle"},
    "settlement.request_recalculation": {"queue": "ops"},
    "settlement.plan_recalculation": {"queue": "settle"},
    "settlement.approve_recalculation": {"queue": "ops"},
    "settlement.apply_recalculation": {"queue": "ops"},
    "settlement.cancel_recalculation": {"queue": "ops"},
    "settlement.review_tiers": {"queue": "ops"},
    "settlement.simulate_terms": {"queue": "settle"},
    "settlement.plan_payouts": {"queue": "payout"},
    "settlement.relay": {"queue": "ops"},
    "settlement.sweep": {"queue": "ops"},
    "settlement.settle_last_window": {"queue": "ops"},
    "settlement.verify_ledger": {"queue": "ops"},
}

# How many reminders the sweep lets stand in the settle queue; a day of windows, or a thousand, fit at once.
SETTLE_QUEUE_LIMIT = 2_000
# How often the sweep reminds of what is due.
SWEEP_SECONDS = 60
