"""Logging: one set-up for our own events (structlog) and for the libraries' records, on standard error.

Lines to read or JSON to collect (`SETTLEMENT_LOG_FORMAT`). Accounts of clients are masked in every event, whichever part
wrote it, and URLs lose their passwords. Texts of others are searched for both: errors of PostgreSQL name whole rows in
their detail, and the audit's findings name lines; so their details go, and long numbers are masked.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from settlement.config import Settings, without_password

ACCOUNT_KEYS = frozenset({"account", "accounts", "uid"})
SHOWN_CHARACTERS = 4
_CLIENT = re.compile(r"(client:[^:\s]+:)([^\s,\"'\]}]+)")
# User ids of OKX have 15 to 20 digits.
_LONG_NUMBER = re.compile(r"(?<![\w.-])\d{9,}(?!\.?\w|-\w)")
_DETAIL = re.compile(r"^(DETAIL|CONTEXT): .*$", re.MULTILINE)

# Libraries that tell each of their steps; what goes wrong there still shows.
QUIET_LIBRARIES = ("alembic", "amqp", "asyncio", "httpcore", "httpx", "kombu")


def configure_logging(settings: Settings) -> None:
    """Sets logging up for this process; calling it again changes nothing but the settings."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_event,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The event without any client's whole account number."""
    for key, value in event.items():
        event[key] = _masked(key, value)
    return event


def mask_account(account: str) -> str:
    """The last four characters behind a mask; all of a short one is masked."""
    shown = account[-SHOWN_CHARACTERS:] if len(account) > 2 * SHOWN_CHARACTERS else ""
    return "***" + shown


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, str):
        if key in ACCOUNT_KEYS:
            return mask_account(value)
        text = _CLIENT.sub(lambda found: found[1] + mask_account(found[2]), value)
        text = _LONG_NUMBER.sub(lambda found: mask_account(found[0]), _DETAIL.sub(r"\1: (not logged)", text))
        return without_password(text)
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), content) for inner, content in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(key, content) for content in value]
    return value


def _renderer(settings: Settings) -> structlog.types.Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(sort_keys=True, default=str)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
