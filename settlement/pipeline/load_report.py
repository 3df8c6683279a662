"""What a load did, for the command that asked for it and for whoever reads its JSON."""

from __future__ import annotations

import getpass
from dataclasses import asdict, dataclass, field
from typing import Any

from settlement.program.csv_columns import BadRow

BAD_ROWS_IN_REPORT_LIMIT = 1000


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The rows of one file: read = added + changed + unchanged + quarantined."""

    read: int
    added: int
    changed: int
    unchanged: int
    quarantined: int


@dataclass(kw_only=True)
class LoadReport:
    """`load_id` is None where nothing was new; `windows_marked` settled windows get a supplementary run."""

    load_id: int | None = None
    files: dict[str, Counts] = field(default_factory=dict)
    bad_rows: list[BadRow] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    windows_marked: int = 0

    def as_json(self) -> dict[str, Any]:
        """The report as plain values; of very many bad rows the first ones."""
        return asdict(self) | {"bad_rows": [asdict(row) for row in self.bad_rows[:BAD_ROWS_IN_REPORT_LIMIT]]}


@dataclass(frozen=True, kw_only=True)
class Act:
    """Who loads, and why a change to the past is right: without a correction such a change is refused."""

    loaded_by: str
    correction: str | None = None


def current_user() -> str:
    """The name of the user whose process this is, or "unknown" where the system has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
