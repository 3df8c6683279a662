"""A recalculation plan in words, and as a document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from settlement.cli.output import console, print_json
from settlement.pipeline.recalculate import changed_inputs
from settlement.reports.plain_text import plain
from settlement.store.recalculation_report import parts, totals
from settlement.store.recalculations import follower_of, plan_of

if TYPE_CHECKING:
    from datetime import datetime

    from settlement.store.database import Database
    from settlement.store.recalculations import Plan

ROWS_SHOWN = 20
SAME_RESULT = "the same, but for its flags, grounds or shares"
"""Of a line that keeps its broker, its reason and its commission."""


def print_plan(database: Database, plan_id: int, *, as_json: bool) -> None:
    """Prints the whole plan; of many rows the first ones, all of them with `as_json`."""
    document = _document(database, plan_id)
    if as_json:
        print_json(document)
        return
    for line in _head(document):
        typer.echo(line)
    target = console()
    for name, title in TITLES.items():
        rows = [_line_in_words(row) for row in document[name]] if name == "top_lines" else document[name]
        if rows:
            target.print(_table(title, rows))
    typer.echo(_next_step(document))


def print_state(plan: Plan, *, as_json: bool, follower: int | None = None) -> None:
    """Prints where a plan is in its life, and the plan that follows it."""
    if as_json:
        print_json(plain({**asdict(plan), "followed_by": follower}))
        return
    who = {
        "approved": f"approved by {plan.approved_by}; next: settlement recalc apply {plan.plan_id}",
        "applying": f"being posted; go on with: settlement recalc apply {plan.plan_id}",
        "applied": f"applied by {plan.applied_by} at {_time(plan.applied_at)}",
        "cancelled": f"cancelled by {plan.cancelled_by} at {_time(plan.cancelled_at)}",
    }
    typer.echo(f"plan {plan.plan_id} is {who.get(plan.status, plan.status)}")
    if follower is not None:
        typer.echo(
            f"plan {follower} follows it, for windows that the tier before rated while it waited:"
            f" settlement recalc show {follower}"
        )


TITLES = {
    "payees": "Difference per payee",
    "windows": "Difference per window",
    "moves": "Lines that move",
    "top_lines": "Lines that move most commission",
    "reviews": "Reviews that would have come out otherwise",
}


def _document(database: Database, plan_id: int) -> dict[str, Any]:
    with database.transaction() as connection:
        plan = plan_of(connection, plan_id)
        found = {
            **asdict(plan),
            "followed_by": follower_of(connection, plan_id),
            **asdict(totals(connection, plan_id)),
            "changed_since": changed_inputs(connection, plan),
            **parts(connection, plan_id),
        }
    document: dict[str, Any] = plain(found)
    return document


def _head(document: dict[str, Any]) -> list[str]:
    about = f", broker {document['broker_id']} and below" if document["broker_id"] else ""
    progress = f"{document['windows_planned']:,} of {document['windows_total']:,} windows planned"
    change = f"{document['lines']:,} lines change, commission by {document['commission_usdt']} USDT"
    return [
        f"plan {document['plan_id']} is {document['status']}: {document['reason']}",
        f"windows {document['range_start']} to {document['range_end']}{about}; planned by {document['planned_by']}",
        f"{progress}, {document['fills']:,} fills compared: {change}",
    ]


def _line_in_words(row: dict[str, Any]) -> dict[str, Any]:
    """One line with each side in one cell, so that the table fits a terminal."""
    sides = {
        side: " ".join(
            str(part)
            for part in (row[f"{side}_broker"], row[f"{side}_reason"] or row[f"{side}_commission_usdt"])
            if part is not None
        )
        for side in ("from", "to")
    }
    if sides["from"] == sides["to"]:
        sides["to"] = SAME_RESULT
    line = f"{row['venue']} {row['account']} {row['bill_id']}"
    return {"window start": row["window_start"], "line": line, **sides, "change usdt": row["change_usdt"]}


def _next_step(document: dict[str, Any]) -> str:
    plan_id, status, follower = document["plan_id"], document["status"], document["followed_by"]
    if document["changed_since"]:
        return f"it cannot be applied any more: {'; '.join(document['changed_since'])}; plan it anew"
    return {
        "planning": "next: the workers go on planning it; look again in a while",
        "planned": f"next, by somebody else: settlement recalc approve {plan_id} --by NAME",
        "approved": f"next: settlement recalc apply {plan_id}",
        "applying": f"next: settlement recalc apply {plan_id} goes on posting it",
        "applied": f"plan {follower} follows it: settlement recalc show {follower}"
        if follower
        else "nothing is left to do",
    }.get(status, "nothing is left to do")


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    shown = f" (the first {ROWS_SHOWN} of {len(rows):,}; all with --json)" if len(rows) > ROWS_SHOWN else ""
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title + shown, title_justify="left")
    for row in rows[:ROWS_SHOWN]:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table


def _time(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "no time"
