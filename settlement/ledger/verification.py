"""What an audit of the ledger finds: checks, each with how much it looked at and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: `examined` counts what it looked at, `findings` says what is wrong, one line each."""

    name: str
    examined: int
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@dataclass(frozen=True, kw_only=True)
class Report:
    """All checks of one audit, in the order they were made."""

    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong anywhere."""
        return all(check.ok for check in self.checks)
