"""What every task has in common: log context, timing, and what happens to errors.

- The error says that trying again may help, or PostgreSQL or Redis had a passing failure: again, later. After 2, 4, 8 ...
  seconds, at most a minute, with jitter so that a crowd does not return as one.
- Anything else, or too often: the task fails with an alert. Its row still waits, so the sweep reminds of it again.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery import Task
from celery.signals import task_failure
from celery.utils.time import get_exponential_backoff_interval
from kombu.exceptions import OperationalError as BrokerUnavailable
from redis.exceptions import ConnectionError as RedisUnavailable
from redis.exceptions import TimeoutError as RedisTimeout

from settlement.errors import SettlementError
from settlement.store.failures import passes_by_itself

log = structlog.get_logger("workers")

BACKOFF_FIRST_SECONDS = 2
BACKOFF_LONGEST_SECONDS = 60


class SettlementTask(Task):  # type: ignore[misc]  # Celery is untyped
    """The base of all tasks."""

    abstract = True
    # Also the cap on how often the task of a killed worker is sent again (task_retry_on_worker_lost).
    max_retries = 6
    default_retry_delay = BACKOFF_FIRST_SECONDS

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the task with its name, id and attempt in the log context."""
        context = {"task": self.name, "task_id": self.request.id, "attempt": self.request.retries + 1}
        with structlog.contextvars.bound_contextvars(**context):
            return self._timed(*args, **kwargs)

    def _timed(self, *args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            result = self.run(*args, **kwargs)
        except Exception as error:
            if not retry_helps(error):
                raise
            log.warning("task to be retried", error=str(error))
            raise self.retry(exc=error, countdown=self._backoff()) from error
        # A relay that found nothing, each second, is not news.
        say = log.info if result else log.debug
        say("task done", seconds=round(time.monotonic() - started, 3), result=result)
        return result

    def _backoff(self) -> int:
        delay: int = get_exponential_backoff_interval(
            factor=BACKOFF_FIRST_SECONDS,
            retries=self.request.retries,
            maximum=BACKOFF_LONGEST_SECONDS,
            full_jitter=True,
        )
        return delay


def retry_helps(error: BaseException) -> bool:
    """Whether the same task may succeed later."""
    if isinstance(error, SettlementError):
        return error.retry_helps
    return isinstance(error, BrokerUnavailable | RedisUnavailable | RedisTimeout) or passes_by_itself(error)


def alert(sender: Any, task_id: str, exception: BaseException, args: Any, kwargs: Any, **_: Any) -> None:
    """Says that a task is given up; its row is not. Sent where it is noticed: for a lost process, by its parent."""
    log.error(
        "task given up",
        alert=True,
        task=sender.name,
        task_id=task_id,
        args=args,
        kwargs=kwargs,
        error=f"{type(exception).__name__}: {exception}",
    )


task_failure.connect(alert)
