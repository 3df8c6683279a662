"""The sample program's registry as the six CSV files."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from settlement.sample.columns import VENUE
from settlement.sample.program import (
    COMING_CODE,
    ENDED_CODE,
    NEW_TERMS,
    SIGNED,
    brokers,
    client_rows,
)
from settlement.sample.trades import CONTRACT_PPM, SPOT_PPM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from settlement.sample.program import Broker, Population

SUSPENDED_AT = "2026-03-02T09:00:00Z"
LEFT_AT = "2026-03-02T18:00:00Z"
LATE_VIP = "2026-03-02T15:00:00Z"
VIP_SPELLINGS = ("VIP{}", "vip {}", "{}", "VIP {}")

HEADERS = {
    "brokers": "broker_id,name,model,parent_id,share,status,effective_from,effective_to,own_accounts,payout_rail,payout_address",
    "codes": "code,broker_id,effective_from,effective_to",
    "clients": "venue,account,broker_id,effective_from,effective_to,referral_code,affiliated,account_class,rebate_share",
    "vip_levels": "venue,account,level,effective_from",
    "fee_rates": "venue,account,product,liquidity,rate,effective_from",
    "tiers": "broker_id,tier,effective_from,effective_to,reason",
}
TIERS = (
    ("atlas", "Silver", SIGNED, NEW_TERMS, "agreed at signing"),
    ("atlas", "Platinum", NEW_TERMS, "", "renewed with the second terms"),
    ("cobalt", "Silver", SIGNED, "2026-06-01T00:00:00Z", "brought its clients along"),
    ("fjord", "Gold", SIGNED, "", "promised by the founder"),
    ("harbor", "Ambassador", SIGNED, "", "a tier that no terms know"),
)


def write_registry(directory: Path, population: Population) -> None:
    """Writes brokers, codes, clients, vip_levels, fee_rates and tiers into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    tables: dict[str, Iterable[Sequence[str]]] = {
        "brokers": _broker_rows(population),
        "codes": [
            *((broker.code, broker.broker_id, SIGNED, "") for broker in brokers()),
            (ENDED_CODE, "atlas", "2025-06-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            (COMING_CODE, "grove", "2026-04-01T00:00:00Z", ""),
        ],
        "clients": client_rows(population),
        "vip_levels": _vip_rows(population),
        "fee_rates": _fee_rate_rows(population),
        "tiers": TIERS,
    }
    for name, rows in tables.items():
        write_rows(directory / f"{name}.csv", HEADERS[name], rows)


def write_rows(path: Path, header: str, rows: Iterable[Sequence[str]]) -> None:
    """One CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def _broker_rows(population: Population) -> list[tuple[str, ...]]:
    """One row a broker, two where something changes during the day."""
    rows: list[tuple[str, ...]] = []
    own = population.of_kind("own")
    for number, broker in enumerate(brokers()):
        accounts = [f"{VENUE}:{population.accounts[account]}" for account in own if population.home[account] == number]
        rows += [
            (
                broker.broker_id,
                broker.name,
                broker.model,
                broker.parent,
                share,
                status,
                start,
                end,
                ";".join(accounts),
                "",
                "",
            )
            for share, status, start, end in _periods(broker)
        ]
    return rows


def _periods(broker: Broker) -> list[tuple[str, str, str, str]]:
    """share, status, effective_from, effective_to of each of a broker's rows."""
    always = (broker.share, "active", SIGNED)
    changes = {
        "ember": [(*always, SUSPENDED_AT), (broker.share, "suspended", SUSPENDED_AT, "")],
        "cobalt-grid": [(*always, NEW_TERMS), ("0.5", "active", NEW_TERMS, "")],
        "dune-two": [(*always, LEFT_AT)],
    }
    return changes.get(broker.broker_id, [(*always, "")])


def _vip_rows(population: Population) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for number, account in enumerate(population.accounts):
        kind = population.kinds[population.kind[number]]
        if kind == "no_vip":
            continue
        level = int(population.vip[number])
        label = VIP_SPELLINGS[number % len(VIP_SPELLINGS)].format(level) if level else f"Lv{1 + number % 5}"
        rows.append((VENUE, account, label, LATE_VIP if kind == "late_vip" else SIGNED))
    return rows


def _fee_rate_rows(population: Population) -> list[tuple[str, ...]]:
    """Scheduled rates for those who get discounts, and for some who do not."""
    discounted = set(population.of_kind("discounted").tolist())
    rows: list[tuple[str, ...]] = []
    for number, account in enumerate(population.accounts):
        if number not in discounted and number % 16:
            continue
        for product, table in (("spot", SPOT_PPM), ("futures", CONTRACT_PPM)):
            for liquidity, ladder in table.items():
                parts_per_million = ladder[population.vip[number]]
                sign = "-" if parts_per_million > 0 else ""
                rate = f"{sign}0.{abs(parts_per_million):06}"
                rows.append((VENUE, account, product, liquidity, rate, SIGNED))
    return rows
