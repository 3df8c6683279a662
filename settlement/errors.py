"""Every error the product raises on purpose.

SettlementError
├── Refused              what was asked is refused: exit code 1, one line: what, where, what to do
│   ├── InputRefused          a file or a document cannot be taken in
│   └── IdempotencyConflict   the same key was posted before with other content
└── Unavailable          a server does not answer; trying again may help
    (retry_helps is True only here)
"""

from __future__ import annotations


class SettlementError(Exception):
    """Base of all; `retry_helps` tells the caller whether the same call may succeed later."""

    retry_helps = False


class Refused(SettlementError):
    """A business refusal: `what` is wrong, `where`, and the `mend`."""

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        place = f"{where}: " if where else ""
        advice = f"; {mend}" if mend else ""
        super().__init__(f"{place}{what}{advice}")


class InputRefused(Refused):
    """A file, a directory or a document that cannot be taken in as a whole."""


class IdempotencyConflict(Refused):
    """A ledger entry's (`kind`, `key`) is already posted with other content; what is posted never changes."""

    def __init__(self, *, kind: str, key: str) -> None:
        self.kind, self.key = kind, key
        super().__init__(
            f"{kind} {key} is already posted with other content",
            where="ledger",
            mend="post the difference as a correction under a key of its own",
        )


class Unavailable(SettlementError):
    """PostgreSQL, Redis or a venue does not answer."""

    retry_helps = True
