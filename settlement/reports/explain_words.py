"""An explanation as lines of text for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
SIGNS = {"passed": "ok", "applies": "STOP", "not reached": "-"}


def in_words(document: Document) -> Iterator[str]:
    """The lines of the text."""
    yield from _fill(document)
    yield from _line(document)
    for number, step in enumerate(document["steps"], 1):
        yield ""
        yield f"{number}. {step['step'].upper()}: {step['rule']}"
        yield from _checks(step["checks"]) if "checks" in step else (f"   {sentence}" for sentence in step["says"])
        yield from (f"     from {_version(version)}" for version in step["inputs"])
    yield from _money(document)
    yield from _history(document)


def _fill(document: Document) -> Iterator[str]:
    fill = document["fill"]
    yield f"fill {fill['venue']} {fill['account']} {fill['bill_id']}"
    yield (
        f"   {fill['side']} {fill['size']} {fill['instrument']} ({fill['instrument_type']}) at {fill['price']},"
        f" {fill.get('liquidity', 'liquidity unknown')}, executed {fill['executed_at']}"
    )
    details = [f"fee {fill['fee']} {fill['fee_currency']}"]
    details += [f"{name} {fill[name]}" for name in ("fee_rebate", "fee_discount", "fee_rate", "tag") if fill.get(name)]
    details.append(f"channel {fill.get('channel', 'unknown')}")
    details += [f"sub-type {fill['sub_type']}"] if fill.get("sub_type") else []
    yield f"   {', '.join(details)}"
    yield f"   stored by load {fill['load_id']} ({fill.get('file', 'unknown')}) at {fill.get('loaded_at', 'unknown')}"
    for conflict in document["conflicts"]:
        yield f"   contradicted by row {conflict['row_number']} of {conflict['file']}, which is in quarantine"


def _line(document: Document) -> Iterator[str]:
    line, window = document["line"], document["window"]
    yield ""
    if line is None:
        yield f"no line yet: window {window['window_start']} is {window['status']}; below is what the rules say by now"
        return
    outcome = line["status"] + (f" ({line['reason']})" if line.get("reason") else "")
    if line["status"] == "earned":
        outcome += f" {line['commission_usdt']} USDT"
    flags = f", flags {line['flags']}" if line.get("flags") else ""
    yield (
        f"line {outcome}: broker {line.get('broker_id', 'none')}, product {line['product']}{flags},"
        f" run {line['run_id']} ({line['run_kind']}), revision {line['revision']}"
    )
    yield f"   window {window['window_start']} is {window['status']}; facts as known at {document['known_as_of']}"
    if line["status"] == "pending":
        yield "   a supplementary run settles it once what is missing has been loaded"
    for difference in document["differences"]:
        yield (
            f"   DIFFERS: {difference['what']} is stored as {difference['stored']},"
            f" the rules now say {difference['reckoned']}"
        )
    if not document["differences"]:
        yield "   taken through the rules again: the same line"


def _checks(checks: list[Document]) -> Iterator[str]:
    for check in checks:
        yield f"   {check['number']:>2} {SIGNS[check['verdict']]:<4} {check['reason']:<19} {check['why']}".rstrip()
        yield from (f"                            from {_version(version)}" for version in check["inputs"])


def _version(version: Document) -> str:
    if "row" not in version:
        return str(version["table"])
    return f"{version['table']} row {version['row']}, load {version['load_id']} ({version['file']}, {version['loaded_at']})"


def _money(document: Document) -> Iterator[str]:
    if document["entries"]:
        yield ""
        yield "LEDGER: per run and payee one entry, the sum of its lines"
    for entry in document["entries"]:
        yield (
            f"   entry {entry['entry_id']} {entry['kind']} {entry['direction']} {entry['account']}"
            f" {entry['amount_usdt']} USDT, of it this line {entry['of_this_line_usdt']}"
        )
        yield f"      chain {entry['chain']} #{entry['sequence']}, recorded {entry['recorded_at']}, hash {entry['hash']}"
    if document["payouts"]:
        yield ""
        yield "PAYOUTS: the first instruction to each payee after these entries"
    for payout in document["payouts"]:
        yield (
            f"   payout {payout['payout_id']} to {payout['payee']}: {payout['amount_usdt']} USDT, {payout['status']},"
            f" created {payout['created_at']}"
        )
    instructed = {payout["payee"] for payout in document["payouts"]}
    waiting = [share["payee"] for share in document["shares"] if share["payee"] not in instructed]
    if document["entries"] and waiting:
        yield f"   not instructed yet, still payable: {', '.join(waiting)}"


def _history(document: Document) -> Iterator[str]:
    if len(document["revisions"]) <= 1:
        return
    yield ""
    yield "REVISIONS: what the line was before stays readable"
    for revision in document["revisions"]:
        outcome = revision["status"] + (f" ({revision['reason']})" if revision.get("reason") else "")
        amount = f" {revision['commission_usdt']} USDT" if "commission_usdt" in revision else ""
        yield (
            f"   revision {revision['revision']}: {outcome}{amount}, run {revision['run_id']} ({revision['run_kind']},"
            f" {revision['facts_at']})"
        )
