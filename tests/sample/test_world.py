"""The sample program: the same content from the same seed, and everything in it that the rules tell apart."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from settlement.errors import Refused
from settlement.sample.market import SAMPLE_INSTRUMENTS
from settlement.sample.world import Sample, write_sample

FILLS = 2_000
# Of everything but the Parquet files, whose bytes depend on the version of Arrow. It changes when the sample does.
CONTENT_SHA256 = "9718c045db8be53ae4ea2cbb30a3ecb5f80dfbec98871c323d81a42b0dd121b3"
INSTRUMENTS = {(one.type, one.name): one for one in SAMPLE_INSTRUMENTS}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("sample"), fills=FILLS)


def test_the_same_seed_writes_the_same_content(sample: Sample, tmp_path: Path) -> None:
    again = write_sample(tmp_path, fills=FILLS)
    for path in _files(sample.registry.parent):
        twin = again.registry.parent / path.relative_to(sample.registry.parent)
        if path.suffix == ".parquet":
            assert pq.read_table(path).equals(pq.read_table(twin))
        else:
            assert path.read_bytes() == twin.read_bytes(), path.name


def test_the_content_is_the_same_on_every_machine(sample: Sample) -> None:
    digest = hashlib.sha256()
    for path in _files(sample.registry.parent):
        if path.suffix != ".parquet":
            digest.update(path.read_bytes())
    assert digest.hexdigest() == CONTENT_SHA256


def test_another_seed_writes_other_fills(sample: Sample, tmp_path: Path) -> None:
    other = write_sample(tmp_path, fills=FILLS, seed=1)
    assert other.fills["okx"][0].read_bytes() != sample.fills["okx"][0].read_bytes()


def test_there_are_thirty_brokers_in_trees_three_deep(sample: Sample) -> None:
    parents = {row["broker_id"]: row["parent_id"] for row in _rows(sample.registry / "brokers.csv")}
    depths = Counter(_depth(broker, parents) for broker in parents)
    assert len(parents) == 30
    assert depths == {1: 8, 2: 14, 3: 8}


def test_two_versions_of_the_terms_change_in_mid_day(sample: Sample) -> None:
    starts = [
        next(line for line in path.read_text().splitlines() if line.startswith("effective_from"))
        for path in sample.terms
    ]
    assert starts == ["effective_from = 2026-03-02T00:00:00Z", "effective_from = 2026-03-02T12:30:00Z"]


def test_every_fee_is_what_the_venue_would_charge(sample: Sample) -> None:
    for fill in _good_fills(sample):
        assert _charged(fill) == Decimal(fill["fee"]), fill


def test_as_many_different_keys_as_asked_for(sample: Sample) -> None:
    keys = {(fill["account"], fill["bill_id"]) for fill in _good_fills(sample)}
    assert len(keys) == FILLS


def test_rows_are_sent_twice_with_their_times_written_otherwise(sample: Sample) -> None:
    seen = Counter((fill["account"], fill["bill_id"]) for fill in _gateway(sample))
    twice = {key for key, count in seen.items() if count > 1}
    styles = {
        (fill["executed_at"].isdigit()) for fill in _gateway(sample) if (fill["account"], fill["bill_id"]) in twice
    }
    assert len(twice) > 100
    assert styles == {True, False}


def test_fewer_fills_than_every_reason_needs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="ask for 1,000 or more"):
        write_sample(tmp_path, fills=999)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _depth(broker: str, parents: dict[str, str]) -> int:
    return 1 + (_depth(parents[broker], parents) if parents[broker] else 0)


def _gateway(sample: Sample) -> list[dict[str, str]]:
    return [row for path in sample.fills["gateway"] for row in _rows(path)]


def _good_fills(sample: Sample) -> list[dict[str, str]]:
    """Every row of the three feeds but those that contradict or are broken, which end the last gateway file."""
    gateway = _gateway(sample)[:-18]
    desk = [row for path in sample.fills["desk"] for row in pq.read_table(path).to_pylist()]
    okx = [
        {
            "account": row["account"],
            "bill_id": row["billId"],
            "instrument": row["instId"],
            "instrument_type": row["instType"],
            "side": row["side"],
            "price": row["fillPx"],
            "size": row["fillSz"],
            "fee": row["fee"],
            "fee_rate": row.get("feeRate"),
        }
        for row in map(json.loads, sample.fills["okx"][0].read_text().splitlines())
    ]
    return gateway + desk + okx


def _charged(fill: dict[str, str]) -> Decimal:
    """The fee by the venue's arithmetic, the rate of a contract found from the fee itself."""
    instrument = INSTRUMENTS[fill["instrument_type"], fill["instrument"]]
    size, price, fee = Decimal(fill["size"]), Decimal(fill["price"]), Decimal(fill["fee"])
    if instrument.type in {"SPOT", "MARGIN"}:
        return size * Decimal(fill["fee_rate"]) * (1 if fill["side"] == "buy" else price)
    face = size * instrument.face / 10**instrument.face_decimals
    if instrument.contract_type == "inverse":
        worth = face / price
    else:
        worth = face if instrument.type == "OPTION" else face * price
    rate = (fee / worth).quantize(Decimal("0.000001"))
    exact = worth * rate
    if instrument.contract_type == "inverse":
        return exact.quantize(Decimal("1e-12"), rounding="ROUND_DOWN")
    return exact
