"""Create the ledger of a pipeline whose tables are older than its ledger."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from batchml.clients.stored_files import Fingerprint
from batchml.config import Pipeline
from batchml.config.definitions import Table, definition_of
from batchml.config.sources import days_between
from batchml.lake.ledger import INGESTED, NO_ROWS, Entry, Ledger, LedgerTable, State
from batchml.lake.owed import UPSTREAM
from batchml.lake.owed import made_from as made_from_of
from batchml.lake.row_counts import all_rows_by_date, small_table, table_exists

DERIVED = tuple(table for table, _ in UPSTREAM.values())
"""In the order of a day: each is made from silver or from one before it."""


def read_ledger(folder: str, pipeline: Pipeline) -> Ledger:
    """Return the ledger in ``folder``. Before it is created, derive it from the tables.

    Leave out the entries of a table that was moved away, or its dates would never be made again.
    """
    ledger = LedgerTable(folder).read()
    if ledger is None:
        return ledger_from_tables(folder, pipeline)
    return ledger.without(_moved_away(folder, ledger))


def _moved_away(folder: str, ledger: Ledger) -> set[str]:
    """Return the tables that have rows by the ledger, but do not exist."""
    names = {entry.table_name for entry in ledger.entries.values() if entry.rows}
    return {name for name in names if not table_exists(f"{folder}/{name}")}


def write_entries(folder: str, pipeline: Pipeline, entries: Sequence[Entry]) -> None:
    """Replace dates in the ledger. Create it first if it does not exist."""
    create_ledger(folder, pipeline)
    if entries:
        LedgerTable(folder).write(entries)


def create_ledger(folder: str, pipeline: Pipeline) -> None:
    """Create the ledger of a pipeline that has tables, unless it exists."""
    table = LedgerTable(folder)
    if not table.exists():
        table.write(list(ledger_from_tables(folder, pipeline).entries.values()))


def ledger_from_tables(folder: str, pipeline: Pipeline) -> Ledger:
    """Return the entries that follow from the tables in ``folder``; none without tables.

    Nothing becomes owed by it: a date without rows counts as accepted, and every date as made from
    its present input by the present definition.
    """
    bronze = all_rows_by_date(f"{folder}/bronze")
    if not bronze:
        return Ledger()

    deliveries = _deliveries(folder)
    entries = []
    for table in INGESTED:
        rows = bronze
        if table != "bronze":
            rows = all_rows_by_date(f"{folder}/{table}")
        definition = definition_of(pipeline, table)
        for date in days_between(min(bronze), max(bronze)):
            entry = _entry(table, date, bronze.keys(), rows, definition)
            made_from = deliveries.get(pipeline.source.first_day(date), "")
            entries.append(replace(entry, made_from=made_from))

    for table in DERIVED:
        rows = all_rows_by_date(f"{folder}/{table}")
        ledger, definition = Ledger.of(entries), definition_of(pipeline, table)
        for date in sorted(bronze.keys() | rows.keys()):
            entry = _entry(table, date, rows.keys(), rows, definition)
            made_from = made_from_of(ledger, pipeline, table, date)
            entries.append(replace(entry, made_from=made_from))
    return Ledger.of(entries)


def _entry(
    table: Table,
    date: dt.date,
    done: Collection[dt.date],
    rows: Mapping[dt.date, int | None],
    definition: str,
) -> Entry:
    state: State = "accepted"
    if date in done:
        state = "done"
    identity = NO_ROWS
    if date in rows:
        identity = ""
    return Entry(table, date, state, rows.get(date, 0), identity, definition=definition)


def _deliveries(folder: str) -> dict[dt.date, str]:
    """Return the fingerprint of each stored delivery, by the first day of its period."""
    known = {}
    for row in small_table(f"{folder}/deliveries") or []:
        stored = Fingerprint(row["bytes"], row["modified"], row["tag"])
        known[row["event_date"]] = stored.to_text()
    return known
