"""The terms as somebody types them: listed, compared, validated, presets, and what single brokers have of their own."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from settlement.store.database import Database
from tests.cli.conftest import Settlement
from tests.pipeline.loads.by_hand import add_broker

WHY = ("--reason", "as agreed", "--by", "ana")
AUTUMN = ("--set", "effective_from=2026-09-01T00:00:00Z", "--set", "name=autumn")


@pytest.fixture
def autumn(settlement: Settlement, tmp_path: Path) -> Path:
    """The guide as it holds from September on, with a first tier of 21 %."""
    path = tmp_path / "autumn.toml"
    settlement("terms", "preset", "guide", *AUTUMN, "-o", path)
    path.write_text(path.read_text().replace('spot = "0.20"', 'spot = "0.21"'))
    return path


def test_versions_are_listed_from_when_until_when_and_by_which_load(settlement: Settlement, autumn: Path) -> None:
    settlement("terms", "load", "guide", "--by", "ana")
    settlement("terms", "load", autumn, "--by", "ben")
    assert settlement("terms", "list").out.splitlines() == [
        "id  name    from                  until                 load  file" + " " * (len(str(autumn)) - 2) + "by",
        "1   guide   2020-01-01T00:00:00Z  2026-09-01T00:00:00Z  1     guide.toml"
        + " " * (len(str(autumn)) - 8)
        + "ana",
        f"2   autumn  2026-09-01T00:00:00Z  -                     2     {autumn}  ben",
    ]
    autumn.write_text(autumn.read_text().replace('minimum = "10"', 'minimum = "20"'))
    settlement("terms", "load", autumn, "--by", "ben", "--correction", "signed so")
    standing, every = settlement("terms", "list", "--json").json, settlement("terms", "list", "--all", "--json").json
    assert [version["terms_id"] for version in standing] == [1, 3]
    assert standing[0]["until"] == "2026-09-01T00:00:00Z"
    assert [(version["terms_id"], version["until"], version["replaced_by_load"]) for version in every] == [
        (1, "2026-09-01T00:00:00Z", None), (2, None, 3), (3, None, None),
    ]  # fmt: skip
    assert settlement("terms", "list", "--all").out.splitlines()[0].endswith("by   correction  replaced by load")
    assert 'minimum = "10"' in settlement("terms", "show", "2").out
    assert 'minimum = "20"' in settlement("terms", "show", "autumn").out


def test_terms_are_compared_in_words_whatever_they_are_called_by(settlement: Settlement, autumn: Path) -> None:
    settlement("terms", "load", "guide")
    told = [
        "name guide -> autumn",
        "in force from 2020-01-01T00:00:00Z -> 2026-09-01T00:00:00Z",
        "tier T1: spot rate 20 % -> 21 %",
    ]
    assert settlement("terms", "diff", "guide", autumn).out.splitlines() == told
    settlement("terms", "load", autumn)
    assert settlement("terms", "diff", "1", "autumn").out.splitlines() == told
    document = settlement("terms", "diff", "1", "2", "--json").json
    assert (document["before"]["name"], document["after"]["name"]) == ("guide", "autumn")
    assert document["differences"][2] == {
        "key": "tiers.T1.rates.spot", "before": "0.2", "after": "0.21", "says": "tier T1: spot rate 20 % -> 21 %",
    }  # fmt: skip
    assert settlement("terms", "diff", "2", autumn).out == f"autumn (number 2) and {autumn} state the same terms\n"
    unknown = settlement("terms", "diff", "guide", "none")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.startswith("settlement: none: no such terms; settlement terms list shows those that stand")


def test_every_fault_of_every_document_is_told_and_nothing_is_stored(
    settlement: Settlement, tmp_path: Path, autumn: Path
) -> None:
    faulty = tmp_path / "faulty.toml"
    faulty.write_text(
        autumn.read_text().replace("max_vip = 5", "max_vip = -5").replace('quantum = "0.000001"', 'quantum = "0"')
    )
    ran = settlement("terms", "validate", autumn, faulty)
    assert ran.code == 1
    told = ran.out.splitlines()
    assert told[0] == f"{autumn}: nothing is wrong with it"
    assert [line.partition(": ")[2] for line in told[1:]] == [
        "max_vip -5 is not a whole number from 0 to 99; write a whole number from 0 to 99",
        'quantum is 0; write the smallest amount that is paid, such as quantum = "0.000001"',
    ]
    assert ran.err == f"settlement: {faulty}: 2 faults; mend what is listed, and validate again\n"
    assert settlement("terms", "validate", autumn).code == 0
    missing = settlement("terms", "validate", tmp_path / "none.toml", "--json")
    (fault,) = orjson.loads(missing.out)[str(tmp_path / "none.toml")]
    assert (missing.code, fault["what"]) == (1, "no such file")
    assert "no terms are loaded" in settlement("terms", "list").out


def test_a_preset_is_printed_complete_or_refused_with_what_is_missing(settlement: Settlement, tmp_path: Path) -> None:
    missing = settlement("terms", "preset", "okx-2026")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err == (
        "settlement: okx-2026: cap.monthly_usdt is not set, and nobody publishes it; settlement terms preset okx-2026"
        " --set cap.monthly_usdt=VALUE -o FILE writes a complete document\n"
    )
    assert settlement("terms", "load", "okx-2026").err == missing.err
    path = tmp_path / "okx.toml"
    assert settlement("terms", "preset", "okx-2026", "--set", "cap.monthly_usdt=500", "-o", path).code == 0
    printed = settlement("terms", "preset", "okx-2026", "--set", "cap.monthly_usdt=500").out
    assert printed == path.read_text()
    assert 'monthly_usdt = "500"' in printed
    assert "loaded" in settlement("terms", "load", path).out
    told = settlement("terms", "diff", "okx-2022", "okx-2026").out.splitlines()
    assert told[2:] == [
        "VIP 6 now earns",
        "accounts of class msa no longer earn",
        "client cap of 500 USDT a month for VIP 5, 6 is new",
    ]
    bad = settlement("terms", "preset", "okx-2026", "--set", "cap.monthly_usdt=lots")
    assert (bad.code, bad.out) == (1, "")
    assert 'monthly_usdt "lots" is not a decimal of 0 or more' in bad.err


def test_presets_are_listed_with_what_they_leave_open(settlement: Settlement) -> None:
    listed = settlement("terms", "preset", "--list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["guide", "okx-2022", "okx-2026"]
    assert listed[2].endswith("Needs --set cap.monthly_usdt=VALUE.")
    assert settlement("terms", "preset", "--list", "--json").json[2]["open"] == ["cap.monthly_usdt"]
    assert settlement("terms", "show", "okx-2026").out.count('monthly_usdt = "?"') == 1


@pytest.mark.parametrize(
    "arguments", [(), ("guide", "--list"), ("guide", "--set", "name"), ("guide", "-o", "no/such/directory/x.toml")]
)
def test_a_preset_that_is_asked_for_wrongly_is_wrong_usage(settlement: Settlement, arguments: tuple[str, ...]) -> None:
    assert settlement("terms", "preset", *arguments).code == 2


def test_an_override_is_given_listed_and_ended(settlement: Settlement, database: Database) -> None:
    add_broker(database, "alpha")
    given = settlement(
        "terms", "override", "alpha", "rate", "0.270", "--from", "2026-06-01", "--product", "futures", *WHY
    )
    assert (given.code, given.err) == (0, "")
    assert given.out.splitlines()[0] == "override.set alpha rate futures: recorded as load 2"
    assert "  value: 0.27" in given.out
    settlement("terms", "override", "alpha", "minimum_payout", "50", "--from", "2026-06-01", "--to", "2026-07-01", *WHY)
    assert settlement("terms", "overrides", "--at", "2026-06-15").out.splitlines() == [
        "broker_id  kind            product  liquidity  value  effective_from        effective_to          reason",
        "alpha      minimum_payout  all      all        50     2026-06-01T00:00:00Z  2026-07-01T00:00:00Z  as agreed",
        "alpha      rate            futures  all        0.27   2026-06-01T00:00:00Z  -                     as agreed",
    ]
    assert [row["kind"] for row in settlement("terms", "overrides", "alpha", "--at", "2026-08-15", "--json").json] == [
        "rate"
    ]
    end = ("--to", "2026-08-01", "--product", "futures")
    assert settlement("terms", "override", "alpha", "rate", "0.27", "--from", "2026-06-01", *end, *WHY).code == 0
    assert settlement("terms", "overrides", "alpha", "--at", "2026-08-15").out == "there are none\n"
    assert len(settlement("terms", "overrides", "alpha", "--all", "--json").json) == 2
    refused = settlement("terms", "override", "alpha", "rate", "1.5", "--from", "2026-06-01", *WHY)
    assert (refused.code, refused.err) == (
        1, "settlement: override alpha rate: a rate or floor is outside 0..1; write a part of one: 25 % is 0.25\n",
    )  # fmt: skip
    assert settlement("terms", "override", "alpha", "rate", "0.2", "--from", "soon", *WHY).code == 2
