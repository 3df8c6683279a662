"""Which shards does a window need?

1. In its first run, one for each root broker at which any of its fills ends, and one ('') for unattributed fills.
2. Later, one for each root with a fill that has no line yet, or a pending line that would now come out differently; and
   for each root that such a line leaves. So too with the lines of accounts that a monthly cap limits, if one of theirs is
   such a line, or if they are to be looked at again (capping.py).
3. Whose a fill is can change within the hour, so a (venue, account, tag) is looked at once for each stretch of the
   window in which the registry stands still; it belongs to every root it comes to.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from schemas.frames import TIMESTAMP
from settlement.pipeline.capping import limited_in, look_again
from settlement.pipeline.revision import Revision, revision_of
from settlement.rules.attribution import attribute
from settlement.rules.batch import Batch
from settlement.rules.cap import Client
from settlement.rules.facts import Facts
from settlement.rules.in_force import microseconds, take
from settlement.rules.limits import Account
from settlement.store import caps, lines
from settlement.store.bases import StoredBases
from settlement.store.database import Connection
from settlement.store.lines import WINDOW

NO_TAG = ""


def shards_of_window(connection: Connection, window_start: datetime, facts: Facts, *, first: bool) -> pd.DataFrame:
    """What each shard reads: root, venue, account, tag. Empty where there is nothing to do.

    The window's row is locked. Who was to be looked at again, and changes nothing, is not any more.
    """
    keys = lines.window_keys(connection, window_start, only_without_line=not first)
    found = [roots_of_keys(keys, facts, window_start)]
    if not first:
        stored = StoredBases()
        stored.read_window(connection, window_start)
        found += [_changed(batch, facts, stored) for batch in lines.pending_fills(connection, window_start)]
        found += _capped_again(connection, window_start, facts, stored, found=found)
    return pd.concat(found).drop_duplicates(ignore_index=True)


def _capped_again(
    connection: Connection, window_start: datetime, facts: Facts, stored: StoredBases, *, found: list[pd.DataFrame]
) -> list[pd.DataFrame]:
    """What the cap changes beyond what was found: of accounts that it limits and that were, and of those noted."""
    limited, noted = limited_in(facts, window_start), caps.to_recheck(connection, window_start)
    if not limited and not noted:
        return []
    accounts = limited & {account for keys in found for account in _accounts_of(keys)}
    accounts |= {(venue, account) for _, venue, account in noted}
    revisions = look_again(connection, window_start, accounts, facts=facts, stored=stored)
    changed = [keys_of(revision) for revision in revisions]
    clients = {client for keys in (*found, *changed) for client in _clients_of(keys)}
    caps.forget(connection, window_start, noted - clients)
    return changed


def _accounts_of(keys: pd.DataFrame) -> Iterator[Account]:
    return keys[["venue", "account"]].itertuples(index=False, name=None)


def _clients_of(keys: pd.DataFrame) -> Iterator[Client]:
    return keys[["root", "venue", "account"]].itertuples(index=False, name=None)


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


def _changed(batch: pa.Table, facts: Facts, stored: StoredBases) -> pd.DataFrame:
    return keys_of(revision_of(batch, facts, stored=stored))


def keys_of(revision: Revision) -> pd.DataFrame:
    """What the shards of a revision read: root, venue, account, tag; for the root a line leaves as for the one it comes to."""
    keys = revision.fills.select(["venue", "account", "tag"]).to_pandas(types_mapper=pd.ArrowDtype)
    keys["tag"] = keys["tag"].fillna(NO_TAG)
    roots = revision.roots()
    both = [keys.assign(root=roots[side].to_numpy())[roots[side].notna().to_numpy()] for side in ("after", "before")]
    found: pd.DataFrame = pd.concat(both)[["root", "venue", "account", "tag"]].drop_duplicates(ignore_index=True)
    return found


def _microseconds(moment: datetime) -> int:
    return int(microseconds(pd.Series([moment], dtype="timestamp[us, tz=UTC][pyarrow]"))[0])
