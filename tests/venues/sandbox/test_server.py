"""The process: one line when it is ready, quiet, and a clean end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import typer

from settlement.cli.sandbox import sandbox as sandbox_command
from settlement.pipeline.validate_fills import validate
from settlement.sample.world import population_of
from settlement.venues.okx.parse import parse_fills
from settlement.venues.okx.sandbox.endpoints import ENDPOINTS
from settlement.venues.okx.sandbox.faults import KINDS
from tests.venues.sandbox.running import COMMAND, Sandbox, get, running

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "sandbox.md").read_text()
SMALL = ("--accounts", "2", "--fills-per-hour", "50")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_exit_code_0_and_no_noise(number: signal.Signals) -> None:
    with running(*SMALL) as sandbox, httpx.Client(base_url=sandbox.base_url) as client:
        client.get("/api/v5/public/time")
        sandbox.process.send_signal(number)
        output, noise = sandbox.process.communicate(timeout=20)
    assert (sandbox.process.returncode, output, noise) == (0, "", "")


def test_deliberate_cuts_leave_no_traceback() -> None:
    with running(*SMALL) as sandbox:
        script = [
            {"path": "/api/v5/trade/fills", "fault": fault}
            for fault in ("cut_before", "cut_inside", "truncated", "slow")
        ]
        for line in script:
            sandbox.control("faults", {"script": [line]})
            try:
                get(sandbox.accounts[0], "trade/fills")
            except httpx.TransportError:
                continue
        assert sandbox.stats()["faults"] == {line["fault"]: 1 for line in script}
        sandbox.process.send_signal(signal.SIGTERM)
        _, noise = sandbox.process.communicate(timeout=20)
    assert noise == ""


def test_a_taken_port_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-c", COMMAND, "sandbox", "--port", str(taken.getsockname()[1]), *SMALL]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "cannot be used" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_samples_own_accounts_trade_by_default() -> None:
    with running("--seed", "20260302") as sandbox:
        served = [each["account"] for each in sandbox.accounts]
    assert served == population_of(20260302).accounts[2::3]


def test_a_market_can_be_one_named_account(tmp_path: Path) -> None:
    with running("--seed", "4", "--account", "555", "--fills-per-hour", "30") as sandbox:
        assert (sandbox.line["account"], len(sandbox.accounts)) == ("555", 1)
        assert sandbox.fills(account="555")
    script = tmp_path / "faults.jsonl"
    script.write_text('{"path": "/api/v5/account/config", "nth": 1, "fault": "50026"}\n')
    with running("--account", "555", "--script", str(script)) as sandbox:
        assert get(sandbox.line, "account/config").status_code == 500


def test_every_row_of_the_market_is_a_good_fill_to_the_product(market: Sandbox) -> None:
    rows = market.fills()
    block = parse_fills(rows, row_numbers=range(len(rows)), account=None)
    checked = validate(block, now=datetime.now(UTC) + timedelta(minutes=1))
    assert len(rows) > 9_000
    assert checked.bad.num_rows == 0, checked.bad.slice(0, 3).to_pylist()


def test_the_document_names_every_option_endpoint_and_fault() -> None:
    alone = typer.Typer(add_completion=False)
    alone.command()(sandbox_command)
    command = typer.main.get_command(alone)
    options = [name for parameter in command.params for name in parameter.opts if name.startswith("--")]
    assert [name for name in options if f"`{name}" not in DOCUMENT] == []
    paths = {each.path.removeprefix("/api/v5/") for each in ENDPOINTS}
    assert [path for path in paths if f"`{path}`" not in DOCUMENT] == []
    assert [kind for kind in KINDS if f"`{kind}`" not in DOCUMENT] == []
    assert set(re.findall(r"`\w+ (/sandbox/\w+)", DOCUMENT)) >= {"/sandbox/stats", "/sandbox/release"}
