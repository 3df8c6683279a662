"""`settlement up`: the servers, the workers and the clock, in one terminal."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from settlement.cli.app import app
from settlement.errors import SettlementError

if TYPE_CHECKING:
    from settlement.config import Settings
    from settlement.supervisor import Process, Say

# Processes for each queue: two windows can be settled at once, and neither a long audit nor questions to a
# venue hold up the relay.
WORKERS = {"ingest": 1, "settle": 2, "payout": 1, "ops": 3}

# Celery's advice against running as root is about its pickle messages; ours are JSON.
NO_ROOT_ADVICE = "ignore:You're running the worker with superuser"


@app.command()
def up() -> None:
    """Starts PostgreSQL, Redis, a worker for each queue and beat; Ctrl-C stops all of them cleanly."""
    from settlement import runtime, supervisor

    configured = runtime.settings()
    with runtime.open_database() as database:
        typer.echo(f"PostgreSQL  {database.describe()}")
    runtime.redis_url()
    typer.echo(f"Redis       {'external' if configured.redis_url else 'embedded'}")
    processes = service_processes(configured)
    typer.echo(f"starting    {', '.join(process.name for process in processes)}; Ctrl-C stops all\n")
    say = supervisor.printer(max(len(process.name) for process in processes))
    with supervisor.running(processes, say=say, every_second=lambda: keep_servers(say)) as group:
        group.wait()
        typer.echo("\nstopping: what was begun is finished first; Ctrl-C again kills")
    typer.echo("stopped")


def service_processes(configured: Settings) -> list[Process]:
    """A worker for each queue, and beat."""
    from settlement.supervisor import Process

    environment = {"SETTLEMENT_HOME": str(configured.home), "PYTHONWARNINGS": NO_ROOT_ADVICE}
    level = f"--loglevel={configured.log_level}"
    workers = [
        Process(
            queue,
            celery("worker", f"--queues={queue}", f"--concurrency={concurrency}", level, *_node(queue)),
            environment,
        )
        for queue, concurrency in WORKERS.items()
    ]
    return [*workers, Process("beat", celery("beat", level, "--pidfile="), environment)]


def celery(*arguments: str) -> list[str]:
    """The command line of a Celery program of ours, wherever it is called from."""
    package = find_spec("workers")
    if package is None or package.origin is None:
        raise RuntimeError("the package workers is not installed")
    root = Path(package.origin).parent.parent
    return [sys.executable, "-P", "-m", "celery", "--quiet", f"--workdir={root}", "--app=workers.app", *arguments]


def keep_servers(say: Say) -> None:
    """Starts the embedded servers again if somebody has ended their keeper; the workers find them by themselves."""
    from settlement import embedded, runtime

    try:
        for server in embedded.lost(runtime.settings().home):
            say("up", f"the embedded {server} had stopped and is started again")
        runtime.database_url()
        runtime.redis_url()
    except SettlementError as error:
        say("up", str(error))


def _node(queue: str) -> list[str]:
    return [f"--hostname={queue}-{os.getpid()}@%h", "--without-gossip", "--without-mingle"]
