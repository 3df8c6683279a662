"""The design's worked example, its fills served by the sandbox as OKX rows: what OKX can say settles to the same lines.

OKX has no channel, no fee rebate and no fee discount, so those columns are left out; a fill of which one of them says
something may come out otherwise than expected, and then as it does when the same rows are ingested from a file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.test_worked_example import RANGE, by_value, expected
from tests.harvest.shell import Shell
from tests.store.worked_example import moment
from tests.venues.fill_files import OKX_KEYS
from tests.venues.sandbox.running import Sandbox, running

pytestmark = pytest.mark.shared
PULLED = ("--from", "2026-09-14T06:00Z", "--to", "2026-09-14T10:00Z")
KEYS = {name: key for name, key in OKX_KEYS.items() if name not in {"liquidity", "executed_at", "recorded_at"}} | {
    "client_order_id": "clOrdId",
    "fee_rate": "feeRate",
}
RESULTS = ("lines", "shares")


@pytest.fixture
def worked(shared_dir: Path) -> Path:
    return shared_dir / "examples" / "worked"


@pytest.fixture
def fills(worked: Path) -> list[dict[str, str]]:
    return expected(worked / "fills.csv")[0]


def as_okx(fill: dict[str, str]) -> dict[str, Any]:
    executed_at = moment(fill["executed_at"])
    assert executed_at is not None
    time = str(int(executed_at.timestamp() * 1000))
    values = {key: fill[column] for column, key in KEYS.items()}
    liquidity = {"taker": "T", "maker": "M", "": ""}[fill["liquidity"]]
    return {**values, "execType": liquidity, "fillTime": time, "ts": time, "posSide": "net", "fillPnl": "0"}


def okx_can_say(fill: dict[str, str]) -> bool:
    return fill["channel"] in {"", "unknown"} and not fill["fee_rebate"] and not fill["fee_discount"]


def as_lines(rows: list[dict[str, Any]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load_facts(shell: Shell, worked: Path) -> None:
    shell.done("init")
    shell.done("registry", "load", worked / "registry")
    for number in (1, 2):
        shell.done("terms", "load", worked / f"terms-{number}.toml")
    shell.done("instruments", "load", worked / "instruments.json")
    shell.done("prices", "load", worked / "prices.csv")


def settled(shell: Shell, worked: Path) -> dict[str, list[dict[str, str]]]:
    """Settles, and gives lines and shares with the columns that are expected of them."""
    shell.done("settle", *RANGE)
    found = {}
    for what in RESULTS:
        _, columns = expected(worked / f"expected_{what}.csv")
        rows = csv.DictReader(io.StringIO(shell.done("export", what)))
        found[what] = [{name: row[name] for name in columns} for row in rows]
    return found


def of(rows: list[dict[str, str]], wanted: Callable[[tuple[str, str]], bool]) -> list[tuple[object, ...]]:
    chosen = [row for row in rows if wanted((row["account"], row["bill_id"]))]
    return by_value(chosen, list(rows[0]))


def pulled(shell: Shell, sandbox: Sandbox) -> dict[str, Any]:
    """Adds the accounts by the sandbox's line, and pulls."""
    shell.hush(sandbox.line)
    shell.done("accounts", "add", "--from-json", "-", given=sandbox.line)
    counts: dict[str, Any] = shell.run("pull", *PULLED, "--json").json
    return counts


def test_what_okx_can_say_settles_to_the_expected_lines_and_shares(
    shell: Shell, worked: Path, fills: list[dict[str, str]], tmp_path: Path
) -> None:
    load_facts(shell, worked)
    with running("--replay", str(as_lines([as_okx(fill) for fill in fills], tmp_path / "fills.jsonl"))) as sandbox:
        counts = pulled(shell, sandbox)
        assert (counts["read"], counts["stored"], counts["conflict"], counts["quarantined"]) == (400, 400, 0, 0)
        assert (counts["accounts"], counts["failed"]) == (len({fill["account"] for fill in fills}), 0)
        found = settled(shell, worked)
        again = shell.run("pull", *PULLED, "--json").json
        assert (again["read"], again["stored"], again["duplicate"]) == (400, 0, 400)
        assert sandbox.stats()["over_limit"] == {}
    assert json.loads(shell.done("settle", *RANGE, "--json"))["changed"] == 0
    expressible = {(fill["account"], fill["bill_id"]) for fill in fills if okx_can_say(fill)}
    assert len(expressible) > 100
    for what in RESULTS:
        rows, _ = expected(worked / f"expected_{what}.csv")
        wanted = of(rows, expressible.__contains__)
        assert len(wanted) >= 40
        assert of(found[what], expressible.__contains__) == wanted


def test_rows_that_are_pulled_settle_as_rows_of_a_file_do(  # noqa: PLR0913, PLR0917 - two databases, and what is put in
    empty_database_url: str,
    shell: Shell,
    redis_url: str,
    worked: Path,
    fills: list[dict[str, str]],
    tmp_path: Path,
) -> None:
    file = as_lines([as_okx(fill) for fill in fills], tmp_path / "fills.jsonl")
    load_facts(shell, worked)
    with running("--replay", str(file)) as sandbox:
        pulled(shell, sandbox)
    from_http = settled(shell, worked)
    shell.use(database_url=empty_database_url, redis_url=redis_url)
    load_facts(shell, worked)
    assert json.loads(shell.done("ingest", file, "--json"))["stored"] == 400
    from_file = settled(shell, worked)
    assert len(from_file["lines"]) == 400
    for what in RESULTS:
        assert of(from_http[what], lambda _: True) == of(from_file[what], lambda _: True)


def test_an_envelope_of_one_account_is_served_under_its_id(
    shell: Shell, worked: Path, fills: list[dict[str, str]], tmp_path: Path
) -> None:
    account = next(fill["account"] for fill in fills if okx_can_say(fill) and fill["tag"])
    rows = [as_okx(fill) for fill in fills if fill["account"] == account]
    envelope = tmp_path / "fills.json"
    data = [{key: value for key, value in row.items() if key != "account"} for row in rows]
    envelope.write_text(json.dumps({"code": "0", "msg": "", "data": data}))
    load_facts(shell, worked)
    with running("--replay", str(envelope), "--account", account) as sandbox:
        [only] = sandbox.accounts
        assert only["account"] == account
        one_line = {name: sandbox.line[name] for name in only}
        shell.hush(sandbox.line)
        assert shell.done("accounts", "add", "--from-json", "-", given=one_line) == "1 account added\n"
        distinct = len({row["billId"] for row in rows})
        assert shell.run("pull", *PULLED, "--account", account, "--json").json["stored"] == distinct
    mine = {(fill["account"], fill["bill_id"]) for fill in fills if fill["account"] == account and okx_can_say(fill)}
    found = settled(shell, worked)
    assert len(found["lines"]) == distinct
    lines, _ = expected(worked / "expected_lines.csv")
    assert of(found["lines"], mine.__contains__) == of(lines, mine.__contains__) != []
