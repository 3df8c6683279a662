"""The steps of one line in words: what the rule is, what it found, with which version of which input.

Every function takes a `Case` and returns a step: `{step, rule, says, inputs}` and, where there are any, its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from settlement.reports.plain_text import amount, instant
from settlement.rules.facts import ALL
from settlement.rules.money import floor_ledger
from settlement.rules.rating import rate as rate_of_terms

if TYPE_CHECKING:
    from datetime import datetime

    from settlement.reports.provenance import Provenance
    from settlement.reports.reckoning import Reckoning

Step = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A reckoned fill, and where to look up the versions of what it used."""

    reckoning: Reckoning
    provenance: Provenance

    @property
    def executed_at(self) -> datetime:
        """When the fill was executed: what is in force, is in force then."""
        moment: datetime = self.reckoning.fill["executed_at"]
        return moment


def attribution(case: Case) -> Step:
    """Whose client was this?"""
    one = case.reckoning
    tag, who = one.fill["tag"] or "", one.who
    code, link = one.row(one.facts.codes, who.tag_row[0]), one.row(one.facts.clients, who.link_row[0])
    says, inputs = [], []
    if code:
        says.append(
            f"tag {tag!r} is a broker code of {code['broker_id']}, in force since {instant(code['effective_from'])}"
        )
        inputs.append(case.provenance.of("broker_code", **code))
    elif tag and who.tag_is_code[0]:
        says.append(f"tag {tag!r} is a broker code, but not one in force at {instant(case.executed_at)}")
    else:
        says.append(f"tag {tag!r} is no broker code" if tag else "the order carried no tag")
    if link:
        says.append(f"client link to {link['broker_id']}, in force since {instant(link['effective_from'])}")
        inputs.append(case.provenance.of("client_link", **link))
    else:
        says.append("no client link in force")
    path = who.paths[int(who.path[0])]
    if who.overrides[0]:
        says.append("they differ: the tag wins (TAG_OVERRIDES_LINK)")
    says.append(f"broker {path.brokers[-1]}, by its {'tag' if code else 'link'}" if path.brokers else "nobody's client")
    if path.brokers:
        says.append("tree at execution: " + " > ".join(path.brokers))
        inputs += [case.provenance.of("broker", **row) for row in broker_rows(case) if row]
    return {
        "step": "attribution",
        "rule": "the tag first: a broker code in force at execution; else the account's client link in force",
        "says": says,
        "broker_id": path.brokers[-1] if path.brokers else None,
        "root": path.brokers[0] if path.brokers else None,
        "inputs": inputs,
    }


def broker_rows(case: Case) -> list[Row | None]:
    """The rows in force of the brokers from the root down to the attributed one."""
    who = case.reckoning.who
    path = who.paths[int(who.path[0])]
    return [case.reckoning.in_force(case.reckoning.facts.brokers, broker_id=broker) for broker in path.brokers]


def valuation(case: Case) -> Step:
    """What fee was really paid, in USDT?"""
    one = case.reckoning
    currency, price, inputs = price_of(case, one.fill["fee_currency"], one.fee_price.row[0])
    rebate = one.fill["fee_rebate"]
    given_back = f" - rebate {amount(rebate)}" if rebate else ""
    says = [
        f"net fee = -({amount(one.fill['fee'])}){given_back} = {amount(one.net_fee)} {one.fill['fee_currency']}",
        currency,
        _product([one.net_fee, price], one.amounts["net_fee_usdt"]),
    ]
    return {
        "step": "valuation",
        "rule": "net fee = -fee - fee rebate; x the latest price at execution, half-even to 12 decimals",
        "says": says,
        "net_fee": one.net_fee,
        "price_usdt": price,
        "net_fee_usdt": one.amounts["net_fee_usdt"],
        "inputs": inputs,
    }


def notional(case: Case) -> Step:
    """What volume was traded, in USDT?"""
    one, how = case.reckoning, case.reckoning.contracts
    name = one.volume_currency
    sentence, price, inputs = price_of(case, name, one.notional_price.row[0])
    instrument = one.row(one.facts.instruments, how.row[0])
    factors = [one.fill["size"]]
    says = [f"volume counts in {name}", sentence]
    if instrument and instrument["contract_value"] is not None:
        factors += [instrument["contract_value"], instrument["contract_multiplier"]]
        kind = instrument["contract_type"] or "option"
        unit = instrument["contract_value_currency"]
        says.insert(
            0,
            f"{kind}: one contract is {amount(instrument['contract_value'])} {unit}"
            f" x {amount(instrument['contract_multiplier'])}",
        )
    if instrument:
        inputs.insert(0, case.provenance.of("instrument", row_id=int(instrument["row_id"])))
    factors += [one.fill["price"]] if how.by_price[0] else []
    says.append(_product([*factors, price], one.amounts["notional_usdt"]))
    return {
        "step": "notional",
        "rule": "size x price in the quote currency; contracts: face value, linear x price; x the currency's price",
        "says": says,
        "notional_usdt": one.amounts["notional_usdt"],
        "inputs": inputs,
    }


def price_of(case: Case, currency: str, position: Any) -> tuple[str, Decimal, list[Row]]:
    """A currency's price in words, as a number, and its version."""
    row = case.reckoning.row(case.reckoning.facts.prices, position)
    if row is None:
        return "USDT is 1", Decimal(1), []
    version = case.provenance.of("price", price_id=int(row["price_id"]))
    age = (case.executed_at - row["ts"].to_pydatetime()).total_seconds()
    sentence = f"{currency} was {amount(row['price_usdt'])} USDT at {instant(row['ts'])}, {age:g} s before"
    return sentence, row["price_usdt"], [{**version, "ts": row["ts"].to_pydatetime(), "price_usdt": row["price_usdt"]}]


def tier_in_words(case: Case) -> tuple[str, list[Row]]:
    """Which tier the root has at execution and where it comes from."""
    one = case.reckoning
    path = one.who.paths[int(one.who.path[0])]
    override = case.reckoning.in_force(one.facts.tiers, broker_id=path.root)
    if override:
        until = override["effective_to"]
        end = f" until {instant(until)}" if until is not None else ""
        words = f"{path.root} is {one.tier} by an override in force since {instant(override['effective_from'])}{end}"
        return words, [case.provenance.of("tier_override", **override)]
    review = case.reckoning.in_force(one.facts.reviews, broker_id=path.root)
    if review:
        words = f"{path.root} is {one.tier} by the review of {instant(review['effective_from'])}"
        return words, [{"table": "tier_review", **review}]
    return f"{path.root} has no override and no review: the entry tier, {one.tier}", []


def own_in_words(case: Case) -> tuple[list[str], list[Row]]:
    """What the root has of its own instead of the terms' rate, or below it; nothing for most."""
    one = case.reckoning
    own, floor = one.row(one.facts.overrides, one.own.rate[0]), one.row(one.facts.overrides, one.own.floor[0])
    override = own or floor
    if override is None:
        return [], []
    scope = [override[name] for name in ("product", "liquidity") if override[name] != ALL]
    until = override["effective_to"]
    words = (
        f"{override['broker_id']} has {'a rate' if own else 'a floor'} of its own for {', '.join(scope) or 'everything'}:"
        f" {amount(override['value'])}, in force since {instant(override['effective_from'])}"
        + (f" until {instant(until)}" if until is not None else "")
    )
    return [words], [case.provenance.of("broker_override", **override)]


def rating(case: Case) -> Step:
    """Which percentage of it is commission?"""
    one = case.reckoning
    terms, rate = one.terms, one.basis.rate
    if terms is None or rate is None:
        raise ValueError("only an earned line is rated")
    sentence, inputs = tier_in_words(case)
    own_words, own_inputs = own_in_words(case)
    link = one.row(one.facts.clients, one.who.link_row[0])
    affiliated = bool(link and link["affiliated"])
    product, liquidity = one.basis.product, one.fill["liquidity"]
    terms_rate = rate_of_terms(terms, tier=one.tier, product_name=product, liquidity=liquidity, affiliated=affiliated)
    says = [
        sentence,
        f"terms {terms.name!r}, in force since {instant(terms.effective_from)}",
        f"{product}, {liquidity}, {'' if affiliated else 'not '}affiliated: {amount(terms_rate)}",
        *own_words,
        *_commission(one, rate),
    ]
    return {
        "step": "rating",
        "rule": "the root's own rate, else the terms' for its tier, by product, liquidity and affiliation, but not below its"
        " floor; half-even to 12 decimals",
        "says": says,
        "tier": one.tier,
        "terms": terms.name,
        "rate": rate,
        "commission_usdt": one.amounts["commission_usdt"],
        "inputs": [*inputs, case.provenance.of("program_terms", terms_id=terms.terms_id), *own_inputs],
    }


def _commission(one: Reckoning, rate: Decimal) -> list[str]:
    """What is earned, and what a cap leaves of it."""
    earned = one.amounts["commission_usdt"]
    would_earn = one.cap.would_earn if one.cap else earned
    product = _product([one.amounts["net_fee_usdt"], rate], would_earn)
    return [product] if would_earn == earned else [product, f"the month's cap leaves {amount(earned)} of it"]


def split(case: Case) -> Step:
    """Who gets which part?"""
    one = case.reckoning
    path = one.basis.split
    if path is None:
        raise ValueError("only an earned line is split")
    received = one.amounts["commission_usdt"]
    says, parts = [f"{path.payees[0]} receives {amount(received)}"], []
    for position, payee in enumerate(path.payees):
        last = position + 1 == len(path.payees)
        share = None if last else path.shares[position + 1]
        passed = received * 0 if share is None else floor_ledger(received * share)
        if share is not None:
            below = path.payees[position + 1]
            says.append(f"{below} receives floor12({amount(received)} x {amount(share)}) = {amount(passed)}")
        says.append(f"{payee} keeps {amount(received - passed)}")
        parts.append({"payee": payee, "amount_usdt": received - passed})
        received = passed
    return {
        "step": "split",
        "rule": "down the path a child receives floor12(what its parent received x its share); the parent keeps the rest",
        "says": says,
        "shares": [part for part in parts if part["amount_usdt"]],
        "inputs": [],
    }


def _product(factors: list[Decimal], result: Decimal) -> str:
    return " x ".join(amount(factor) for factor in factors) + f" = {amount(result)} USDT"
