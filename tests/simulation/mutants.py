"""The machine is to find what it is made to find: four faults built into the product, each of which it has to see.

Defence in depth hides smaller ones, so each of these had to remove more than the one thing that it is named after:

locks        a shard takes no lock at all: neither the root's, whose work a row lock and unique keys do too, nor that which
             keeps loads of facts out. What shows is a shard that was rated by facts that came in after it had begun.
keys         earned entries, corrections and payouts get another key each time. That alone does nothing, since a shard
             that is settled is not claimed again; so it is, and its lines, counts and activity may be written again: the
             unique constraints of entries, payouts, lines, counts and activity are dropped in a database of its own.
outbox       an event is written in a transaction of its own, after the commit of what it tells of.
rounding     a share is rounded half-even instead of down.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import uuid4
from weakref import WeakKeyDictionary

from sqlalchemy import text

from settlement.ledger import entries
from settlement.rules import money, split
from settlement.store import outbox, payouts, runs
from settlement.store.database import Connection
from tests.simulation.interruptions import JobDatabase
from tests.simulation.simulate import Simulator, world_of

Mutant = Callable[[], AbstractContextManager[None]]

CONSTRAINTS = (
    "entry_kind_idempotency_key_key",
    "payout_idempotency_key_key",
    "line_pkey",
    "run_outcome_pkey",
    "activity_pkey",
)
DROP_CONSTRAINTS = f"""
DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint WHERE conname = ANY ('{{{",".join(CONSTRAINTS)}}}') LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', found.of_table, found.conname);
    END LOOP;
END $$
"""  # noqa: S608 - constants of this module
CLAIM_AGAIN = text("UPDATE run_shard SET facts_at = facts_at WHERE run_id = :run_id AND root = :root")


class _LocklessConnection:
    """A connection that does not hear of advisory locks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: Any, *arguments: Any) -> Any:
        return None if "advisory" in str(statement) else self._connection.execute(statement, *arguments)


@contextmanager
def without_locks() -> Iterator[None]:
    """Mutant `locks`."""
    claim = runs.claim_shard
    lockless = lambda connection, *arguments: claim(_LocklessConnection(connection), *arguments)  # type: ignore[arg-type] # noqa: E731
    with patch.object(runs, "claim_shard", lockless):
        yield


@contextmanager
def without_keys() -> Iterator[None]:
    """Mutant `keys`; to be run in a database without CONSTRAINTS."""
    claim, entry, key = runs.claim_shard, entries._entry, payouts._Occasion.key

    def claim_again(connection: Connection, run: runs.Run, root: str) -> bool:
        return claim(connection, run, root) or bool(
            connection.execute(CLAIM_AGAIN, {"run_id": run.run_id, "root": root}).rowcount
        )

    def salted_entry(kind: entries.EntryKind, of_fact: str, *rest: Any, **legs: Any) -> entries.Entry:
        salted = kind in {entries.EntryKind.EARNED, entries.EntryKind.CORRECTION}
        return entry(kind, f"{of_fact}:{uuid4()}" if salted else of_fact, *rest, **legs)

    def salted_payout(occasion: Any, payee: str) -> str:
        # The same for the payout and its entry: what is changed is that it can be made again.
        salt = occasion.__dict__.setdefault("salt", str(uuid4()))
        return f"{key(occasion, payee)}:{salt}"

    with ExitStack() as stack:
        stack.enter_context(patch.object(runs, "claim_shard", claim_again))
        stack.enter_context(patch.object(entries, "_entry", salted_entry))
        stack.enter_context(patch.object(payouts._Occasion, "key", salted_payout))
        yield


@contextmanager
def with_late_outbox() -> Iterator[None]:
    """Mutant `outbox`."""
    emit, transaction = outbox.emit, JobDatabase.transaction
    waiting: WeakKeyDictionary[Connection, list[Callable[[Connection], None]]] = WeakKeyDictionary()

    def emit_later(connection: Connection, event_type: str, **event: Any) -> None:
        waiting.setdefault(connection, []).append(partial(emit, event_type=event_type, **event))

    @contextmanager
    def then_emitted(database: JobDatabase) -> Iterator[Connection]:
        with transaction(database) as connection:
            yield connection
        for late in waiting.pop(connection, []):
            with database.engine.begin() as apart:
                late(apart)

    with ExitStack() as stack:
        stack.enter_context(patch.object(JobDatabase, "transaction", then_emitted))
        for name, module in list(sys.modules.items()):
            if name.startswith("settlement.") and getattr(module, "emit", None) is emit:
                stack.enter_context(patch.object(module, "emit", emit_later))
        yield


@contextmanager
def with_rounded_shares() -> Iterator[None]:
    """Mutant `rounding`."""
    half_even = lambda amount: amount.quantize(money.LEDGER_QUANTUM, context=money._ROUNDING)  # noqa: E731 - as floor_ledger does
    rounded = lambda *factors, rounding: money.product(*factors, rounding=rounding.replace("down", "half_to_even"))  # noqa: E731
    with patch.object(split, "floor_ledger", half_even), patch.object(split, "product", rounded):
        yield


@dataclass(frozen=True)
class Found:
    """The seed that found a mutant, and what it found."""

    seed: int
    findings: list[str]


def search(simulator: Simulator, name: str, seeds: range) -> Found | None:
    """Runs the seeds, one after the other, on a product with this mutant, until one finds anything.

    The simulator's database is to be one that nobody else uses: constraints are dropped in it.
    """
    with MUTANTS[name]():
        simulator.arena.owner.execute(DROP_CONSTRAINTS if name == "keys" else "")
        for seed in seeds:
            if findings := simulator.findings(world_of(seed)):
                return Found(seed, findings)
    return None


MUTANTS: Mapping[str, Mutant] = {
    "locks": without_locks,
    "keys": without_keys,
    "outbox": with_late_outbox,
    "rounding": with_rounded_shares,
}
