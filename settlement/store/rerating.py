"""The second opinion: lines rated again by the rulebook in plain SQL (sql/rerate.sql), apart from settlement/rules.

SQL cannot read TOML, so the terms are read here, from their documents, into tables; nothing else happens in Python.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from settlement.store.copying import raw_cursor
from settlement.store.sql import read_sql

ASK_SAMPLE = """
INSERT INTO rerate_asked (window_start, venue, account, bill_id, revision, known_at)
SELECT l.window_start, l.venue, l.account, l.bill_id, l.revision, coalesce(s.facts_at, r.opened_at)
FROM line l JOIN run r USING (run_id)
LEFT JOIN basis b USING (basis_id) LEFT JOIN run_shard s ON s.run_id = l.run_id AND s.root = b.root
ORDER BY random() LIMIT %(sample)s
"""
ASK_WINDOW = """
INSERT INTO rerate_asked (window_start, venue, account, bill_id, revision, known_at)
SELECT l.window_start, l.venue, l.account, l.bill_id, l.revision, coalesce(s.facts_at, r.opened_at)
FROM line l JOIN run r USING (run_id)
LEFT JOIN basis b USING (basis_id) LEFT JOIN run_shard s ON s.run_id = l.run_id AND s.root = b.root
WHERE l.window_start = %(window_start)s
"""
WINDOWS = "SELECT DISTINCT window_start FROM run ORDER BY window_start"

RATE_COLUMNS = (("maker", False), ("taker", False), ("maker", True), ("taker", True))


@dataclass(kw_only=True)
class Rerated:
    """How many lines were rated again, and every line that came out otherwise."""

    examined: int = 0
    findings: list[str] = field(default_factory=list)


def rerate_sample(connection: Connection, sample: int) -> Rerated:
    """Rates `sample` lines again, drawn at random over all windows and revisions."""
    with raw_cursor(connection) as cursor:
        prepare(cursor)
        cursor.execute(ASK_SAMPLE, {"sample": sample})
        return _compared(cursor)


def rerate_all(connection: Connection) -> Rerated:
    """Rates every line again, window by window."""
    rerated = Rerated()
    with raw_cursor(connection) as cursor:
        prepare(cursor)
        for (window_start,) in cursor.execute(WINDOWS).fetchall():
            cursor.execute("DELETE FROM rerate_asked")
            cursor.execute(ASK_WINDOW, {"window_start": window_start})
            window = _compared(cursor)
            rerated.examined += window.examined
            rerated.findings += window.findings
    return rerated


def prepare(cursor: Any) -> None:
    """Makes the tables that rerate.sql reads, with the terms in them; they last as long as the transaction."""
    cursor.execute(read_sql("rerate_tables.sql"))
    for terms_id, document in cursor.execute("SELECT terms_id, document FROM program_terms").fetchall():
        _read_terms(cursor, terms_id, tomllib.loads(document, parse_float=Decimal))


def rerate(cursor: Any) -> None:
    """Rates what stands in rerate_asked again, into the table rerate_outcome."""
    cursor.execute("ANALYZE rerate_asked")
    cursor.execute(read_sql("rerate_fill.sql"))
    cursor.execute("ANALYZE rerate_fill")
    # The planner knows nothing of how many rows a step yields and takes it for few: a loop over all of them, for each.
    cursor.execute("SET LOCAL enable_nestloop = off")
    cursor.execute("SET LOCAL jit = off")
    cursor.execute(f"CREATE TEMP TABLE rerate_outcome ON COMMIT DROP AS {read_sql('rerate.sql')}")
    cursor.execute("SET LOCAL enable_nestloop = on")
    cursor.execute("ANALYZE rerate_outcome")


def _compared(cursor: Any) -> Rerated:
    rerate(cursor)
    findings = [finding for (finding,) in cursor.execute(read_sql("rerate_compare.sql"))]
    (examined,) = cursor.execute("SELECT count(*) FROM rerate_asked").fetchone()
    cursor.execute("DROP TABLE rerate_outcome, rerate_fill")
    return Rerated(examined=examined, findings=findings)


def _read_terms(cursor: Any, terms_id: int, document: Mapping[str, Any]) -> None:
    eligibility, pricing = document.get("eligibility", {}), document.get("pricing", {})
    cursor.execute(
        "INSERT INTO rerate_terms VALUES (%s, %s, %s, %s, %s, make_interval(secs => %s))",
        [
            terms_id,
            document["entry_tier"],
            eligibility.get("max_vip", 5),
            eligibility.get("excluded_account_classes", []),
            eligibility.get("fee_discount", "exclude"),
            pricing.get("max_age_seconds", 3600),
        ],
    )
    tiers = document["tiers"]
    cursor.executemany("INSERT INTO rerate_tier VALUES (%s, %s)", [(terms_id, tier["name"]) for tier in tiers])
    cursor.executemany(
        "INSERT INTO rerate_rate VALUES (%s, %s, %s, %s, %s, %s)",
        [(terms_id, tier["name"], *rate) for tier in tiers for rate in _rates(tier["rates"])],
    )


def _rates(rates: Mapping[str, Any]) -> Iterator[tuple[str, str, bool, Decimal]]:
    for product, stated in rates.items():
        for liquidity, affiliated in RATE_COLUMNS:
            if isinstance(stated, Mapping):
                rate = stated.get(f"affiliated_{liquidity}", stated[liquidity]) if affiliated else stated[liquidity]
            else:
                rate = stated
            yield product, liquidity, affiliated, Decimal(rate)
