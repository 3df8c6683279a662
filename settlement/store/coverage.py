"""What was pulled of each account, hour by hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from settlement.store.harvests import COMPLETE_TO


@dataclass(frozen=True, kw_only=True)
class CoveredAccount:
    """One client account over a range of hours.

    `complete_to` is as far as all its instrument types are complete without a gap, `pull_from` where none is. `gaps` are the
    hours of the range, from `pull_from` on, that some type lacks, wholly or in part; `early` are those of before that are
    complete all the same. `error` is the last failure that no later pull has mended.
    """

    venue: str
    account: str
    status: str
    pull_from: datetime
    complete_to: datetime
    pulled_at: datetime | None
    gaps: Sequence[datetime]
    early: Sequence[datetime]
    error: str | None
    error_at: datetime | None
    failures: int

    @property
    def is_begun(self) -> bool:
        """Whether anything of what is expected was pulled."""
        return self.pulled_at is not None or self.complete_to > self.pull_from


_COVERAGE = f"""
    WITH hours AS (
        SELECT hour, hour + interval '1 hour' AS ends FROM generate_series(
            CAST(:start AS timestamptz), CAST(:end AS timestamptz) - interval '1 hour', interval '1 hour') hour
    ), per_type AS (
        SELECT venue, account, covered, pull_from, status, pulled_at, error, error_at, failures,
               {COMPLETE_TO} AS complete_to
        FROM harvest JOIN venue_account USING (venue, account)
        WHERE role = 'client' AND (CAST(:accounts AS text[]) IS NULL OR account = ANY (:accounts))
    ), per_account AS (
        SELECT venue, account, pull_from, status, min(complete_to) AS complete_to, min(pulled_at) AS pulled_at,
               range_intersect_agg(covered) AS covered, max(failures) AS failures, max(error_at) AS error_at,
               (array_agg(error ORDER BY error_at DESC NULLS LAST))[1] AS error
        FROM per_type GROUP BY venue, account, pull_from, status
    )
    SELECT venue, account, status, pull_from, complete_to, pulled_at,
           error, error_at, failures,
           ARRAY(SELECT hour FROM hours WHERE ends > pull_from AND NOT covered @> tstzrange(greatest(hour, pull_from), ends)
                 ORDER BY hour) AS gaps,
           ARRAY(SELECT hour FROM hours WHERE ends <= pull_from AND covered @> tstzrange(hour, ends) ORDER BY hour) AS early
    FROM per_account ORDER BY venue, account
"""  # noqa: S608 - a constant of the store


def coverage(
    connection: Connection, *, start: datetime, end: datetime, accounts: Sequence[str] | None = None
) -> list[CoveredAccount]:
    """Every client account (or those named) over the hours of [start, end), both on the hour."""
    values = {"start": start, "end": end, "accounts": None if accounts is None else list(accounts)}
    return [CoveredAccount(**row) for row in connection.execute(text(_COVERAGE), values).mappings()]
