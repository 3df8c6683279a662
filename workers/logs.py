"""What the workers and beat log: as every other process does (settlement/logging.py), less Celery's chatter.

Celery's own line for every message received and sent is left out: a relay each second would bury the rest. A task that
did something says so itself (workers/base.py).
"""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import setup_logging

from settlement import runtime
from settlement.logging import configure_logging

CHATTER = ("celery.worker.strategy", "celery.app.trace", "celery.beat")


def configure(**_: Any) -> None:
    """Sets up logging in place of Celery."""
    configure_logging(runtime.settings())
    for name in CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING)


setup_logging.connect(configure)
