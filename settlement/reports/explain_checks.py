"""The eligibility checks of one fill, in order, each with what it looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from settlement.reports.explain_steps import broker_rows, tier_in_words
from settlement.reports.plain_text import amount, instant
from settlement.rules.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from settlement.reports.explain_steps import Case, Row


def checks(case: Case) -> dict[str, Any]:
    """The step: each check `{number, reason, verdict, why, inputs}`.

    Verdicts: "passed", "applies" (the first one, which is the line's reason) and "not reached".
    """
    rows, decided = [], False
    for reason, look in LOOKS.items():
        applies = case.reckoning.applies[reason]
        verdict = "not reached" if decided else "applies" if applies else "passed"
        why, inputs = ("", []) if decided else look(case)
        rows.append({"number": int(reason), "reason": reason.name, "verdict": verdict, "why": why, "inputs": inputs})
        decided = decided or applies
    return {
        "step": "eligibility",
        "rule": "the checks run in this order and the first that applies is the line's reason",
        "checks": rows,
        "inputs": [],
    }


Look = tuple[str, list["Row"]]


def _attributed(case: Case) -> Look:
    who = case.reckoning.who
    path = who.paths[int(who.path[0])]
    return (f"it is {path.brokers[-1]}'s client" if path.brokers else "neither a code nor a link in force"), []


def _system(case: Case) -> Look:
    return f"sub-type {case.reckoning.fill['sub_type'] or 'none'}", []


def _channel(case: Case) -> Look:
    channel = case.reckoning.fill["channel"] or "unknown"
    is_code = "is" if case.reckoning.who.tag_is_code[0] else "is not"
    return f"channel {channel}, the tag {is_code} a broker code", []


def _active(case: Case) -> Look:
    who = case.reckoning.who
    names = who.paths[int(who.path[0])].brokers
    states = [row["status"] if row else "no row in force" for row in broker_rows(case)]
    return ", ".join(f"{name}: {state}" for name, state in zip(names, states, strict=True)), []


def _own(case: Case) -> Look:
    who = case.reckoning.who
    own = who.paths[int(who.path[0])].own_accounts
    account = f"{case.reckoning.fill['venue']}:{case.reckoning.fill['account']}"
    return f"{account} is {'one' if account in own else 'none'} of the {len(own)} own accounts on the path", []


def _terms(case: Case) -> Look:
    terms = case.reckoning.terms
    if terms is None:
        return f"no terms in force at {instant(case.executed_at)}", []
    version = case.provenance.of("program_terms", terms_id=terms.terms_id)
    return f"terms {terms.name!r}, in force since {instant(terms.effective_from)}", [version]


def _vip(case: Case) -> Look:
    row = _vip_row(case)
    if row is None:
        return f"no VIP level in force at {instant(case.executed_at)}", []
    return f"VIP{row['level']} since {instant(row['effective_from'])}", [case.provenance.of("vip_level", **row)]


def _vip_allowed(case: Case) -> Look:
    row, terms = _vip_row(case), case.reckoning.terms
    return f"VIP{row['level'] if row else '?'}, the terms allow up to VIP{terms.max_vip if terms else '?'}", []


def _account_class(case: Case) -> Look:
    one = case.reckoning
    link = one.row(one.facts.clients, one.who.link_row[0])
    excluded = ", ".join(sorted(one.terms.excluded_account_classes)) if one.terms else ""
    return f"account class {(link or {}).get('account_class') or 'none'}; excluded: {excluded or 'none'}", []


def _covered(case: Case) -> Look:
    one = case.reckoning
    rated = sorted({product for product, _, _ in one.terms.tiers[0].rates}) if one.terms else []
    return f"product {one.basis.product}; the terms rate {', '.join(rated)}", []


def _discount(case: Case) -> Look:
    one = case.reckoning
    fill, inputs = one.fill, []
    signs = [f"instrument {fill['fee_discount'] or 'none'}"]
    signs.append(f"given back {amount(fill['fee_rebate']) if fill['fee_rebate'] else 'nothing'}")
    scheduled = _scheduled_rate(case)
    if scheduled is None:
        signs.append("no scheduled rate loaded")
    else:
        rate = amount(fill["fee_rate"]) if fill["fee_rate"] is not None else "unknown"
        signs.append(f"rate {rate} against the scheduled {amount(scheduled['rate'])}")
        inputs.append(case.provenance.of("fee_rate", **scheduled))
    return f"{'; '.join(signs)}; the terms say {one.terms.fee_discount if one.terms else 'nothing'}", inputs


def _net_fee(case: Case) -> Look:
    return f"net fee {amount(case.reckoning.net_fee)} {case.reckoning.fill['fee_currency']}", []


def _tier(case: Case) -> Look:
    sentence, inputs = tier_in_words(case)
    terms = case.reckoning.terms
    names = ", ".join(tier.name for tier in terms.tiers) if terms else ""
    return f"{sentence}; the terms have {names}", inputs


def _instrument(case: Case) -> Look:
    one = case.reckoning
    row = one.row(one.facts.instruments, one.contracts.row[0])
    name = f"{one.fill['instrument_type']} {one.fill['instrument']}"
    if row is None:
        known = "its quote currency is told by its name" if one.contracts.known[0] else "and it is not told by its name"
        return f"{name} is not loaded, {known}", []
    return f"{name} is loaded", [case.provenance.of("instrument", row_id=int(row["row_id"]))]


def _price(case: Case) -> Look:
    one = case.reckoning
    told = [
        f"{use} in {currency}: {'priced' if prices.known[0] else 'no price that is recent enough'}"
        for use, currency, prices in (
            ("fee", one.fill["fee_currency"], one.fee_price),
            ("volume", one.volume_currency, one.notional_price),
        )
    ]
    seconds = one.terms.max_age_seconds if one.terms else 0
    return f"{'; '.join(told)} (up to {seconds} s old)", []


def _cap(case: Case) -> Look:
    one, cap = case.reckoning, case.reckoning.cap
    if cap is None:
        terms_cap = one.terms.cap if one.terms else None
        levels = ", ".join(f"VIP{level}" for level in sorted(terms_cap.vip_levels)) if terms_cap else ""
        return (f"the terms cap only {levels}" if levels else "the terms have no cap"), []
    own = one.row(one.facts.overrides, cap.own_row)
    whose = f"{cap.client[0]}'s own" if own else "of the terms"
    says = (
        f"a cap of {amount(cap.monthly)} USDT a month, {whose}; {amount(cap.earned_before)} were earned before in"
        f" {case.executed_at:%Y-%m}: {amount(cap.left)} left for {amount(cap.would_earn)}"
    )
    return says, [case.provenance.of("broker_override", **own)] if own else []


def _vip_row(case: Case) -> Row | None:
    fill, facts = case.reckoning.fill, case.reckoning.facts
    return case.reckoning.in_force(facts.vip_levels, venue=fill["venue"], account=fill["account"])


def _scheduled_rate(case: Case) -> Row | None:
    one = case.reckoning
    return one.in_force(
        one.facts.fee_rates,
        venue=one.fill["venue"],
        account=one.fill["account"],
        product=one.basis.product,
        liquidity=one.fill["liquidity"],
    )


LOOKS: dict[Reason, Callable[[Case], Look]] = {
    Reason.UNATTRIBUTED: _attributed,
    Reason.SYSTEM_TRADE: _system,
    Reason.NON_API_CHANNEL: _channel,
    Reason.BROKER_INACTIVE: _active,
    Reason.OWN_ACCOUNT: _own,
    Reason.TERMS_MISSING: _terms,
    Reason.VIP_UNKNOWN: _vip,
    Reason.VIP_EXCLUDED: _vip_allowed,
    Reason.ACCOUNT_EXCLUDED: _account_class,
    Reason.PRODUCT_NOT_COVERED: _covered,
    Reason.FEE_DISCOUNT: _discount,
    Reason.NO_NET_FEE: _net_fee,
    Reason.TIER_UNKNOWN: _tier,
    Reason.INSTRUMENT_UNKNOWN: _instrument,
    Reason.PRICE_MISSING: _price,
    Reason.CAP_REACHED: _cap,
}
