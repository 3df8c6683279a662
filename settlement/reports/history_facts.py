"""Which facts made a line come out otherwise: what it used by then and was not known before, and what was replaced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from settlement.reports import explain_steps as steps
from settlement.reports.explain import steps_of
from settlement.reports.provenance import TABLES, Provenance
from settlement.reports.reckoning import reckon
from settlement.store.lines import WINDOW

Row = dict[str, Any]

REVIEW = """
SELECT row_id AS row, reviewed_at AS loaded_at, plan_id FROM tier_review
WHERE broker_id = :broker_id AND effective_from = :effective_from AND reviewed_at <= :as_of
ORDER BY reviewed_at DESC LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class Known:
    """When facts were read: for what stood before, and for what came then."""

    before: datetime
    then: datetime


def facts_between(connection: Connection, placed: Row, known: Known) -> list[Row]:
    """The facts that became known in between and that a fill's outcome stands on.

    `placed` is the fill's key and its window_start. Each fact is `{table, row, load_id, file, loaded_at}`; with
    `instead_of` the row that it replaces, or `ended` true if a row was replaced by one that is not in force any more.
    """
    came = [one for one in _inputs(connection, placed, known.then) if one["loaded_at"] > known.before]
    replaced = [
        row for one in _inputs(connection, placed, known.before) for row in _replaced(connection, one, by=known.then)
    ]
    ended = []
    for row in replaced:
        successor = next((one for one in came if _successor(one, row)), None)
        if successor is not None:
            successor["instead_of"] = row["row"]
        else:
            ended.append({**row, "ended": True})
    return [*came, *ended]


def _successor(one: Row, replaced: Row) -> bool:
    return (one["table"], one.get("load_id"), one.get("instead_of")) == (replaced["table"], replaced["load_id"], None)


def _inputs(connection: Connection, placed: Row, as_of: datetime) -> list[Row]:
    """The versions of all that the fill's outcome stood on by what was known at `as_of`, each once."""
    key = {name: placed[name] for name in ("venue", "account", "bill_id")}
    start = placed["window_start"]
    reckoning = reckon(connection, key, window=(start, start + WINDOW), as_of=as_of)
    case = steps.Case(reckoning=reckoning, provenance=Provenance(connection, as_of=as_of))
    told = steps_of(case)
    found = [one for step in told for part in (step, *step.get("checks", ())) for one in part["inputs"]]
    versions = [_review(connection, one, as_of) if one["table"] == "tier_review" else one for one in found]
    return list({(one["table"], one["row"]): one for one in versions if "row" in one}.values())


def _review(connection: Connection, review: Row, as_of: datetime) -> Row:
    key = {"broker_id": review["broker_id"], "effective_from": review["effective_from"], "as_of": as_of}
    row = connection.execute(text(REVIEW), key).mappings().one()
    return {"table": "tier_review", **row}


def _replaced(connection: Connection, one: Row, *, by: datetime) -> list[Row]:
    """The row again, with the load that replaced it by then; empty if it stood."""
    if one["table"] not in TABLES:
        return []
    identity, _ = TABLES[one["table"]]
    query = f"""
        SELECT t.{identity} AS row, l.load_id, l.source AS file, l.loaded_at
        FROM {one["table"]} t JOIN load l ON l.load_id = t.replaced_by_load
        WHERE t.{identity} = :row AND l.loaded_at <= :by
    """  # noqa: S608 - the names are those of TABLES
    rows = connection.execute(text(query), {"row": one["row"], "by": by}).mappings()
    return [{"table": one["table"], **row} for row in rows]
