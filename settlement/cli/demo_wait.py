"""The demonstration asks the workers for something, and waits for what they record in the database."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.errors import Unavailable

if TYPE_CHECKING:
    from rich.console import Console

    from settlement.supervisor import Group

LOOK_SECONDS = 0.5
PLAIN_LINE_SECONDS = 5.0
WAIT_SECONDS_MAX = 600.0


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is waited for: `look` says how many of how many `units` are `done`, a word such as settled."""

    doing: str
    done: str
    units: str
    look: Callable[[], tuple[int, int]]
    mend: str = "settlement doctor"
    seconds_max: float = WAIT_SECONDS_MAX


def ask(task: str, *, arguments: str = "[]") -> None:
    """Queues a task now that the schedule would bring later; `arguments` as a JSON list."""
    from settlement.cli.up import celery
    from settlement.embedded.bound import bound

    command = bound(celery("call", task, f"--args={arguments}"))
    # Its own process group: Ctrl-C ends what is waited for, not this message on its way.
    subprocess.run(command, check=True, capture_output=True, process_group=0)  # noqa: S603 - our own command


def wait_for(goal: Goal, *, group: Group, target: Console) -> None:
    """Returns when everything is done or the group is stopping; shows how far it is. Raises Unavailable after too long."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(goal.doing), BarColumn(), MofNCompleteColumn(), TextColumn(goal.units), TimeElapsedColumn())
    deadline, next_line, told = time.monotonic() + goal.seconds_max, 0.0, -1
    with Bar(*columns, console=target, transient=True, disable=not target.is_terminal) as bar:
        task = bar.add_task(goal.doing, total=None)
        while True:
            done, total = goal.look()
            bar.update(task, completed=done, total=total)
            due = done == total or (done != told and time.monotonic() >= next_line)
            if due and not target.is_terminal:
                target.print(f"{goal.done:<11} {done:,} of {total:,} {goal.units}", highlight=False)
                next_line, told = time.monotonic() + PLAIN_LINE_SECONDS, done
            if done == total or group.stopping:
                return
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{total - done} {goal.units} are not {goal.done} after {goal.seconds_max:.0f} s; see: {goal.mend}"
                )
            group.wait(LOOK_SECONDS)
