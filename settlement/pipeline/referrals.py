"""Use cases: referral codes are made, get other texts, and are deactivated, each with an entry in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from settlement.errors import Refused
from settlement.pipeline.registry_by_hand import HandAct
from settlement.program.referrals import ReferralCode, check_code
from settlement.store import audit_log, referrals
from settlement.store.audit_log import AuditEntry
from settlement.store.database import Connection, Database
from settlement.store.registry_rows import is_known_broker


def add(database: Database, code: ReferralCode, *, act: HandAct) -> None:
    """Makes a code. Raises `Refused` for a text that cannot be one or stands for one, and for an unknown broker."""
    check_code(code.code)
    with database.transaction() as connection:
        if not is_known_broker(connection, code.broker_id):
            raise Refused(
                f"there is no broker {code.broker_id}",
                where=f"referral code {code.code}",
                mend="settlement brokers list shows which there are",
            )
        if not referrals.add(connection, code):
            raise _taken(connection, code.code)
        _record(connection, "referral.add", code.code, act=act, before=None, after=document(code))


def add_alias(database: Database, given: str, alias: str, *, act: HandAct) -> ReferralCode:
    """Makes `alias` another text for the code `given`; nothing new if it is one. Raises `Refused` as `add` does."""
    check_code(alias)
    with database.transaction() as connection:
        code = find(connection, given)
        if alias in code.aliases:
            return code
        if not referrals.add_alias(connection, code=code.code, alias=alias):
            raise _taken(connection, alias)
        after = replace(code, aliases=[*code.aliases, alias])
        _record(connection, "referral.alias", code.code, act=act, before=document(code), after=document(after))
        return after


def deactivate(database: Database, given: str, *, act: HandAct) -> ReferralCode:
    """From now on the code, under all its texts, binds nobody; clients that it has bound stay. Nothing new if it was."""
    with database.transaction() as connection:
        code = find(connection, given)
        if code.deactivated_at is not None:
            return code
        after = replace(code, deactivated_at=referrals.deactivate(connection, code.code))
        _record(connection, "referral.deactivate", code.code, act=act, before=document(code), after=document(after))
        return after


def list_codes(database: Database, *, broker: str | None = None) -> list[ReferralCode]:
    """Every code (of one broker), by broker and code."""
    with database.transaction() as connection:
        return referrals.listed(connection, broker=broker)


def find(connection: Connection, given: str) -> ReferralCode:
    """The code that a text stands for; raises `Refused` if there is none."""
    code = referrals.find(connection, given)
    if code is None:
        raise Refused(
            "there is no such code",
            where=f"referral code {given}",
            mend="settlement referrals list shows which there are; capitals and small letters differ",
        )
    return code


def document(code: ReferralCode) -> Mapping[str, Any]:
    """The code as plain values, without what its clients are."""
    return {name: value for name, value in vars(code).items() if name != "clients"}


def _taken(connection: Connection, text: str) -> Refused:
    standing = find(connection, text)
    return Refused(
        f"it stands for a code of broker {standing.broker_id} already (campaign {standing.campaign})",
        where=f"referral code {text}",
        mend="choose another text",
    )


def _record(  # noqa: PLR0913 - one parameter a column of the log
    connection: Connection,
    name: str,
    subject: str,
    *,
    act: HandAct,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
) -> None:
    entry = AuditEntry(by=act.by, act=name, subject=subject, reason=act.reason, before=before, after=after)
    audit_log.record(connection, entry)
