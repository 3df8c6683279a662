"""A short torture: hours are settled while every process dies now and then, and the books are the faultless run's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.torture.faults import CHILD, POSTGRES, REDIS, WORKER
from tests.torture.stage import BEAT, REPOSITORY

SEED = 1


@pytest.mark.processes
@pytest.mark.timeout(1500)
def test_a_minute_in_which_everything_dies_now_and_then_leaves_the_books_as_if_nothing_had() -> None:
    command = [sys.executable, "-m", "tests.torture", "--minutes", "1", "--seed", str(SEED)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["differences"] == []
    assert told["recalculations"] > 0
    assert told["faults"][REDIS] == told["faults"][POSTGRES] == 2
    assert {WORKER, CHILD, BEAT} <= told["faults"].keys()
