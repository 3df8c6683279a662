"""Referral codes in PostgreSQL: one row a text, which is a code or an alias of one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from settlement.program.referrals import ReferralCode, UplineBroker

_CODES = """
    SELECT c.code, c.broker_id, c.campaign, c.client_limit, c.effective_from, c.effective_to, c.deactivated_at,
           array_remove(array_agg(DISTINCT a.code ORDER BY a.code), NULL) AS aliases,
           (SELECT count(DISTINCT (l.venue, l.account)) FROM referral_code t
            JOIN client_link l ON l.referral_code = t.code AND l.replaced_by_load IS NULL
            WHERE t.code = c.code OR t.alias_of = c.code) AS clients
    FROM referral_code c LEFT JOIN referral_code a ON a.alias_of = c.code
    WHERE c.alias_of IS NULL AND (CAST(:broker AS text) IS NULL OR c.broker_id = :broker)
      AND (CAST(:code AS text) IS NULL OR c.code = :code)
    GROUP BY c.code ORDER BY c.broker_id, c.code
"""

_UPLINE = """
    WITH RECURSIVE latest AS (
        SELECT DISTINCT ON (broker_id) broker_id, parent_id, status, own_accounts, effective_to FROM broker
        WHERE replaced_by_load IS NULL AND effective_from <= :at ORDER BY broker_id, effective_from DESC
    ), upline AS (
        SELECT 1 AS step, latest.* FROM latest WHERE broker_id = :broker AND (effective_to > :at) IS NOT FALSE
        UNION ALL
        SELECT step + 1, l.* FROM upline u JOIN latest l ON l.broker_id = u.parent_id AND (l.effective_to > :at) IS NOT FALSE
    )
    SELECT broker_id, status, own_accounts FROM upline ORDER BY step
"""


def listed(connection: Connection, *, broker: str | None = None) -> list[ReferralCode]:
    """Every code (of one broker), by broker and code, with its aliases and how many clients it has."""
    rows = connection.execute(text(_CODES), {"broker": broker, "code": None}).mappings()
    return [ReferralCode(**row) for row in rows]


def find(connection: Connection, given: str) -> ReferralCode | None:
    """The code that the text `given` stands for; nobody else changes it until the transaction ends."""
    query = text("""
        SELECT code FROM referral_code WHERE code = (SELECT coalesce(alias_of, code) FROM referral_code WHERE code = :given)
        FOR UPDATE
    """)
    code = connection.execute(query, {"given": given}).scalar_one_or_none()
    if code is None:
        return None
    row = connection.execute(text(_CODES), {"broker": None, "code": code}).mappings().one()
    return ReferralCode(**row)


def add(connection: Connection, code: ReferralCode) -> bool:
    """Adds a code; False if its text stands for one already."""
    query = text("""
        INSERT INTO referral_code (code, broker_id, campaign, client_limit, effective_from, effective_to)
        VALUES (:code, :broker_id, :campaign, :client_limit, :effective_from, :effective_to) ON CONFLICT DO NOTHING
    """)
    return connection.execute(query, vars(code)).rowcount == 1


def add_alias(connection: Connection, *, code: str, alias: str) -> bool:
    """Adds another text for a code; False if the text stands for one already."""
    query = text("INSERT INTO referral_code (code, alias_of) VALUES (:alias, :code) ON CONFLICT DO NOTHING")
    return connection.execute(query, {"code": code, "alias": alias}).rowcount == 1


def deactivate(connection: Connection, code: str) -> datetime:
    """From now on the code binds nobody; returns the moment."""
    query = text(
        "UPDATE referral_code SET deactivated_at = clock_timestamp() WHERE code = :code RETURNING deactivated_at"
    )
    moment: datetime = connection.execute(query, {"code": code}).scalar_one()
    return moment


def upline(connection: Connection, broker_id: str, *, at: datetime) -> list[UplineBroker]:
    """The broker and those above it as they stand at `at`, from below; empty if it has no row in force."""
    rows = connection.execute(text(_UPLINE), {"broker": broker_id, "at": at}).mappings()
    return [UplineBroker(**row) for row in rows]
