"""Short words for tests that change the registry by hand."""

from __future__ import annotations

from datetime import UTC, datetime

from settlement.pipeline import referrals
from settlement.pipeline.registry_by_hand import ChangeReport, HandAct, change_registry
from settlement.program.referrals import ReferralCode
from settlement.program.registry_changes import Change, Verb
from settlement.store.database import Database

START = datetime(2026, 1, 1, tzinfo=UTC)
ACT = HandAct(by="ana", reason="as agreed")
KEYS = {"brokers.csv": ("broker_id",), "codes.csv": ("code",), "clients.csv": ("venue", "account")}


def change(  # noqa: PLR0913 - what is asked, and why
    database: Database, file: str, verb: Verb, key: str, *, at: datetime = START, act: HandAct = ACT, **given: str
) -> ChangeReport:
    """Changes one row; `key` has its values, apart by blanks."""
    values = dict(zip(KEYS[file], key.split(), strict=True))
    return change_registry(database, Change(file=file, verb=verb, key=values, at=at, given=given), act=act)


def add_broker(database: Database, broker: str, **given: str) -> ChangeReport:
    """An active broker since START; `parent_id` and `share` make it a sub-broker."""
    values = {"name": broker, "model": "api", "status": "active", **given}
    return change(database, "brokers.csv", "add", broker, **values)


def add_code(database: Database, code: str, broker: str, *, limit: int | None = None) -> None:
    """A referral code since START."""
    made = ReferralCode(
        code=code, broker_id=broker, campaign="spring", client_limit=limit, effective_from=START, effective_to=None
    )
    referrals.add(database, made, act=ACT)
