"""Use case: load a file of prices, however long, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from settlement.errors import InputRefused
from settlement.pipeline.load_report import Act, Counts, LoadReport
from settlement.program.prices import read_prices
from settlement.store import fact_table, loads, prices
from settlement.store.database import Database
from settlement.store.settled_past import Load, settled_period


def load_prices(
    database: Database, path: Path, *, act: Act, on_rows: Callable[[int], None] = lambda _: None
) -> LoadReport:
    """Adds the prices that do not stand yet, in one transaction; `on_rows` is told of the rows read so far.

    Raises `InputRefused`, with nothing stored, for a broken file, two prices for one instant in it, or a change to the
    past of settled windows without a correction.
    """
    if not path.is_file():
        raise InputRefused("no such file", where=str(path), mend="give a CSV file: currency,ts,price_usdt[,source]")
    report = LoadReport()
    source = str(path)
    with database.transaction() as connection:
        loads.begin(connection)
        good = fact_table.stage(connection, prices.TABLE, _good_rows(path, report, on_rows))
        loads.put_aside(connection, report.bad_rows)
        new_bad_rows = loads.drop_known_bad_rows(connection)
        prices.refuse_contradiction(connection, source=source)
        added = changed = 0
        if fact_table.drop_unchanged(connection, prices.TABLE) or new_bad_rows:
            report.load_id = loads.record(
                connection, kind="prices", source=source, correction=act.correction, loaded_by=act.loaded_by
            )
            merged = prices.merge(connection, load_id=report.load_id)
            added, changed = merged.added, merged.replaced
            period = settled_period(connection)
            if period is not None and act.correction is None:
                prices.refuse_settled_change(
                    connection, load=Load(load_id=report.load_id, source=source, period=period)
                )
            report.windows_marked = loads.recheck_windows(connection)
    quarantined = len(report.bad_rows)
    unchanged = good - added - changed
    report.files[source] = Counts(
        read=good + quarantined, added=added, changed=changed, unchanged=unchanged, quarantined=quarantined
    )
    return report


def _good_rows(path: Path, report: LoadReport, on_rows: Callable[[int], None]) -> Iterator[pa.Table]:
    read = 0
    for good, bad in read_prices(path):
        report.bad_rows += bad
        read += good.num_rows + len(bad)
        on_rows(read)
        yield good
