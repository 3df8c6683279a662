"""`settlement demo`: the whole thing at work on the sample program; what `make run` runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app

if TYPE_CHECKING:
    from rich.console import Console

    from settlement.cli.demo_exchange import Exchange
    from settlement.config import Settings
    from settlement.sample.world import Sample
    from settlement.store.database import Database
    from settlement.supervisor import Group

ALARMING = ("error", "critical", "ended", "starting again", "Traceback", "did not stop")


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop when everything has been printed.")] = False,
    fills: Annotated[int, typer.Option(help="How many different fills the day has.", min=1)] = 24_000,
) -> None:
    """Run the sample program against the sandbox exchange: load it, take fills in, settle every hour, print what came of it.

    Two feeds of the sample day are files, the third is pulled over HTTP. Then it keeps running: the workers pull the
    exchange's live market and settle each new hour, until Ctrl-C. A second run finds nothing new in the sample day.
    """
    from settlement import runtime
    from settlement.cli.output import console
    from settlement.cli.summary import PLAIN_WIDTH
    from settlement.sample.world import write_sample

    target = console(plain_width=PLAIN_WIDTH)
    try:
        configured = runtime.settings()
        runtime.initialise()
        runtime.redis_url()
        with runtime.open_database() as database:
            target.print(f"PostgreSQL  {database.describe()}", highlight=False)
            sample = write_sample(configured.home / "sample", fills=fills)
            target.print(f"sample      {configured.home / 'sample'}", highlight=False)
            _run(database, sample, target, configured=configured, once=once)
    except KeyboardInterrupt:
        target.print("interrupted: the next run goes on where this one was", style="dim")
    target.print("stopped")


def _run(database: Database, sample: Sample, target: Console, *, configured: Settings, once: bool) -> None:
    """Everything that needs the exchange."""
    from settlement import supervisor
    from settlement.cli.demo_exchange import Exchange, running_exchange
    from settlement.cli.demo_intake import PULLED, pull_in, take_in
    from settlement.cli.up import keep_servers, service_processes

    processes = service_processes(configured)
    talk = _Talk(max(len(process.name) for process in processes))
    exchange = Exchange(talk.print)
    with running_exchange(exchange, sample.fills[PULLED][0]) as outer:
        facts_are_new = take_in(database, sample, target)
        news = pull_in(database, sample, target, exchange=exchange, group=outer) or facts_are_new
        target.print(f"starting    {', '.join(process.name for process in processes)}\n", highlight=False)

        def keep() -> None:
            keep_servers(talk.say)
            exchange.keep(database, outer)

        with supervisor.running(processes, say=talk.say, every_second=keep) as group:
            _show(database, sample, target, exchange=exchange, group=group, news=news)
            if not once and not group.stopping:
                target.print(
                    "each new hour is pulled two minutes after its end, then settled; Ctrl-C stops everything",
                    style="bold",
                )
                talk.everything = True
                group.wait()
            target.print("stopping: what was begun is finished first", style="dim")


class _Talk:
    """What the processes say: until the figures are printed only what is alarming."""

    def __init__(self, width: int) -> None:
        from settlement.supervisor import printer

        self.everything = False
        self.print = printer(width)

    def say(self, name: str, line: str) -> None:
        """Prints or keeps quiet."""
        if self.everything or any(word in line for word in ALARMING):
            self.print(name, line)


def _show(  # noqa: PLR0913 - the parts of the demonstration
    database: Database, sample: Sample, target: Console, *, exchange: Exchange, group: Group, news: bool
) -> None:
    """The sample day, settled and printed; then the live hours."""
    from settlement.cli.demo_live import Live, settle_live

    changed = _settle(database, sample, group=group, target=target)
    if not group.stopping:
        _tell(database, sample, target, news=news or changed)
        settle_live(Live.until_now(database, exchange), group=group, target=target)


def _settle(database: Database, sample: Sample, *, group: Group, target: Console) -> bool:
    """Waits until the workers have settled every window of the sample; True if that took a new run.

    The sweep finds what is due by itself each minute; here it is asked for at once.
    """
    from settlement.cli.demo_wait import Goal, ask, wait_for
    from settlement.reports.summary import Progress, read_progress

    def seen() -> Progress:
        with database.transaction() as connection:
            return read_progress(connection, start=sample.start, end=sample.end)

    def look() -> tuple[int, int]:
        now = seen()
        return now.settled, now.windows

    before = seen()
    if before.settled < before.windows:
        ask("settlement.sweep")
    wait_for(Goal(doing="settling", done="settled", units="windows", look=look), group=group, target=target)
    return seen().runs > before.runs


def _tell(database: Database, sample: Sample, target: Console, *, news: bool) -> None:
    """Prints the tables, and whether anything is new."""
    from settlement.cli.summary import print_tables
    from settlement.pipeline.audit import verify_ledger
    from settlement.reports.summary import read_progress, read_summary

    with target.status("verifying the ledger"):
        audit = verify_ledger(database)
    with database.transaction() as connection:
        read = read_summary(connection, start=sample.start, end=sample.end)
        later = read_progress(connection, start=sample.end, end=datetime.now(UTC)).settled
    target.print()
    print_tables(target, read, audit)
    if later:
        target.print(
            f"windows and reasons are the sample day's; balances and the ledger also hold {later} later hours\n",
            style="dim",
            highlight=False,
        )
    if not news:
        target.print(
            "nothing new in the sample day: every fact and every fill of it was known, and no window had anything to"
            " settle; nothing of it was changed. Live fills go on\n",
            style="bold green",
            soft_wrap=True,
        )
