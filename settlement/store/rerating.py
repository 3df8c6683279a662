"""The second opinion: lines rated again by the rulebook in plain SQL (sql/rerate.sql), apart from settlement/rules.

SQL cannot read TOML, so the terms are read here, from their documents, into tables; nothing else happens in Python.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from settlement.store.copying import raw_cursor
from settlement.store.sql import read_sql

# Where only what a monthly cap left has changed, a line keeps the rating of its revision before, and what was known by then.
_ASK = """
INSERT INTO rerate_asked (window_start, venue, account, bill_id, revision, known_at, remainder_usdt)
SELECT l.window_start, l.venue, l.account, l.bill_id, l.revision, coalesce(rated.known_at, s.facts_at, r.opened_at),
       CASE WHEN 'CAP_REMAINDER' = ANY (string_to_array(b.flags, ';')) THEN l.commission_usdt END
FROM line l JOIN run r USING (run_id)
LEFT JOIN basis b USING (basis_id) LEFT JOIN run_shard s ON s.run_id = l.run_id AND s.root = b.root
LEFT JOIN LATERAL (
    SELECT coalesce(os.facts_at, o.opened_at) AS known_at
    FROM line one JOIN run o USING (run_id) JOIN basis ob USING (basis_id)
    LEFT JOIN run_shard os ON os.run_id = one.run_id AND os.root = ob.root
    LEFT JOIN line p ON (p.window_start, p.venue, p.account, p.bill_id, p.revision)
                      = (one.window_start, one.venue, one.account, one.bill_id, one.revision - 1)
    LEFT JOIN basis pb ON pb.basis_id = p.basis_id
    WHERE (one.window_start, one.venue, one.account, one.bill_id) = (l.window_start, l.venue, l.account, l.bill_id)
      AND one.revision <= l.revision
      AND (pb.status = 'earned' AND (ob.root, ob.broker_id, ob.product) = (pb.root, pb.broker_id, pb.product)
           AND array_remove(string_to_array(ob.flags, ';'), 'CAP_REMAINDER')
             = array_remove(string_to_array(pb.flags, ';'), 'CAP_REMAINDER')
           AND (ob.reason = 'CAP_REACHED' OR (
               ob.tier, ob.rate, ob.terms_id, ob.split_id, one.net_fee_usdt, one.notional_usdt, coalesce(one.price_id, 0),
               coalesce(one.notional_price_id, 0)
           ) = (pb.tier, pb.rate, pb.terms_id, pb.split_id, p.net_fee_usdt, p.notional_usdt, coalesce(p.price_id, 0),
                coalesce(p.notional_price_id, 0)))) IS NOT TRUE
    ORDER BY one.revision DESC LIMIT 1
) rated ON l.revision > 0
"""
ASK_SAMPLE = f"{_ASK} ORDER BY random() LIMIT %(sample)s"
ASK_WINDOW = f"{_ASK} WHERE l.window_start = %(window_start)s"
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
            cursor.execute("TRUNCATE rerate_asked")
            cursor.execute(ASK_WINDOW, {"window_start": window_start})
            window = _compared(cursor)
            rerated.examined += window.examined
            rerated.findings += window.findings
    return rerated


def prepare(cursor: Any) -> None:
    """Makes the tables that rerate.sql reads, with the terms in them, once; they last as long as the transaction."""
    if cursor.execute("SELECT to_regclass('pg_temp.rerate_terms')").fetchone() != (None,):
        return
    cursor.execute(read_sql("rerate_tables.sql"))
    for terms_id, document in cursor.execute("SELECT terms_id, document FROM program_terms").fetchall():
        _read_terms(cursor, terms_id, tomllib.loads(document, parse_float=Decimal))


def rerate(cursor: Any) -> None:
    """Rates what stands in rerate_asked again, into the table rerate_outcome."""
    cursor.execute("ANALYZE rerate_asked")
    _fill_anew(cursor, "rerate_fill", read_sql("rerate_fill.sql"))
    with step_by_step(cursor):
        _fill_anew(cursor, "rerate_outcome", read_sql("rerate.sql"))


def _fill_anew(cursor: Any, table: str, query: str) -> None:
    """Fills a table of the transaction, made once: each that was ever made holds locks, and a year has 8,760 windows."""
    if cursor.execute("SELECT to_regclass(%s)", [f"pg_temp.{table}"]).fetchone() == (None,):
        cursor.execute(f"CREATE TEMP TABLE {table} ON COMMIT DROP AS {query}")
    else:
        cursor.execute(f"TRUNCATE {table}")
        cursor.execute(f"INSERT INTO {table} {query}")
    cursor.execute(f"ANALYZE {table}")


@contextmanager
def step_by_step(cursor: Any) -> Iterator[None]:
    """For a query of many steps: the planner knows nothing of how many rows a step yields and takes it for few.

    It would loop over all of them, for each.
    """
    cursor.execute("SET LOCAL enable_nestloop = off")
    cursor.execute("SET LOCAL jit = off")
    yield
    cursor.execute("SET LOCAL enable_nestloop = on")


def _compared(cursor: Any) -> Rerated:
    rerate(cursor)
    findings = [finding for (finding,) in cursor.execute(read_sql("rerate_compare.sql"))]
    (examined,) = cursor.execute("SELECT count(*) FROM rerate_asked").fetchone()
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
    if "cap" in document:
        cap = document["cap"]
        cursor.execute(
            "INSERT INTO rerate_cap VALUES (%s, %s, %s)", [terms_id, Decimal(cap["monthly_usdt"]), cap["vip_levels"]]
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
