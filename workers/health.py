"""`python -m workers.health`: are there workers, and is it safe to let them work? Prints one JSON object.

A command of its own, so that what asks (`settlement doctor`) needs neither Celery nor this package.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson

from settlement.errors import Refused
from workers.app import app, refuse_unsafe
from workers.queues import QUEUES

PING_SECONDS = 2.0


def health() -> dict[str, Any]:
    """`unsafe` (why, or null), `workers` (how many answer) and `unserved` (queues that nobody works for)."""
    app.loader.import_default_modules()
    answers = app.control.inspect(timeout=PING_SECONDS).active_queues() or {}
    served = {queue["name"] for queues in answers.values() for queue in queues}
    return {
        "unsafe": _unsafe(),
        "workers": len(answers),
        "unserved": [name for name in QUEUES if name not in served],
    }


def _unsafe() -> str | None:
    try:
        refuse_unsafe(app)
    except Refused as refusal:
        return str(refusal)
    return None


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(health()))
