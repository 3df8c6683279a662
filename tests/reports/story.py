"""A small program whose books change in every way there is, chapter by chapter, with what was exported after each.

Two roots, alpha and beta; gamma is below beta (half) and moves to alpha (a quarter) by a correction. Clients 1 (alpha),
2 (beta, whose level comes late) and 3 (gamma, with a rebate); four windows from 06:00, the last of them never settled.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from sqlalchemy import text

from settlement.ledger.entries import payout_failed
from settlement.pipeline import recalculate
from settlement.pipeline.ingest import ingest
from settlement.pipeline.load_registry import load_registry_rows
from settlement.pipeline.load_report import Act
from settlement.pipeline.load_terms import load_terms
from settlement.pipeline.recalculation_plan import plan_all
from settlement.pipeline.review import review_month
from settlement.pipeline.settle import open_run, settle_shard, settle_window
from settlement.program.registry import check_rows
from settlement.reports.export_queries import QUERIES
from settlement.reports.exports import Selection, export
from settlement.reports.issue_statement import issue
from settlement.reports.statement import as_json
from settlement.store.database import Database
from settlement.store.ledger import post_entries
from settlement.store.payouts import list_payouts
from settlement.store.statements import Issued
from settlement.venues.reading import FillFile
from tests.venues.fill_files import GOOD, as_csv
from tests.workers.program import TERMS

FIRST = datetime(2026, 3, 1, 6, tzinfo=UTC)
WINDOWS = [FIRST + timedelta(hours=number) for number in range(4)]
PAYEES = ("alpha", "beta", "gamma", "client:okx:3")
STATED = ("a fill comes late", "one shard of it is settled", "the correction is applied")
AGO = "2026-01-01T00:00:00Z"
SELECTIONS = {
    "all": Selection(),
    "the second window": Selection(start=WINDOWS[1], end=WINDOWS[2]),
    "alpha": Selection(broker="alpha"),
    "beta until the third window": Selection(end=WINDOWS[2], broker="beta"),
}

Exports = dict[tuple[str, str], bytes]


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """When it ended, by the database's clock, and what every export was then, by (what, selection)."""

    ended_at: datetime
    exports: Exports


@dataclass(frozen=True, kw_only=True)
class Told:
    """The database at the end, its chapters by name, and the statements with the JSON that each was issued as."""

    database: Database
    chapters: dict[str, Chapter]
    statements: dict[tuple[str, str], tuple[Issued, bytes]]


def tell_all(database: Database) -> Told:
    """Lives through all chapters; after those of STATED a statement is issued to every payee."""
    chapters, statements = {}, {}
    for name, live in CHAPTERS.items():
        live(database)
        chapters[name] = Chapter(ended_at=clock(database), exports=exported(database))
        for payee in PAYEES if name in STATED else ():
            issued, document = issue(database, payee=payee, start=FIRST, end=WINDOWS[3], by="ana")
            statements[name, payee] = issued, as_json(document)
    return Told(database=database, chapters=chapters, statements=statements)


def exported(database: Database, *, as_of: datetime | None = None) -> Exports:
    return {
        (what, name): export_bytes(database, what, selection, as_of=as_of)
        for what in QUERIES
        for name, selection in SELECTIONS.items()
    }


def export_bytes(
    database: Database, what: str, selection: Selection, *, as_of: datetime | None = None, file_format: str = "csv"
) -> bytes:
    sink = io.BytesIO()
    with database.transaction() as connection:
        chosen = Selection(**{**vars(selection), "as_of": as_of})
        export(connection, what, file_format=file_format, selection=chosen, sink=sink)
    return sink.getvalue()


def clock(database: Database) -> datetime:
    with database.transaction() as connection:
        moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment


def now() -> datetime:
    return datetime.now(UTC)


def fill(account: str, bill_id: str, window: datetime, fee: str = "-1") -> dict[str, str]:
    return GOOD | {
        "account": account,
        "bill_id": bill_id,
        "fee": fee,
        "fee_currency": "USDT",
        "tag": "",
        "channel": "api",
        "executed_at": (window + timedelta(minutes=10)).isoformat(),
    }


def take_in(database: Database, file: str, fills: Sequence[Mapping[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / file
        path.write_bytes(as_csv(fills))
        ingest(database, FillFile(path), source="desk", file=file, loaded_by="test", now=now())


def load(database: Database, file: str, text_rows: str, *, correction: str | None = None) -> None:
    """Rows of a registry file, the first line of `text_rows` being its header."""
    header, *rows = (line.split(",") for line in text_rows.strip().splitlines())
    table = pa.table({name.strip(): [row[column].strip() for row in rows] for column, name in enumerate(header)})
    checked = check_rows(file, table, source=f"{correction or 'first'}/{file}")
    load_registry_rows(
        database, [checked], source=checked.path.as_posix(), act=Act(loaded_by="test", correction=correction)
    )


def recalculation(database: Database, *, reason: str, start: datetime = FIRST, end: datetime = WINDOWS[2]) -> int:
    """Planned by ana, approved by ben, applied by cleo."""
    plan_id = recalculate.request(database, start=start, end=end, broker=None, reason=reason, by="ana")
    plan_all(database, plan_id, progress=lambda _done, _all: None)
    recalculate.approve(database, plan_id, by="ben")
    recalculate.apply(database, plan_id, by="cleo", now=now)
    return plan_id


def _begin(database: Database) -> None:
    load(
        database,
        "brokers.csv",
        f"""
        broker_id,name,model,parent_id,share,status,effective_from
        alpha,Alpha,api,,,active,{AGO}
        beta,Beta,api,,,active,{AGO}
        gamma,Gamma,api,beta,0.5,active,{AGO}
        """,
    )
    load(
        database,
        "clients.csv",
        f"""
        venue,account,broker_id,effective_from,rebate_share
        okx,1,alpha,{AGO},
        okx,2,beta,{AGO},
        okx,3,gamma,{AGO},0.1
        """,
    )
    load(database, "vip_levels.csv", f"venue,account,level,effective_from\nokx,1,1,{AGO}\nokx,3,1,{AGO}")
    load(database, "tiers.csv", "broker_id,tier,effective_from,reason\nbeta,T1,2026-04-01T00:00:00Z,agreed")
    terms = TERMS.replace('auto_approve_limit = "100"', 'auto_approve_limit = "1"')
    load_terms(database, terms, source="terms.toml", act=Act(loaded_by="test"))
    take_in(
        database,
        "first.csv",
        [
            fill(account, f"{account}-{window.hour}-{number}", window, fee=f"-{number}.123456")
            for account in ("1", "2", "3", "9")
            for window in WINDOWS
            for number in range(1, 4)
        ],
    )


def _settle_two(database: Database) -> None:
    for window in WINDOWS[:2]:
        settle_window(database, window, now=now())


def _late_fill(database: Database) -> None:
    take_in(database, "late.csv", [fill("1", "late", WINDOWS[0], fee="-7.5")])
    settle_window(database, WINDOWS[0], now=now())


def _level_comes(database: Database) -> None:
    load(database, "vip_levels.csv", f"venue,account,level,effective_from\nokx,2,2,{AGO}")
    _settle_two(database)


def _open_the_third(database: Database) -> None:
    """A source lags, so it will be incomplete."""
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO source (name, watermark) VALUES ('desk', :to)"), {"to": WINDOWS[2]})
    open_run(database, WINDOWS[2], now=now())


def _one_shard_of_the_third(database: Database) -> None:
    opened = open_run(database, WINDOWS[2], now=now())
    assert opened is not None
    settle_shard(database, opened.run_id, "beta", now=now())


def _rest_of_the_third(database: Database) -> None:
    settle_window(database, WINDOWS[2], now=now())


def _facts_are_corrected(database: Database) -> None:
    since = WINDOWS[1].isoformat()
    load(
        database,
        "brokers.csv",
        f"broker_id,name,model,parent_id,share,status,effective_from\ngamma,Gamma,api,alpha,0.25,active,{since}",
        correction="gamma had moved",
    )
    load(database, "vip_levels.csv", f"venue,account,level,effective_from\nokx,2,6,{AGO}", correction="it is VIP 6")
    load(database, "tiers.csv", "broker_id,tier,effective_from,reason\nbeta,T2,2026-04-01T00:00:00Z,agreed anew")


def _recalculated(database: Database) -> None:
    recalculation(database, reason="gamma moved, and 2 is VIP 6")


def _payout_fails(database: Database) -> None:
    with database.transaction() as connection:
        payout = next(one for one in list_payouts(connection, payee="alpha"))
        entry = payout_failed(
            payout_key=payout.idempotency_key, payee="alpha", amount=payout.amount, effective_at=now()
        )
        post_entries(connection, chain=payout.chain, entries=[entry])
        update = text("UPDATE payout SET status = 'failed' WHERE payout_id = :payout_id")
        connection.execute(update, {"payout_id": payout.payout_id})


def _reviewed(database: Database) -> None:
    review_month(database, datetime(2026, 3, 1, tzinfo=UTC), by="ana", now=now(), anyway=True)


def _review_corrected(database: Database) -> None:
    """As a recalculation does that changes what a review stands on: another row for the same instant."""
    with database.transaction() as connection:
        connection.execute(
            text("""
                INSERT INTO tier_review (broker_id, tier, effective_from, volume_usdt, clients)
                VALUES ('alpha', 'T2', '2026-04-01T00:00Z', 12.5, 3)
            """)
        )


CHAPTERS: Mapping[str, Callable[[Database], None]] = {
    "nothing is settled": _begin,
    "two windows are settled": _settle_two,
    "a fill comes late": _late_fill,
    "a level comes late": _level_comes,
    "the third window is being settled": _open_the_third,
    "one shard of it is settled": _one_shard_of_the_third,
    "the third window is settled": _rest_of_the_third,
    "facts are corrected": _facts_are_corrected,
    "the correction is applied": _recalculated,
    "a payout fails": _payout_fails,
    "the month is reviewed": _reviewed,
    "a review is corrected": _review_corrected,
}
