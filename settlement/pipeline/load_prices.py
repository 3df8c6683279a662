"""Use case: load prices, from a file however long or from a venue, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from settlement.errors import InputRefused
from settlement.pipeline.load_report import Act, Counts, LoadReport
from settlement.program.csv_columns import BadRow
from settlement.program.prices import read_prices
from settlement.store import fact_table, loads, needed_prices, prices
from settlement.store.database import Database
from settlement.store.settled_past import Load, settled_period

PriceBlock = tuple[pa.Table, list[BadRow]]
"""Good rows as `settlement.program.prices` checks them, and the bad ones."""


def load_prices(
    database: Database, path: Path, *, act: Act, on_rows: Callable[[int], None] = lambda _: None
) -> LoadReport:
    """Adds the prices of a file that do not stand yet, in one transaction; `on_rows` is told of the rows read so far.

    Raises `InputRefused`, with nothing stored, for a broken file, two prices for one instant in it, or a change to the
    past of settled windows without a correction.
    """
    if not path.is_file():
        raise InputRefused("no such file", where=str(path), mend="give a CSV file: currency,ts,price_usdt[,source]")
    return load_price_rows(database, _told(read_prices(path), on_rows), source=str(path), act=act)


def load_price_rows(
    database: Database, blocks: Iterable[PriceBlock], *, source: str, act: Act, spacing: timedelta | None = None
) -> LoadReport:
    """Adds the prices of `blocks` that do not stand yet, in one transaction.

    With `spacing`, rows that a settled line could have been valued by, or that have a price within that time after
    them, are left out (settlement/store/needed_prices.py) and count as unchanged: such a load is never refused.
    """
    report = LoadReport()
    with database.transaction() as connection:
        loads.begin(connection)
        good = fact_table.stage(connection, prices.TABLE, _good_rows(blocks, report))
        loads.put_aside(connection, report.bad_rows)
        new_bad_rows = loads.drop_known_bad_rows(connection)
        prices.refuse_contradiction(connection, source=source)
        if spacing is not None:
            needed_prices.drop_unneeded(connection, spacing=spacing)
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


def _good_rows(blocks: Iterable[PriceBlock], report: LoadReport) -> Iterator[pa.Table]:
    for good, bad in blocks:
        report.bad_rows += bad
        yield good


def _told(blocks: Iterable[PriceBlock], on_rows: Callable[[int], None]) -> Iterator[PriceBlock]:
    read = 0
    for good, bad in blocks:
        read += good.num_rows + len(bad)
        on_rows(read)
        yield good, bad
