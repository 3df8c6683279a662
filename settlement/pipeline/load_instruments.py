"""Use case: load a snapshot of a venue's instruments, whole or not at all."""

from __future__ import annotations

from datetime import datetime

from settlement.pipeline.load_report import Act, Counts, LoadReport
from settlement.program.instruments import Instruments
from settlement.store import instruments as store
from settlement.store import loads
from settlement.store.database import Database
from settlement.store.settled_past import Load, settled_period


def load_instruments(
    database: Database, instruments: Instruments, *, act: Act, effective_from: datetime | None = None
) -> LoadReport:
    """Stores what differs from the instruments in force, from `effective_from` on (None: see store/instruments.py).

    Raises `InputRefused`, with nothing stored, for a change to the past of settled windows without a correction.
    """
    source = instruments.source
    report = LoadReport(bad_rows=list(instruments.bad_rows))
    added = changed = 0
    with database.transaction() as connection:
        loads.begin(connection)
        loads.put_aside(connection, instruments.bad_rows)
        new_bad_rows = loads.drop_known_bad_rows(connection)
        if store.stage(connection, instruments, effective_from=effective_from) or new_bad_rows:
            report.load_id = loads.record(
                connection, kind="instruments", source=source, correction=act.correction, loaded_by=act.loaded_by
            )
            merged = store.merge(connection, load_id=report.load_id)
            added, changed = merged.added, merged.replaced
            period = settled_period(connection)
            if period is not None and act.correction is None:
                store.refuse_settled_change(connection, load=Load(load_id=report.load_id, source=source, period=period))
            report.windows_marked = loads.recheck_windows(connection)
    quarantined = len(instruments.bad_rows)
    unchanged = instruments.read - added - changed - quarantined
    report.files[source] = Counts(
        read=instruments.read, added=added, changed=changed, unchanged=unchanged, quarantined=quarantined
    )
    return report
