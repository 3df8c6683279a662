"""A line's history as lines of text for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]


def in_words(document: Document) -> Iterator[str]:
    """The lines of the text."""
    fill, window = document["fill"], document["window"]
    yield f"fill {fill['venue']} {fill['account']} {fill['bill_id']}, executed {fill['executed_at']}"
    yield f"   stored by load {fill['load_id']} ({fill['file']}) at {fill['loaded_at']}"
    if not document["versions"]:
        yield f"   no line yet: window {window['window_start']} is {window['status']}"
    for version in document["versions"]:
        yield ""
        yield from _version(version)


def _version(version: Document) -> Iterator[str]:
    outcome = version["status"] + (f" ({version['reason']})" if version.get("reason") else "")
    if version["status"] == "earned":
        outcome += f" {version['commission_usdt']} USDT"
    yield f"revision {version['revision']}: {outcome}"
    yield (
        f"   run {version['run_id']} ({version['run_kind']}), opened {version['opened_at']},"
        f" recorded {version['recorded_at']}"
    )
    yield from (f"   {sentence}" for sentence in _why(version["why"]))
    for change in version["changes"]:
        yield f"   {change['what']}: {_value(change['from'])} -> {_value(change['to'])}"
    for moved in version["payees"]:
        yield f"   {moved['payee']}: {moved['from_usdt']} -> {moved['to_usdt']} USDT"


def _why(why: Document) -> Iterator[str]:
    if why["cause"] == "scheduled":
        yield "the scheduled settlement of its window"
    elif why["cause"] == "attributed later":
        yield f"what was known when run {why['after']['run_id']} was opened left it without a line"
    elif why["cause"] == "resolved":
        yield f"it was pending ({why['reason']}), and what was missing has come"
    elif why["cause"] == "cap moved":
        yield "what was settled late before it in the month has moved what the cap leaves"
    elif why["cause"] == "recalculation":
        yield from _plan(why["plan"])
    if "arrived" in why:
        yield _late(why["arrived"], why["after"])
    yield from (_fact(fact) for fact in why.get("facts", ()))


def _late(arrived: Document, first: Document) -> str:
    if first["settled_at"] is None:
        after = f"run {first['run_id']} of its window had been opened at {first['opened_at']}"
    else:
        after = f"its window was settled at {first['settled_at']}"
    return f"a late fill: it came with load {arrived['load_id']} ({arrived['file']}) at {arrived['loaded_at']}, after {after}"


def _plan(plan: Document) -> Iterator[str]:
    yield f"recalculation {plan['plan_id']}: {plan['reason']}"
    yield (
        f"planned by {plan['planned_by']} at {plan['planned_at']}, approved by {plan['approved_by']} at"
        f" {plan['approved_at']}, applied by {plan['applied_by']} at {plan['applied_at']}"
    )


def _fact(fact: Document) -> str:
    version = f"{fact['table']} row {fact['row']}"
    if fact.get("ended"):
        return f"by {version}, which load {fact['load_id']} ({fact['file']}) replaced at {fact['loaded_at']}"
    if "load_id" not in fact:
        return f"by {version}, reviewed at {fact['loaded_at']}"
    instead = f" instead of row {fact['instead_of']}" if "instead_of" in fact else ""
    return f"by {version}{instead}, which load {fact['load_id']} ({fact['file']}) brought at {fact['loaded_at']}"


def _value(value: Any) -> Any:
    return "none" if value in (None, "") else value
