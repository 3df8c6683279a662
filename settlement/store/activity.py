"""Earning activity per run: written beside the lines it sums up."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
from sqlalchemy import Connection

from settlement.store.copying import copy_in


def add_activity(connection: Connection, activity: pa.Table, *, run_id: int, window_start: datetime) -> None:
    """Writes what a run changed: root, venue, account, broker_id, product and the sums, a row each, by COPY."""
    if not activity.num_rows:
        return
    same = {
        "run_id": pa.repeat(run_id, activity.num_rows),
        "window_start": pa.repeat(window_start.isoformat(), activity.num_rows),
    }
    table = pa.table({**{name: activity[name] for name in activity.column_names}, **same})
    copy_in(connection, "activity", [table], columns=table.column_names)
