"""Journal entries: one constructor for each act that moves money, and the hashes that chain them.

1. Earned: debit commission expense, credit payable; one entry per (run, root, payee), dated to its window.
2. Correction: the signed difference of a recalculation; a negative one debits payable and credits the expense.
3. Payout instructed: payable to in flight. Confirmed: in flight to treasury. Failed or cancelled: in flight back to
   payable.
4. Held: payable to held. Released: held back to payable.
5. Every entry has a permanent idempotency key made from the business fact, and a digest of its content: the same key
   with the same digest is the same fact; with another digest it is a conflict.
6. Every entry carries the hash of the one before it in its chain.

PostgreSQL computes the same digest and the same hash (functions entry_content and entry_hash).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256

from settlement.ledger import chart
from settlement.ledger.chart import Direction

LEDGER_DECIMALS = 12
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class EntryKind(StrEnum):
    """The acts of the ledger."""

    EARNED = "earned"
    CORRECTION = "correction"
    PAYOUT_INSTRUCTED = "payout_instructed"
    PAYOUT_CONFIRMED = "payout_confirmed"
    PAYOUT_FAILED = "payout_failed"
    PAYOUT_CANCELLED = "payout_cancelled"
    HELD = "held"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of an entry. `amount` is in USDT, positive, with at most 12 decimals."""

    account: str
    direction: Direction
    amount: Decimal

    def __post_init__(self) -> None:
        _, digits, exponent = self.amount.as_tuple()
        if not isinstance(exponent, int) or self.amount <= 0:
            raise ValueError(f"a leg's amount is finite and positive, not {self.amount}")
        excess = -exponent - LEDGER_DECIMALS
        if excess > 0 and any(digits[-excess:]):
            raise ValueError(f"a ledger amount has {LEDGER_DECIMALS} decimals, {self.amount} has more")


@dataclass(frozen=True, slots=True)
class Entry:
    """One balanced journal entry, not yet in a chain.

    `effective_at` carries its zone: the start of the window for earned and correction, else the moment of the act.
    """

    kind: EntryKind
    idempotency_key: str
    effective_at: datetime
    run_id: int | None
    legs: tuple[Leg, ...]


def earned(*, run_id: int, root: str, payee: str, amount: Decimal, window_start: datetime) -> Entry:
    """What `payee` earned in one run in the tree of `root`: the sum of its shares of the run's lines."""
    return _entry(
        EntryKind.EARNED,
        f"run:{run_id}:{root}:{payee}",
        window_start,
        run_id,
        debit=chart.COMMISSION_EXPENSE,
        credit=chart.payable(payee),
        amount=amount,
    )


def correction(  # noqa: PLR0913 - each part of the permanent key is said by name
    *, run_id: int, root: str, payee: str, amount: Decimal, window_start: datetime, inputs_digest: str
) -> Entry:
    """The signed difference (desired now less booked so far) of a recalculation; a negative one reverses."""
    accounts = (chart.COMMISSION_EXPENSE, chart.payable(payee))
    debit, credit = accounts if amount > 0 else reversed(accounts)
    key = f"window:{_microseconds(window_start)}:{root}:{payee}:run:{run_id}:{inputs_digest}"
    return _entry(EntryKind.CORRECTION, key, window_start, run_id, debit=debit, credit=credit, amount=amount.copy_abs())


def payout_instructed(
    *, payout_key: str, payee: str, amount: Decimal, effective_at: datetime, run_id: int | None
) -> Entry:
    """Payable to in flight. `payout_key` is the payout's own permanent key; it follows the payout through its life."""
    return _entry(
        EntryKind.PAYOUT_INSTRUCTED,
        payout_key,
        effective_at,
        run_id,
        debit=chart.payable(payee),
        credit=chart.in_flight(payee),
        amount=amount,
    )


def payout_confirmed(*, payout_key: str, payee: str, amount: Decimal, effective_at: datetime) -> Entry:
    """In flight to treasury: the USDT has left."""
    return _entry(
        EntryKind.PAYOUT_CONFIRMED,
        payout_key,
        effective_at,
        None,
        debit=chart.in_flight(payee),
        credit=chart.TREASURY_USDT,
        amount=amount,
    )


def payout_failed(*, payout_key: str, payee: str, amount: Decimal, effective_at: datetime) -> Entry:
    """In flight back to payable: the rail refused it for good."""
    return _returned(EntryKind.PAYOUT_FAILED, payout_key, payee, amount, effective_at)


def payout_cancelled(*, payout_key: str, payee: str, amount: Decimal, effective_at: datetime) -> Entry:
    """In flight back to payable: somebody withdrew the instruction before it was sent."""
    return _returned(EntryKind.PAYOUT_CANCELLED, payout_key, payee, amount, effective_at)


def held(*, hold_key: str, payee: str, amount: Decimal, effective_at: datetime) -> Entry:
    """Payable to held: kept back with a reason, under the hold's own permanent key."""
    return _entry(
        EntryKind.HELD,
        hold_key,
        effective_at,
        None,
        debit=chart.payable(payee),
        credit=chart.held(payee),
        amount=amount,
    )


def released(*, hold_key: str, payee: str, amount: Decimal, effective_at: datetime) -> Entry:
    """Held back to payable."""
    return _entry(
        EntryKind.RELEASED,
        hold_key,
        effective_at,
        None,
        debit=chart.held(payee),
        credit=chart.payable(payee),
        amount=amount,
    )


def content_digest(entry: Entry) -> bytes:
    """SHA-256 of what the entry says: kind, key, run, effective_at and legs, one a line; not of when it was recorded."""
    lines = [entry.kind, entry.idempotency_key, str(entry.run_id or "-"), str(_microseconds(entry.effective_at))]
    lines += [f"{number} {leg.direction} {leg.amount:.12f} {leg.account}" for number, leg in enumerate(entry.legs, 1)]
    return sha256("\n".join(lines).encode()).digest()


def genesis_hash(chain: str) -> bytes:
    """What the first entry of `chain` names as the hash before it."""
    return sha256(chain.encode()).digest()


def chain_hash(
    *, previous_hash: bytes, content_digest: bytes, chain: str, sequence: int, recorded_at: datetime
) -> bytes:
    """SHA-256 that binds an entry's content to its place in the chain and to when it was recorded."""
    place = f"{chain}\n{sequence}\n{_microseconds(recorded_at)}"
    return sha256(previous_hash + content_digest + place.encode()).digest()


def _returned(kind: EntryKind, payout_key: str, payee: str, amount: Decimal, effective_at: datetime) -> Entry:
    return _entry(
        kind,
        payout_key,
        effective_at,
        None,
        debit=chart.in_flight(payee),
        credit=chart.payable(payee),
        amount=amount,
    )


def _entry(  # noqa: PLR0913 - one private constructor behind the named acts above
    kind: EntryKind,
    key: str,
    effective_at: datetime,
    run_id: int | None,
    *,
    debit: str,
    credit: str,
    amount: Decimal,
) -> Entry:
    if "\n" in key:
        raise ValueError(f"an idempotency key is one line: {key!r}")
    legs = (Leg(debit, Direction.DEBIT, amount), Leg(credit, Direction.CREDIT, amount))
    return Entry(kind, key, effective_at, run_id, legs)


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
