"""`python -m tests.torture --minutes 30`: real processes killed while hours are settled at speed; the same books as without.

Prints what was done to whom, how it went, and what differs from the faultless run, if anything does: then it exits with 1
and keeps its directory. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long hours are fed while processes die")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed gives the same world and the same order of faults"
    )
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="settlement-torture-"))
    os.environ["SETTLEMENT_HOME"] = str(directory / "home")
    os.environ["SETTLEMENT_LOG_FORMAT"] = "json"
    for name in ("SETTLEMENT_DATABASE_URL", "SETTLEMENT_REDIS_URL"):
        os.environ.pop(name, None)

    from tests.torture.run import torture  # noqa: PLC0415 - it reads the environment

    told = torture(directory, seconds=arguments.minutes * 60, seed=arguments.seed, say=say)
    tell(told)
    if told["differences"]:
        say(f"kept: {directory}")
    else:
        shutil.rmtree(directory)
    say(json.dumps(told))
    return 1 if told["differences"] else 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def tell(told: dict[str, Any]) -> None:
    """The result in words."""
    again = told["recalculations_asked"] - told["recalculations"]
    say(
        f"{told['hours']:,} hours and {told['fills']:,} fills fed in {told['fed_s']:,} s; at rest {told['rest_s']:,} s later"
    )
    say(f"{told['recalculations']} recalculations applied; {again} plans were overtaken and asked for anew")
    for name, title in (
        ("faults", "faults"),
        ("ended_by_themselves", "ended by themselves"),
        ("alerts", "tasks given up"),
    ):
        for what, count in told[name].items():
            say(f"{title}: {count:,} x {what}")
    for difference in told["differences"]:
        say(f"DIFFERENT: {difference}")
    same = "differs from" if told["differences"] else "is equal to"
    say(f"all of it {same} the faultless run; {told['wall_s']:,} s in all")


if __name__ == "__main__":
    sys.exit(main())
