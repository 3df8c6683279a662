"""Which shards does a window need?

1. In its first run, one for each root broker at which any of its fills ends, and one ('') for unattributed fills.
2. Later, one for each root with a fill that has no line yet, or a pending line that would now come out differently.
3. Whose a fill is can change within the hour, so a (venue, account, tag) is looked at once for each stretch of the
   window in which the registry stands still; it belongs to every root it comes to.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from schemas.frames import FILL, TIMESTAMP
from settlement.rules.attribution import attribute
from settlement.rules.batch import Batch
from settlement.rules.facts import Facts
from settlement.rules.in_force import microseconds, take
from settlement.rules.settle import Outcome, settle
from settlement.store import lines
from settlement.store.database import Connection
from settlement.store.lines import WINDOW

NO_TAG = ""


def shards_of_window(connection: Connection, window_start: datetime, facts: Facts, *, first: bool) -> pd.DataFrame:
    """What each shard reads: root, venue, account, tag. Empty where there is nothing to do."""
    keys = lines.window_keys(connection, window_start, only_without_line=not first)
    found = [roots_of_keys(keys, facts, window_start)]
    if not first:
        found += [_changed(batch, facts) for batch in lines.pending_fills(connection, window_start)]
    return pd.concat(found).drop_duplicates(ignore_index=True)


def roots_of_keys(keys: pd.DataFrame, facts: Facts, window_start: datetime) -> pd.DataFrame:
    """Each key with every root it belongs to during the window."""
    instants = _instants(facts, window_start)
    repeated = keys.loc[keys.index.repeat(len(instants))].reset_index(drop=True)
    times = pa.array(np.tile(np.array(instants, dtype=np.int64), len(keys))).cast(TIMESTAMP)
    who = attribute(Batch(repeated.assign(executed_at=pd.arrays.ArrowExtensionArray(times))), facts)
    roots = take(np.array(who.roots(), dtype=object), who.path, missing="")
    return repeated.assign(root=roots)[["root", "venue", "account", "tag"]].drop_duplicates(ignore_index=True)


def _instants(facts: Facts, window_start: datetime) -> list[int]:
    start, end = (_microseconds(moment) for moment in (window_start, window_start + WINDOW))
    changes = {start}
    for table in (facts.brokers, facts.codes, facts.clients):
        for name in ("effective_from", "effective_to"):
            at = microseconds(table[name])
            changes.update(at[(at > start) & (at < end)].tolist())
    return sorted(changes)


def _changed(batch: pa.Table, facts: Facts) -> pd.DataFrame:
    outcome = outcome_of(batch, facts)
    changed = changed_rows(batch, outcome.basis, outcome.bases)
    keys = batch.select(["venue", "account", "tag"]).to_pandas(types_mapper=pd.ArrowDtype)
    roots = take(np.array([basis.root for basis in outcome.bases], dtype=object), outcome.basis, missing="")
    of_changed: pd.DataFrame = keys.assign(tag=keys["tag"].fillna(NO_TAG), root=roots).loc[
        changed, ["root", "venue", "account", "tag"]
    ]
    return of_changed


def outcome_of(batch: pa.Table, facts: Facts) -> Outcome:
    """What the rules make of a batch as it was read (columns of FILL, and others)."""
    return settle(batch.select(FILL.names).to_pandas(types_mapper=pd.ArrowDtype), facts)


def changed_rows(batch: pa.Table, basis: Any, bases: Any) -> Any:
    """True where a fill has no line yet, or comes out otherwise than its pending line says."""
    now = pd.DataFrame({"reason": [one.reason.text for one in bases], "broker": [one.broker_id or "" for one in bases]})
    reason = np.asarray(batch["previous_reason"].fill_null("").to_pandas(), dtype=object)
    broker = np.asarray(batch["previous_broker"].fill_null("").to_pandas(), dtype=object)
    is_new = np.asarray(batch["previous_revision"].is_null())
    return (
        is_new
        | (now["reason"].to_numpy(dtype=object)[basis] != reason)
        | (now["broker"].to_numpy(dtype=object)[basis] != broker)
    )


def _microseconds(moment: datetime) -> int:
    return int(microseconds(pd.Series([moment], dtype="timestamp[us, tz=UTC][pyarrow]"))[0])
