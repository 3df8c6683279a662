"""Referral codes: by which one a client comes to a broker, and when a code does not bind him.

1. A code is 1-16 letters and digits, compared exactly. It is one broker's, of one campaign, from an instant on, and may have
   an end and a limit of clients. An alias is another text for the same code; a text stands for one thing only.
2. A client is bound to one broker by the first code. Whoever has a client link, or had one, is bound to another only by an
   administrator who says why; he keeps what he is (affiliated, account class), not what his broker gave him (rebate share).
3. Nobody refers himself: a broker's own accounts are not bound to him, nor to anybody below him in the tree.
4. A limit counts every client once whose link names the code, ended or not, however the link came about.
5. The first check that applies, in the order of `check_bind`, is the refusal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from settlement.errors import InputRefused, Refused
from settlement.program.registry import CODE_PATTERN
from settlement.program.registry_changes import StandingRow, in_force, written

ACTIVE = "active"
KEPT = ("affiliated", "account_class")


@dataclass(frozen=True, kw_only=True)
class ReferralCode:
    """A code as it stands; `client_limit` None: it may bind any number. `clients` are those whose link names it."""

    code: str
    broker_id: str
    campaign: str
    client_limit: int | None
    effective_from: datetime
    effective_to: datetime | None
    deactivated_at: datetime | None = None
    aliases: Sequence[str] = ()
    clients: int = 0


@dataclass(frozen=True, kw_only=True)
class UplineBroker:
    """A broker as it stands at an instant, for those below it: `own_accounts` are "venue:account"."""

    broker_id: str
    status: str
    own_accounts: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Bind:
    """A client who gave a code, to be bound to its broker from `at` on.

    `upline` are the code's broker and those above it at that instant, `links` all rows that the client has; `again` allows
    him to be bound though he has some.
    """

    venue: str
    account: str
    at: datetime
    code: ReferralCode
    upline: Sequence[UplineBroker]
    links: Sequence[StandingRow]
    again: bool

    @property
    def client(self) -> str:
        """How refusals name the client."""
        return f"client {self.venue} {self.account}"

    @property
    def names(self) -> frozenset[str]:
        """Every text of the code."""
        return frozenset((self.code.code, *self.code.aliases))


def check_code(code: str) -> None:
    """Raises `InputRefused` for a text that cannot be a code."""
    if not re.fullmatch(CODE_PATTERN, code):
        raise InputRefused(
            "the code is not 1-16 letters and digits",
            where=f"referral code {code}",
            mend="choose letters A-Z, a-z and digits only, at most 16",
        )


def is_bound(bind: Bind) -> bool:
    """Whether the client's link in force says already what binding him would."""
    link = in_force(bind.links, bind.at)
    return (
        link is not None
        and link.values["broker_id"] == bind.code.broker_id
        and link.values["referral_code"] in bind.names
    )


def link_row(bind: Bind) -> Mapping[str, str]:
    """The row of clients.csv that binds the client; times and texts as that file has them."""
    link = in_force(bind.links, bind.at)
    return {
        "venue": bind.venue,
        "account": bind.account,
        "broker_id": bind.code.broker_id,
        "effective_from": bind.at.isoformat(),
        "referral_code": bind.code.code,
        **{name: link.values[name] for name in KEPT if link is not None},
    }


def check_bind(bind: Bind) -> None:
    """Raises `Refused` if the code does not bind the client at that instant."""
    _check_code_holds(bind.code, at=bind.at)
    _check_active(bind)
    _check_self_referral(bind)
    _check_first_code(bind)
    _check_limit(bind)


def _check_code_holds(code: ReferralCode, *, at: datetime) -> None:
    what = None
    if code.deactivated_at is not None:
        what = f"it was deactivated at {written(code.deactivated_at)}"
    elif at < code.effective_from:
        what = f"it begins at {written(code.effective_from)}"
    elif code.effective_to is not None and at >= code.effective_to:
        what = f"it ended at {written(code.effective_to)}"
    if what is not None:
        raise _refused(code, what)


def _check_active(bind: Bind) -> None:
    broker = bind.upline[0] if bind.upline else None
    if broker is None or broker.status != ACTIVE:
        status = "has no row in force" if broker is None else f"is {broker.status}"
        raise _refused(bind.code, f"its broker {bind.code.broker_id} {status} at {written(bind.at)}")


def _check_self_referral(bind: Bind) -> None:
    own = f"{bind.venue}:{bind.account}"
    for broker in bind.upline:
        if own in broker.own_accounts:
            above = "" if broker is bind.upline[0] else f", which is above {bind.code.broker_id}"
            raise Refused(
                f"it is an own account of {broker.broker_id}{above}: nobody refers himself",
                where=bind.client,
                mend=f"bind accounts of clients, or take it out of the own accounts of {broker.broker_id} first",
            )


def _check_first_code(bind: Bind) -> None:
    if not bind.links or bind.again:
        return
    link = in_force(bind.links, bind.at) or max(bind.links, key=lambda row: row.begins)
    by = f" by code {link.values['referral_code']}" if link.values["referral_code"] else ""
    until = f" until {written(link.ends)}" if link.ends else ""
    raise Refused(
        f"it is bound to {link.values['broker_id']}{by} since {written(link.begins)}{until}, and the first code counts",
        where=bind.client,
        mend='an administrator may bind it again: --rebind-reason "..." --by NAME',
    )


def _check_limit(bind: Bind) -> None:
    limit = bind.code.client_limit
    counted = any(link.values["referral_code"] in bind.names for link in bind.links)
    if limit is not None and bind.code.clients >= limit and not counted:
        raise _refused(bind.code, f"its limit is reached: {bind.code.clients} of {limit} clients")


def _refused(code: ReferralCode, what: str) -> Refused:
    return Refused(
        what,
        where=f"referral code {code.code}",
        mend=f"settlement referrals list --broker {code.broker_id} shows which codes hold",
    )
