"""Real input through the commands: a recorded fill that carried a broker tag, and a recorded tape of trades."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.functional.commands import exported, run

pytestmark = [pytest.mark.shared, pytest.mark.usefixtures("configured")]

SIGNED = "2019-01-01T00:00:00Z"
TAKER_RATE = Decimal("0.001")
CLIENTS = 40


def write_program(folder: Path, *, code: str, clients: list[str]) -> Path:
    registry = folder / "registry"
    registry.mkdir()
    (registry / "brokers.csv").write_text(
        "broker_id,name,model,parent_id,share,status,effective_from\n"
        f"master,Master,api,,,active,{SIGNED}\n"
        f"desk,Desk,api,master,0.6,active,{SIGNED}\n"
    )
    (registry / "codes.csv").write_text(f"code,broker_id,effective_from\n{code},desk,{SIGNED}\n")
    links = "".join(f"okx,{client},desk,{SIGNED},0.1\n" for client in clients)
    (registry / "clients.csv").write_text(f"venue,account,broker_id,effective_from,rebate_share\n{links}")
    levels = "".join(f"okx,{client},VIP1,{SIGNED}\n" for client in clients)
    (registry / "vip_levels.csv").write_text(f"venue,account,level,effective_from\n{levels}")
    terms = (Path(__file__).parents[2] / "settlement" / "program" / "presets" / "guide.toml").read_text()
    (folder / "terms.toml").write_text(terms.replace("2020-01-01T00:00:00Z", SIGNED))
    return registry


def test_a_recorded_tagged_fill_settles_and_explains_itself(shared_dir: Path, tmp_path: Path) -> None:
    recorded = shared_dir / "okx" / "rows" / "mytrade_spot_tagged_fill.json"
    row = json.loads(recorded.read_text())["data"][0]
    run("registry", "load", write_program(tmp_path, code=row["tag"], clients=["4242"]))
    run("terms", "load", tmp_path / "terms.toml")
    live = sorted((shared_dir / "okx" / "instruments").glob("okx_instruments_*[!2].json"))
    loaded = [json.loads(run("instruments", "load", path, "--json")) for path in live]
    assert sum(counts["added"] for report in loaded for counts in report["files"].values()) == 2590
    (tmp_path / "prices.csv").write_text("currency,ts,price_usdt\nBTC,2024-10-09T04:33:00Z,62390.5\n")
    run("prices", "load", tmp_path / "prices.csv")
    run("ingest", recorded, "--account", "4242")
    run("settle", "--from", "2024-10-09T04:00:00Z", "--to", "2024-10-09T05:00:00Z")

    line = exported("lines")[0]
    # 0.000001 BTC x 62390.5 = 0.0623905 USDT; the guide's entry tier rates spot with 20 %.
    assert (line["status"], line["broker_id"], line["tier"]) == ("earned", "desk", "T1")
    assert (Decimal(line["net_fee_usdt"]), Decimal(line["commission_usdt"])) == (
        Decimal("0.0623905"),
        Decimal("0.0124781"),
    )
    told = run("explain", "okx", "4242", row["billId"])
    steps = ("ATTRIBUTION", "ELIGIBILITY", "VALUATION", "NOTIONAL", "RATING", "SPLIT", "LEDGER")
    assert [step for step in steps if step not in told] == []
    assert "0.000001 x 62390.5 = 0.0623905 USDT" in told


def tape_as_fills(tape: Path, into: Path) -> tuple[int, int]:
    """Writes each trade of the tape as a taker's fill of one of the clients; the first and the last hour (epoch hours)."""
    hours = []
    with tape.open() as file, into.open("w") as fills:
        fills.write(
            "venue,account,bill_id,trade_id,order_id,instrument,instrument_type,side,liquidity,price,size,fee,"
            "fee_currency,tag,executed_at,fee_rate\n"
        )
        for number, trade in enumerate(csv.DictReader(file)):
            size, price = Decimal(trade["amount"]), Decimal(trade["price"])
            buys = trade["side"] == "buy"
            fee = -(size if buys else size * price) * TAKER_RATE
            fills.write(
                f"okx,{number % CLIENTS},{10**12 + number},{trade['tradeId']},,XRP-ETH,SPOT,{trade['side']},taker,{price:f},"
                f"{size:f},{fee:f},{'XRP' if buys else 'ETH'},tape,{trade['ts_ms']},-{TAKER_RATE}\n"
            )
            hours.append(int(trade["ts_ms"]) // 3_600_000)
    return min(hours), max(hours)


def test_a_recorded_tape_settles_over_all_its_hours(shared_dir: Path, tmp_path: Path) -> None:
    first, last = tape_as_fills(shared_dir / "okx" / "market" / "xrp_eth_trades.csv", tmp_path / "fills.csv")
    run("registry", "load", write_program(tmp_path, code="tape", clients=[str(number) for number in range(CLIENTS)]))
    run("terms", "load", tmp_path / "terms.toml")
    with (tmp_path / "prices.csv").open("w") as prices:
        prices.write("currency,ts,price_usdt\n")
        for hour in range(first, last + 1):
            prices.write(f"ETH,{hour * 3_600_000},{190 + hour % 7}.25\nXRP,{hour * 3_600_000},0.27{hour % 10}\n")
    run("prices", "load", tmp_path / "prices.csv")
    counts = json.loads(run("ingest", tmp_path / "fills.csv", "--json"))
    assert counts == {**counts, "read": 12_477, "stored": 12_477}
    run("settle", "--from", _hour(first), "--to", _hour(last + 1))
    lines = exported("lines")
    assert len(lines) == 12_477
    assert {line["status"] for line in lines} == {"earned"}
    owed = sum(Decimal(share["amount_usdt"]) for share in exported("shares"))
    assert owed == sum(Decimal(line["commission_usdt"]) for line in lines)
    assert "ok" in run("ledger", "verify")


def _hour(number: int) -> str:
    return datetime.fromtimestamp(number * 3600, UTC).isoformat()
