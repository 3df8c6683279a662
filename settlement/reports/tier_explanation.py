"""Which tier a broker has at an instant, where it comes from, and what that came from: the document and its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from settlement.errors import Refused
from settlement.reports.plain_text import instant, words
from settlement.rules.products import SPOT
from settlement.rules.review import CONTRACTS
from settlement.store import reviews
from settlement.store.terms import terms_in_force

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from settlement.store.reviews import Review

RULE = "an override in force, else the latest review, else the entry tier of the terms; that of the root of the tree counts"

_OVERRIDES = """
    SELECT o.broker_id, o.tier, o.effective_from, o.effective_to, o.reason, l.load_id, l.source AS file, l.loaded_by, l.loaded_at,
           l.correction
    FROM tier_override o JOIN load l USING (load_id)
    WHERE o.broker_id = :broker_id AND o.replaced_by_load IS NULL AND o.effective_from <= :at
    ORDER BY o.effective_from DESC LIMIT 1
"""


def explain_tier(connection: Connection, broker_id: str, *, at: datetime) -> dict[str, Any]:
    """`{broker_id, at, root, tier, from, rule, terms, override, reviews}`; Refused where the broker has no tier then.

    `from` is "override", "review" or "entry tier". `override` is the latest that has begun, in force or ended, and
    `reviews` are all that were ever made for the latest instant, the one that counts first.
    """
    root = reviews.root_of(connection, broker_id, at=at)
    if root is None:
        raise Refused(
            f"it is in no tree at {instant(at)}",
            where=f"broker {broker_id}",
            mend="settlement brokers list shows which are",
        )
    terms = terms_in_force(connection, at)
    standing = reviews.standing_tiers(connection, [root], at=at)[root]
    override = connection.execute(text(_OVERRIDES), {"broker_id": root, "at": at}).mappings().first()
    tier = standing.tier or (terms.entry_tier if terms else None)
    if tier is None:
        raise Refused(
            f"no terms are in force at {instant(at)}", where=f"broker {broker_id}", mend="settlement terms load FILE"
        )
    return {
        "broker_id": broker_id,
        "at": at,
        "root": root,
        "tier": tier,
        "from": "override" if standing.override else "review" if standing.review else "entry tier",
        "rule": RULE,
        "terms": {"terms_id": terms.terms_id, "name": terms.name, "tiers": [tier.name for tier in terms.tiers]}
        if terms
        else None,
        "override": dict(override) if override else None,
        "reviews": [_document(review) for review in _latest(connection, root, at=at)],
    }


def _latest(connection: Connection, root: str, *, at: datetime) -> list[Review]:
    made = [review for review in reviews.reviews_of(connection, broker_id=root) if review.effective_from <= at]
    return reviews.versions_of_review(connection, root, made[-1].effective_from) if made else []


def _document(review: Review) -> dict[str, Any]:
    return dict(vars(review))


def in_words(document: Mapping[str, Any]) -> Iterator[str]:
    """The document, a line a sentence."""
    at, root = instant(document["at"]), document["root"]
    under = "" if root == document["broker_id"] else f"it is under {root}, whose tier counts: "
    yield f"{document['broker_id']} at {at}: {under}{document['tier']}, from the {_source(document)}"
    yield f"   {document['rule']}"
    if document["override"]:
        yield from _override_in_words(document["override"], at=document["at"])
    for number, review in enumerate(document["reviews"]):
        yield from _review_in_words(review, is_latest=number == 0)
    if not document["reviews"]:
        yield "   no review of it has taken effect yet"


def _source(document: Mapping[str, Any]) -> str:
    if document["from"] == "review":
        return f"review of {document['reviews'][0]['effective_from']:%Y-%m-%d}"
    terms = document["terms"]
    return f"entry tier of terms {terms['name']!r}" if document["from"] == "entry tier" else "override"


def _override_in_words(override: Mapping[str, Any], *, at: datetime) -> Iterator[str]:
    ends = override["effective_to"]
    until = "without an end" if ends is None else f"until {instant(ends)}"
    over = " (it has ended: no older one comes back)" if ends is not None and ends <= at else ""
    yield f"   override: {override['tier']} from {instant(override['effective_from'])}, {until}{over}"
    yield f"     reason: {override['reason'] or 'none given'}"
    yield f"     load {override['load_id']} of {instant(override['loaded_at'])} by {override['loaded_by']}: {override['file']}"


def _review_in_words(review: Mapping[str, Any], *, is_latest: bool) -> Iterator[str]:
    made = f"made {instant(review['reviewed_at'])} by {review['reviewed_by'] or 'nobody known'}"
    why = f", corrected by recalculation plan {review['plan_id']}" if review["plan_id"] else ""
    yield f"   review of {review['effective_from']:%Y-%m-%d}: {review['tier']}{'' if is_latest else ', replaced by the one above'}"
    yield f"     {made}{why}; before it: {review['previous_tier'] or 'not recorded'}"
    if review["period_start"]:
        yield f"     counted: windows from {instant(review['period_start'])} to {instant(review['period_end'])}, by terms number {review['terms_id']}"
    yield f"     volume {words(review['volume_usdt'])} USDT, {review['clients']} clients that count"
    yield from _inputs_in_words(review["inputs"] or {})
    if review["gap"]:
        yield f"     missing to {review['next_tier']}: {_gap(review['gap'])}"
    if review["anyway"]:
        yield f"     made although not everything was settled: {_unfinished(review['inputs'])}"


def _inputs_in_words(inputs: Mapping[str, Any]) -> Iterator[str]:
    if not inputs:
        return
    for group in (SPOT, CONTRACTS):
        yield (
            f"       {group}: volume {inputs['volume_usdt'][group]}, {inputs['new_clients'][group]} new clients,"
            f" {inputs['active_clients'][group]} active"
        )
    yield f"       all: {inputs['new_clients']['all']} new clients, {inputs['active_clients']['all']} active"


def _gap(gap: Mapping[str, Any]) -> str:
    """Where groups count apart, one of them is enough."""
    each = [
        f"{'' if group == 'all' else f'{group} '}{missing['volume_usdt']} USDT of volume and {missing['clients']} clients"
        for group, missing in gap.items()
    ]
    return ", or ".join(each)


def _unfinished(inputs: Mapping[str, Any]) -> str:
    left = inputs["unfinished"]
    pending = sum(one["lines"] for one in left["pending"])
    return f"{left['windows']} windows, {pending} pending lines" + (", no window at all" if left["empty"] else "")
