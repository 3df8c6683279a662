"""Program terms: one versioned document, validated as a whole.

1. A document has a name, the instant from which it is in force, and the tier in which a new broker starts.
2. Its tiers and their rates keep the rules of terms_tiers.py.
3. A cap, if there is one, is an amount above 0 and VIP levels that earn at all: none above max_vip, none twice.
4. A document that breaks a rule is refused whole, with the line and the mend. Unknown keys are refused too: a misspelt
   exclusion would otherwise pay.
5. Of a new document it is asked besides that its tiers leave no gap and do not overlap. Those that stand were not asked
   when they came in, and are read as they are.
"""

from __future__ import annotations

from dataclasses import replace

from settlement.errors import InputRefused
from settlement.program.terms_tiers import MAX_OF_GROUPS, check_ladder, read_tiers
from settlement.program.toml_document import Section, read_document
from settlement.rules.facts import ALL, CapTerms, PayoutTerms, Terms, Tier
from settlement.rules.money import LEDGER_DECIMALS

VIP_LIMIT = 99
PRICE_AGE_SECONDS_LIMIT = 31 * 24 * 3600
HOLD_HOURS_LIMIT = 366 * 24

_KEYS = ("name", "effective_from", "entry_tier", "eligibility", "pricing", "review", "payout", "cap", "tiers")


def parse_terms(document: str, *, source: str, terms_id: int = 0) -> Terms:
    """The terms that a TOML document states; `source` is what a refusal calls it.

    Raises `InputRefused`, naming the line and the mend, for a document that breaks one of the rules 1 to 4.
    """
    root = read_document(document, source=source)
    terms = _terms(root)
    root.faults.refuse()
    return replace(terms, terms_id=terms_id)


def parse_new_terms(document: str, *, source: str) -> Terms:
    """As `parse_terms`, for a document that does not stand yet: rule 5 too."""
    root = read_document(document, source=source)
    terms = _terms(root)
    check_ladder(root, terms.tiers)
    root.faults.refuse()
    return terms


def faults_of(document: str, *, source: str) -> list[InputRefused]:
    """Everything that is wrong with a new document, from its top to its end."""
    try:
        root = read_document(document, source=source)
    except InputRefused as fault:
        return [fault]
    check_ladder(root, _terms(root).tiers)
    return root.faults.by_line()


def _terms(root: Section) -> Terms:
    root.allow_only(_KEYS)
    eligibility, pricing, review = root.section("eligibility"), root.section("pricing"), root.section("review")
    eligibility.allow_only(("max_vip", "excluded_account_classes", "fee_discount"))
    pricing.allow_only(("max_age_seconds",))
    review.allow_only(("volume_window", "acquisition", "groups"))
    groups = review.one_of("groups", (ALL, MAX_OF_GROUPS))
    tiers = read_tiers(root, groups=groups)
    max_vip = eligibility.count("max_vip", minimum=0, maximum=VIP_LIMIT, default=5)
    return Terms(
        terms_id=0,
        name=root.text("name"),
        effective_from=root.instant("effective_from"),
        entry_tier=_entry_tier(root, tiers),
        max_vip=max_vip,
        excluded_account_classes=eligibility.texts("excluded_account_classes"),
        fee_discount=eligibility.one_of("fee_discount", ("exclude", "net")),
        max_age_seconds=pricing.count("max_age_seconds", minimum=1, maximum=PRICE_AGE_SECONDS_LIMIT, default=3600),
        volume_window=review.one_of("volume_window", ("rolling_30d", "calendar_month")),
        acquisition=review.one_of("acquisition", ("new_clients", "active_clients")),
        groups=groups,
        payout=_payout(root.section("payout")),
        tiers=tiers,
        cap=_cap(root, max_vip=max_vip if eligibility.is_sound("max_vip") else VIP_LIMIT),
    )


def _payout(payout: Section) -> PayoutTerms:
    payout.allow_only(("minimum", "quantum", "auto_approve_limit", "hold_hours"))
    quantum = payout.amount("quantum", decimals=LEDGER_DECIMALS)
    if quantum == 0:
        payout.fault(
            "quantum is 0", mend='write the smallest amount that is paid, such as quantum = "0.000001"', key="quantum"
        )
    return PayoutTerms(
        minimum=payout.amount("minimum", decimals=LEDGER_DECIMALS),
        quantum=quantum,
        auto_approve_limit=payout.amount("auto_approve_limit", decimals=LEDGER_DECIMALS),
        hold_hours=payout.count("hold_hours", minimum=0, maximum=HOLD_HOURS_LIMIT),
    )


def _cap(root: Section, *, max_vip: int) -> CapTerms | None:
    if "cap" not in root.values:
        return None
    cap = root.section("cap")
    cap.allow_only(("monthly_usdt", "vip_levels"))
    monthly_usdt = cap.amount("monthly_usdt", decimals=LEDGER_DECIMALS)
    if monthly_usdt == 0:
        mend = 'write what a client may bring in a month, such as monthly_usdt = "500", or lower max_vip'
        cap.fault("monthly_usdt is 0", mend=mend, key="monthly_usdt")
    levels = cap.counts("vip_levels", minimum=0, maximum=VIP_LIMIT)
    beyond = sorted({level for level in levels if level > max_vip})
    if beyond:
        what = f"VIP {', '.join(map(str, beyond))} is capped but earns nothing: eligibility.max_vip is {max_vip}"
        cap.fault(what, mend=f"take it out, or write max_vip = {beyond[-1]}", key="vip_levels")
    return CapTerms(monthly_usdt=monthly_usdt, vip_levels=frozenset(levels))


def _entry_tier(root: Section, tiers: tuple[Tier, ...]) -> str:
    entry_tier = root.text("entry_tier")
    names = [tier.name for tier in tiers]
    if entry_tier not in names and all(names) and names:
        root.fault(
            f"entry_tier {entry_tier!r} is not a tier", mend=f"write one of {', '.join(names)}", key="entry_tier"
        )
    return entry_tier
