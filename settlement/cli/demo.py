"""`settlement demo`: the whole thing at work on the sample program; what `make run` runs."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app

if TYPE_CHECKING:
    from rich.console import Console

    from settlement.sample.world import Sample
    from settlement.store.database import Database
    from settlement.supervisor import Group

LOOK_SECONDS = 0.5
PLAIN_LINE_SECONDS = 5.0
SETTLE_SECONDS_MAX = 600.0
ALARMING = ("error", "critical", "ended", "starting again", "Traceback", "did not stop")


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop when everything has been printed.")] = False,
    fills: Annotated[int, typer.Option(help="How many different fills the day has.", min=1)] = 24_000,
) -> None:
    """Run the sample program: load it, take its fills in, let the workers settle every hour, print what came of it.

    Then it keeps running, and settles each new hour, until Ctrl-C. A second run finds nothing new and changes nothing.
    """
    from settlement import runtime, supervisor
    from settlement.cli.demo_intake import take_in
    from settlement.cli.summary import console
    from settlement.cli.up import keep_servers, service_processes
    from settlement.sample.world import write_sample

    target = console()
    configured = runtime.settings()
    runtime.initialise()
    runtime.redis_url()
    with runtime.open_database() as database:
        target.print(f"PostgreSQL  {database.describe()}", highlight=False)
        sample = write_sample(configured.home / "sample", fills=fills)
        target.print(f"sample      {configured.home / 'sample'}", highlight=False)
        news = take_in(database, sample, target)
        processes = service_processes(configured)
        talk = _Talk(max(len(process.name) for process in processes))
        target.print(f"starting    {', '.join(process.name for process in processes)}\n", highlight=False)
        with supervisor.running(processes, say=talk.say, every_second=lambda: keep_servers(talk.say)) as group:
            changed = _settle(database, sample, group, target)
            if not group.stopping:
                _tell(database, sample, target, news=news or changed)
            if not once and not group.stopping:
                target.print(
                    "each new hour is settled five minutes after its end; Ctrl-C stops everything", style="bold"
                )
                talk.everything = True
                group.wait()
            target.print("stopping: what was begun is finished first", style="dim")
    target.print("stopped")


class _Talk:
    """What the processes say: until the figures are printed only what is alarming."""

    def __init__(self, width: int) -> None:
        from settlement.supervisor import printer

        self.everything = False
        self._print = printer(width)

    def say(self, name: str, line: str) -> None:
        """Prints or keeps quiet."""
        if self.everything or any(word in line for word in ALARMING):
            self._print(name, line)


def _settle(database: Database, sample: Sample, group: Group, target: Console) -> bool:
    """Waits until the workers have settled every window of the sample; True if that took a new run.

    The sweep finds what is due by itself each minute; here it is asked for at once.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from settlement.cli.up import celery
    from settlement.errors import Unavailable
    from settlement.reports.summary import read_progress

    def look() -> tuple[int, int, int]:
        with database.transaction() as connection:
            seen = read_progress(connection, start=sample.start, end=sample.end)
        return seen.settled, seen.windows, seen.runs

    settled, windows, runs_before = look()
    if settled < windows:
        subprocess.run(celery("call", "settlement.sweep"), check=True, capture_output=True)  # noqa: S603 - our own command
    columns = (TextColumn("settling"), BarColumn(), MofNCompleteColumn(), TextColumn("windows"), TimeElapsedColumn())
    deadline, next_line, told = time.monotonic() + SETTLE_SECONDS_MAX, 0.0, -1
    with Bar(*columns, console=target, transient=True, disable=not target.is_terminal) as bar:
        task = bar.add_task("settling", total=windows)
        while True:
            settled, windows, runs = look()
            bar.update(task, completed=settled, total=windows)
            due = settled == windows or (settled != told and time.monotonic() >= next_line)
            if due and not target.is_terminal:
                target.print(f"settled     {settled} of {windows} windows", highlight=False)
                next_line, told = time.monotonic() + PLAIN_LINE_SECONDS, settled
            if settled == windows or group.stopping:
                return runs > runs_before
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{windows - settled} windows are not settled after {SETTLE_SECONDS_MAX:.0f} s; see: settlement doctor"
                )
            group.wait(LOOK_SECONDS)


def _tell(database: Database, sample: Sample, target: Console, *, news: bool) -> None:
    """Prints the tables, and whether anything is new."""
    from settlement.cli.summary import print_tables
    from settlement.pipeline.audit import verify_ledger
    from settlement.reports.summary import read_summary

    with target.status("verifying the ledger"):
        audit = verify_ledger(database)
    with database.transaction() as connection:
        read = read_summary(connection, start=sample.start, end=sample.end)
    target.print()
    print_tables(target, read, audit)
    if not news:
        target.print(
            "nothing new: every fact and every fill of the sample was known, and no window had anything to settle;"
            " nothing was changed\n",
            style="bold green",
        )
