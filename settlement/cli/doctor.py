"""`settlement doctor`: what is configured, reachable, late, stuck or inconsistent, and the next step for each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app
from settlement.errors import Refused, SettlementError, Unavailable

if TYPE_CHECKING:
    from settlement.config import Settings
    from settlement.pipeline.doctor import Check
    from settlement.store.database import Database

HEALTH_SECONDS_MAX = 60
STYLES = {"ok": "green", "attention": "yellow", "broken": "red"}


@app.command()
def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Says what is configured, reachable, late, stuck or inconsistent, and the next step for each; 1 if anything is broken."""
    from settlement import runtime
    from settlement.pipeline.doctor import Condition

    checks = _configuration(runtime.settings())
    checks += _guarded("database", _database)
    checks += _guarded("Redis", _redis)
    if checks[-1].condition is Condition.OK:
        checks += _guarded("workers", _workers)
    is_broken = any(check.condition is Condition.BROKEN for check in checks)
    if as_json:
        typer.echo(json.dumps({"broken": is_broken, "checks": [asdict(check) for check in checks]}))
    else:
        _print(checks)
    if is_broken:
        raise typer.Exit(1)


def _configuration(configured: Settings) -> list[Check]:
    from settlement.config import unknown_variables
    from settlement.pipeline.doctor import attention, ok

    checks = [ok("home", str(configured.home))]
    unknown = unknown_variables()
    if unknown:
        checks.append(
            attention(
                "environment", f"unknown: {', '.join(unknown)}", "correct the names, or unset them; see the README"
            )
        )
    return checks


def _guarded(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    """The checks, or the one that says why they could not be made."""
    from settlement.pipeline.doctor import broken

    try:
        return look()
    except Refused as refusal:
        where = f" ({refusal.where})" if refusal.where else ""
        return [broken(name, refusal.what + where, refusal.mend)]
    except Unavailable as error:
        return [broken(name, str(error), "start it, or correct SETTLEMENT_DATABASE_URL and SETTLEMENT_REDIS_URL")]
    except SettlementError as error:
        return [broken(name, str(error), "")]


def _database() -> list[Check]:
    from settlement import runtime
    from settlement.pipeline.doctor import examine, ok

    with runtime.open_database(pool_size=1) as database:
        facts = runtime.database_facts(database)
        return [
            ok("database", f"PostgreSQL {facts.server_version}, {database.describe()}"),
            ok("schema", f"version {facts.schema_version}, the one this program needs"),
            *examine(database, now=datetime.now(UTC)),
            *_guarded("secret key", lambda: _secrets(database)),
            *_guarded("OKX's limits", lambda: _budget(database)),
        ]


def _secrets(database: Database) -> list[Check]:
    """Where the key of stored credentials is, whether it is safe, and whether it opens them; makes no key."""
    from settlement import runtime
    from settlement.pipeline.accounts import list_accounts, open_for_check
    from settlement.pipeline.doctor import broken, ok

    place = runtime.secret_key_place()
    number = sum(account.status != "disabled" for account in list_accounts(database))
    if place.is_default and not place.exists():
        if not number:
            return [ok("secret key", f"{place.describe()} is made when the first account is added")]
        step = "put the file back from a backup, or set SETTLEMENT_SECRET_KEY"
        return [broken("secret key", f"{place.describe()} is missing, and {number} accounts need it", step)]
    vault = runtime.vault()
    checks = [ok("secret key", f"{place.describe()}, {vault.number_of_keys} in use")]
    _opened, unopened = open_for_check(database, vault, venue=None, accounts=None)
    if unopened:
        first = unopened[0]
        found = f"{len(unopened)} of {number} do not open, {first.venue} {first.account}: {first.refusal.what}"
        return [*checks, broken("credentials", found, first.refusal.mend)]
    return [*checks, ok("credentials", f"all {number} open")]


def _budget(database: Database) -> list[Check]:
    """What is left of the venue's limits, for the account that has used most of them."""
    from settlement import runtime
    from settlement.pipeline.accounts import list_accounts
    from settlement.pipeline.doctor import ok
    from settlement.venues.okx.budget import least_left

    standing = list_accounts(database)
    pulled = [one.account for one in standing if one.status == "active" and one.role == "client"]
    if not pulled:
        return []
    found = [
        f"{left.path} at least {left.remaining} of {left.limit} left in {left.seconds} s (okx {left.account})"
        for left in least_left(runtime.redis_url(), pulled)
    ]
    return [ok("OKX's limits", f"{len(pulled)} accounts: {', '.join(found)}")]


def _redis() -> list[Check]:
    from settlement import runtime
    from settlement.pipeline.doctor import attention, ok

    with runtime.open_redis() as client:
        facts = runtime.redis_facts(client)
    found = f"Redis {facts.server_version}, {facts.described}"
    if facts.eviction_policy not in {"noeviction", ""}:
        return [
            attention(
                "Redis",
                f"{found}, evicts by {facts.eviction_policy}: queued work may vanish until the sweep finds it",
                "CONFIG SET maxmemory-policy noeviction",
            )
        ]
    return [ok("Redis", found)]


def _workers() -> list[Check]:
    from settlement.pipeline.doctor import attention, broken, ok

    asked = subprocess.run(
        [sys.executable, "-P", "-m", "workers.health"], check=False, capture_output=True, timeout=HEALTH_SECONDS_MAX
    )
    if asked.returncode:
        said = asked.stderr.decode(errors="replace").strip().splitlines()
        return [broken("workers", said[-1] if said else "cannot be asked", "run: python -m workers.health")]
    found = json.loads(asked.stdout)
    if found["unsafe"]:
        return [broken("time limits", found["unsafe"], "correct workers/app.py")]
    checks = [ok("time limits", "Redis keeps a message for longer than its task may run")]
    if found["unserved"]:
        checks.append(attention("workers", f"nobody works for {', '.join(found['unserved'])}", "settlement up"))
    else:
        checks.append(ok("workers", f"{found['workers']} answer, every queue is served"))
    return checks


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        style = STYLES[check.condition]
        table.add_row(f"[{style}]{check.condition}[/]", check.name, check.found)
        if check.next_step:
            table.add_row("", "", f"[bold]next: {check.next_step}[/]")
    Console().print(table)
