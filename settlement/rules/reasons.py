"""Why a line does not earn: every reason, in the order in which the checks run. The first that applies is the line's."""

from __future__ import annotations

from enum import IntEnum


class Status:
    """The outcomes of a line."""

    EARNED = "earned"
    EXCLUDED = "excluded"
    PENDING = "pending"


class Reason(IntEnum):
    """The reasons in precedence order; EARNED (0) stands for none."""

    EARNED = 0
    UNATTRIBUTED = 1
    SYSTEM_TRADE = 2
    NON_API_CHANNEL = 3
    BROKER_INACTIVE = 4
    OWN_ACCOUNT = 5
    TERMS_MISSING = 6
    VIP_UNKNOWN = 7
    VIP_EXCLUDED = 8
    ACCOUNT_EXCLUDED = 9
    PRODUCT_NOT_COVERED = 10
    FEE_DISCOUNT = 11
    NO_NET_FEE = 12
    TIER_UNKNOWN = 13
    INSTRUMENT_UNKNOWN = 14
    PRICE_MISSING = 15
    CAP_REACHED = 16

    @property
    def status(self) -> str:
        """`earned`, `excluded` (final) or `pending` (a missing fact; settled by a supplementary run)."""
        if self is Reason.EARNED:
            return Status.EARNED
        return Status.PENDING if self in _PENDING else Status.EXCLUDED

    @property
    def text(self) -> str:
        """The reason as it stands on a line; empty for an earned one."""
        return "" if self is Reason.EARNED else self.name


_PENDING = frozenset(
    {
        Reason.TERMS_MISSING,
        Reason.VIP_UNKNOWN,
        Reason.TIER_UNKNOWN,
        Reason.INSTRUMENT_UNKNOWN,
        Reason.PRICE_MISSING,
    }
)
